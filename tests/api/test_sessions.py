"""EC2 instances at a whole controller that checks signatures: how their agents get keys, and what these open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from awsorch.engine.access_keys import AccessKeys
from awsorch.settings import BadSetting, Settings
from awsorch.wire.caller_proof import PATH, Proof, prove
from awsorch.wire.sigv4 import Credentials
from tests.support.fake_sts import FakeSts, fake_sts
from tests.support.served_app import OPERATOR, REGION, ServedApp, served_app

ONE, OTHER = "i-0123456789abcdef0", "i-0fedcba9876543210"
RESOURCES = [
    {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
    {"name": "MEMORY", "type": "INTEGER", "integerValue": 3800},
]


class World:
    """A controller, and the STS that it asks."""

    def __init__(self, served: ServedApp, sts: FakeSts) -> None:
        self.served = served
        self.sts = sts

    def proof(self, key: str, *, secret: str = "hidden", at: datetime | None = None, endpoint: str = "") -> Proof:
        meant_for = endpoint or self.served.url.partition("//")[2]
        credentials = Credentials(access_key_id=key, secret_access_key=secret)
        return prove(credentials, REGION, meant_for, at or datetime.now(UTC))

    def show(self, proof: Proof) -> tuple[int, dict[str, Any]]:
        return self.served.call("POST", PATH, msgspec.to_builtins(proof), key=None)

    def agent(self, instance_id: str, **role: str) -> Any:
        """A client with the key that an instance's proof is answered with."""
        status, session = self.show(self.proof(self.sts.role(instance_id, **role)))
        assert status == 200, session
        return self.served.client(session["accessKeyId"], session["secretAccessKey"])


Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts controllers that ask one STS, each with a store of its own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own")  # what the controller asks EC2 with
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    worlds: list[ServedApp] = []
    with served_app(tmp_path / "host", access_keys={}) as host:
        opened, fake = AsyncExitStack(), FakeSts()
        url = host.run(opened.enter_async_context(fake_sts(fake)))

        def start(**settings: Any) -> World:
            given = {"instance_roles": ("nodes",), "aws_endpoint": url, "access_secret": "s" * 32, **settings}
            served = ServedApp(tmp_path / str(len(worlds)), **given)
            worlds.append(served)
            served.ecs.create_cluster(clusterName="prod")
            return World(served, fake)

        yield start
        for served in worlds:
            served.close()
        host.run(opened.aclose())


def test_an_instance_proves_who_it_is_and_its_agent_may_do_an_agent_s_work(start: Start) -> None:
    world = start()
    agent = world.agent(ONE)
    document = json.dumps({"instanceId": ONE, "availabilityZone": "us-east-1a"})
    made = agent.register_container_instance(
        cluster="prod", totalResources=RESOURCES, instanceIdentityDocument=document
    )["containerInstance"]
    assert made["ec2InstanceId"] == ONE
    assert "ecs.capability.external" not in {each["name"] for each in made["attributes"]}
    assert agent.discover_poll_endpoint(cluster="prod", containerInstance=made["containerInstanceArn"])["endpoint"]
    with pytest.raises(
        ClientError, match=f"assumed-role/ecsInstanceRole/{ONE} is not authorized to perform: ecs:RunTask"
    ):
        agent.run_task(cluster="prod", taskDefinition="web")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        agent.list_clusters()


def test_a_key_is_good_for_its_own_instance_only(start: Start) -> None:
    world = start()
    one, other = world.agent(ONE), world.agent(OTHER)
    made = one.register_container_instance(cluster="prod", totalResources=RESOURCES)["containerInstance"]
    assert made["ec2InstanceId"] == ONE, "without a document the key says who it is"
    with pytest.raises(ClientError, match=f"The instance identity document is of {ONE}, the access key of {OTHER}"):
        other.register_container_instance(
            cluster="prod", totalResources=RESOURCES, instanceIdentityDocument=json.dumps({"instanceId": ONE})
        )
    drain = {"cluster": "prod", "containerInstances": [made["containerInstanceArn"]], "status": "DRAINING"}
    with pytest.raises(ClientError, match="AccessDeniedException"):
        other.update_container_instances_state(**drain)
    one.update_container_instances_state(**drain)


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ({"role": "others"}, r"Instances of role others may not join; AWSORCH_INSTANCE_ROLES has \['nodes'\]"),
        ({"account": "999999999999"}, "is of another account than 123456789012"),
        ({"state": "terminated"}, f"EC2 has no running instance {ONE}"),
    ],
)
def test_who_may_not_join_is_told_why(start: Start, role: dict[str, str], why: str) -> None:
    world = start()
    status, refusal = world.show(world.proof(world.sts.role(ONE, **role)))
    assert (status, refusal["__type"]) == (400, "AccessDeniedException")
    assert re.search(why, refusal["message"])


def test_an_instance_that_ec2_does_not_know_may_not_join(start: Start) -> None:
    world = start()
    key = world.sts.role(ONE)
    del world.sts.instances[ONE]
    assert "EC2 has no running instance" in world.show(world.proof(key))[1]["message"]


def test_only_sessions_of_instances_join(start: Start) -> None:
    world = start(instance_roles=("*",))
    key = world.sts.role(ONE)
    for arn in (
        "arn:aws:iam::123456789012:user/somebody",
        "arn:aws:sts::123456789012:assumed-role/nodes/somebody",
        f"arn:aws:sts::123456789012:federated-user/{ONE}",
        "nonsense",
    ):
        world.sts.arns[key] = arn
        assert world.show(world.proof(key))[1]["message"] == f"{arn} is not the role of an EC2 instance."
    world.sts.arns[key] = f"arn:aws:sts::123456789012:assumed-role/any/{ONE}"
    assert world.show(world.proof(key))[0] == 200


def test_a_proof_is_good_here_and_now_only(start: Start) -> None:
    world = start()
    key = world.sts.role(ONE)
    status, refusal = world.show(world.proof(key, endpoint="another.example"))
    assert status == 400
    assert "STS does not accept the instance's signature: The request signature we calculated" in refusal["message"]
    assert "STS does not accept" in world.show(world.proof(key, secret="guessed"))[1]["message"]
    asked = world.sts.asked
    old = world.proof(key, at=datetime.now(UTC) - timedelta(minutes=6))
    assert "check the instance's clock" in world.show(old)[1]["message"]
    proof = world.proof(key)
    for authorization in (
        proof.authorization.replace("x-amz-date;x-awsorch-endpoint", "x-amz-date"),
        proof.authorization.replace("/sts/", "/ec2/"),
        "nonsense",
    ):
        broken = msgspec.structs.replace(proof, authorization=authorization)
        assert "should be a signature for STS" in world.show(broken)[1]["message"]
    assert world.show(msgspec.structs.replace(proof, date="20261301T000000Z"))[0] == 400
    assert world.sts.asked == asked, "STS is asked about none of these"
    for body in ({}, {"authorization": 1}, {"authorization": "a", "date": "b", "more": "c"}):
        assert world.served.call("POST", PATH, body, key=None)[1]["__type"] == "InvalidParameterException"
    assert world.served.call("GET", PATH, key=None)[0] == 400


def test_who_cannot_be_asked_is_asked_again(start: Start) -> None:
    world = start()
    key = world.sts.role(ONE)
    world.sts.down = True
    status, answer = world.show(world.proof(key))
    assert (status, answer["__type"]) == (500, "ServerException")
    world.sts.down = False
    assert world.show(world.proof(key))[0] == 200


def test_nobody_joins_where_no_role_may(start: Start) -> None:
    world = start(instance_roles=())
    assert "Set AWSORCH_INSTANCE_ROLES" in world.show(world.proof(world.sts.role(ONE)))[1]["message"]


def test_where_no_signature_is_verified_nothing_is_proven(tmp_path: Path) -> None:
    with served_app(tmp_path, access_keys={}) as served:
        status, answer = served.call("POST", PATH, {}, key=None)
        assert (status, answer["needed"]) == (200, False)


def test_who_signs_with_a_key_that_is_known_needs_none(start: Start) -> None:
    world = start(instance_roles=())
    status, answer = world.show(world.proof(OPERATOR[0], secret=OPERATOR[1]))
    assert (status, answer["needed"]) == (200, False)
    assert world.sts.asked == 0


def test_a_key_outlives_the_controller_that_gave_it(start: Start) -> None:
    session = (world := start()).show(world.proof(world.sts.role(ONE)))[1]
    assert datetime.fromtimestamp(session["expiration"], UTC) - datetime.now(UTC) > timedelta(minutes=59)
    key = session["accessKeyId"], session["secretAccessKey"]
    assert start().served.client(*key).register_container_instance(cluster="prod", totalResources=RESOURCES)
    stranger = start(access_secret="t" * 32)
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        stranger.served.client(*key).register_container_instance(cluster="prod", totalResources=RESOURCES)


def test_keys_say_whose_they_are_and_until_when() -> None:
    now = 1000.0
    keys = AccessKeys(dict([OPERATOR]), b"s" * 32, None, lambda: now)  # type: ignore[arg-type]
    key = keys.issue(ONE, 2000)
    assert 16 <= len(key) <= 128
    holder = keys.holder_of(key)
    assert holder is not None
    assert (holder.id, holder.cluster, holder.is_external) == (ONE, None, False)
    assert keys.get(key) == keys.secret_of(key)
    now = 2000.0
    assert keys.get(key) is None
    for nonsense in ("ASIX", "ASIX1", "ASIX======", "ASIX" + "A" * 120):
        assert keys.get(nonsense) is None


def test_names_of_roles_are_a_list() -> None:
    assert Settings.read({"AWSORCH_INSTANCE_ROLES": '["nodes"]'}).instance_roles == ("nodes",)
    for bad in ("nodes", "{}", "[1]", '[""]'):
        with pytest.raises(BadSetting, match="instance_roles should be"):
            Settings.read({"AWSORCH_INSTANCE_ROLES": bad})
