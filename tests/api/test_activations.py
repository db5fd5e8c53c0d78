"""External instances at a whole controller that checks signatures: how they join, what they may do, how it ends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from yarl import URL

from awsorch.core.events import AgentConnected
from awsorch.settings import BadSetting, Settings
from tests.support.served_app import OPERATOR, REGION, ServedApp, served_app

PATH = "/awsorch/activations"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/prod"
FINGERPRINT = "0123456789abcdef"
RESOURCES = [
    {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
    {"name": "MEMORY", "type": "INTEGER", "integerValue": 3800},
]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    with served_app(tmp_path) as served:
        for name in ("prod", "test"):
            served.ecs.create_cluster(clusterName=name)
        yield served


def activate(served: ServedApp, **asked: Any) -> dict[str, Any]:
    status, made = served.call("POST", PATH, {"cluster": "prod", **asked})
    assert status == 200, made
    return made


def join(served: ServedApp, activation: dict[str, Any], fingerprint: str = FINGERPRINT) -> tuple[int, dict[str, Any]]:
    shown = {"activationCode": activation["activationCode"], "fingerprint": fingerprint}
    return served.call("POST", f"{PATH}/{activation['activationId']}/join", shown, key=None)


def key_of(joined: dict[str, Any]) -> tuple[str, str]:
    return joined["accessKeyId"], joined["secretAccessKey"]


class Machine:
    """A machine that joined and registered, with its agent's client."""

    def __init__(self, served: ServedApp, fingerprint: str = FINGERPRINT) -> None:
        status, joined = join(served, activate(served), fingerprint)
        assert status == 200, joined
        self.id: str = joined["managedInstanceId"]
        self.key = key_of(joined)
        self.ecs = served.client(*self.key)
        self.arn: str = self.register()["containerInstanceArn"]
        self._served = served

    def connect(self) -> None:
        """Its agent's control connection comes up."""
        event = AgentConnected(instance_id=self.arn.rpartition("/")[2], session="s1")
        self._served.run(self._served.app.controller.clusters["prod"].submit(event))

    def register(self, **members: Any) -> dict[str, Any]:
        given = {"cluster": "prod", "totalResources": RESOURCES, **members}
        answer: dict[str, Any] = self.ecs.register_container_instance(**given)["containerInstance"]
        return answer


@contextlib.contextmanager
def denied(action: str = "") -> Iterator[None]:
    with pytest.raises(ClientError, match="AccessDeniedException") as refused:
        yield
    assert f"not authorized to perform: {action}" in refused.value.response["Error"]["Message"]


def test_an_activation_is_made_listed_and_told_once(served: ServedApp) -> None:
    made = activate(served, registrationLimit=3, expiresAfter=3600, attributes={"site": "attic"})
    assert made["status"] == "ACTIVE"
    assert (made["registrationLimit"], made["registrationsCount"]) == (3, 0)
    assert made["expirationDate"] == made["createdDate"] + 3600
    assert made["createdBy"] == f"arn:aws:iam::123456789012:user/{OPERATOR[0]}"
    _, joined = join(served, made)
    code = made.pop("activationCode")
    _, listed = served.call("GET", PATH)
    (instance,) = listed["activations"][0].pop("instances")
    assert listed == {"activations": [{**made, "registrationsCount": 1}]}
    assert instance["managedInstanceId"] == joined["managedInstanceId"]
    assert served.call("GET", f"{PATH}?cluster=test")[1] == {"activations": []}
    assert code not in str(served.app.controller.registry.state.tables)


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        ({"cluster": "a b"}, "InvalidParameterException", "Cluster must match"),
        ({"registrationLimit": 0}, "InvalidParameterException", "Expected `int` >= 1 - at `.*registrationLimit`"),
        ({"registrationLimit": 1001}, "InvalidParameterException", "Expected `int` <= 1000"),
        ({"expiresAfter": 31 * 86400}, "InvalidParameterException", "Expected `int` <= 2592000"),
        ({"attributes": {"ecs.os-type": "x"}}, "InvalidParameterException", "matching regex"),
        ({"attributes": {"site": ""}}, "InvalidParameterException", "length >= 1|matching regex"),
        ({"colour": "blue"}, "InvalidParameterException", "unknown field `colour`"),
    ],
)
def test_what_an_activation_cannot_be(served: ServedApp, asked: dict[str, Any], code: str, text: str) -> None:
    status, refusal = served.call("POST", PATH, {"cluster": "prod", **asked})
    assert (status, refusal["__type"]) == (400, code)
    assert re.search(text, refusal["message"])


@pytest.mark.parametrize("body", [{}, {"activationCode": "x"}, {"activationCode": "x", "fingerprint": "short"}])
def test_what_joining_needs(served: ServedApp, body: dict[str, Any]) -> None:
    status, refusal = served.call("POST", f"{PATH}/{activate(served)['activationId']}/join", body, key=None)
    assert (status, refusal["__type"]) == (400, "InvalidParameterException")


def test_operators_calls_must_be_signed_and_by_operators(served: ServedApp) -> None:
    machine = Machine(served)
    for method, path in (("POST", PATH), ("GET", PATH), ("DELETE", f"{PATH}/{machine.id}")):
        assert served.call(method, path, key=None)[1]["__type"] == "MissingAuthenticationTokenException"
        assert served.call(method, path, key=machine.key)[1]["__type"] == "AccessDeniedException"
    assert served.call("PUT", PATH)[1]["__type"] == "UnknownOperationException"


def test_it_registers_as_what_it_joined_as(served: ServedApp) -> None:
    machine = Machine(served)
    document = '{"instanceId": "i-0123456789abcdef0", "instanceType": "m5.large"}'
    again = machine.register(instanceIdentityDocument=document)
    assert again["containerInstanceArn"] == machine.arn
    assert again["ec2InstanceId"] == machine.id
    assert "ecs.capability.external" in {each["name"] for each in again["attributes"]}
    endpoints = machine.ecs.discover_poll_endpoint(cluster="prod", containerInstance=machine.arn)
    assert endpoints["endpoint"] == f"{served.url}/acs"


def test_it_may_do_what_agents_do_for_itself(served: ServedApp) -> None:
    machine, other = Machine(served), Machine(served, FINGERPRINT[::-1])
    drained = machine.ecs.update_container_instances_state(
        cluster="prod", containerInstances=[machine.arn], status="DRAINING"
    )
    assert drained["containerInstances"][0]["status"] == "DRAINING"
    report = {"cluster": "prod", "task": "0" * 32, "status": "STOPPED"}
    assert machine.ecs.submit_task_state_change(**report)["acknowledgment"] == "ok"
    with denied("ecs:UpdateContainerInstancesState"):
        machine.ecs.update_container_instances_state(
            cluster="prod", containerInstances=[machine.arn, other.arn], status="DRAINING"
        )


def test_tasks_of_others_are_not_its_business(served: ServedApp) -> None:
    machine, other = Machine(served), Machine(served, FINGERPRINT[::-1])
    container = {"name": "app", "image": "busybox", "memory": 16}
    served.ecs.register_task_definition(family="web", containerDefinitions=[container])
    machine.connect()
    given = {"cluster": "prod", "taskDefinition": "web", "containerInstances": [machine.arn]}
    (task,) = served.ecs.start_task(**given)["tasks"]
    report = {"cluster": "prod", "task": task["taskArn"], "status": "RUNNING"}
    with denied("ecs:SubmitTaskStateChange"):
        other.ecs.submit_task_state_change(**report)
    with denied("ecs:GetTaskProtection"):
        other.ecs.get_task_protection(cluster="prod", tasks=[task["taskArn"]])
    with denied("ecs:GetTaskProtection"):
        machine.ecs.get_task_protection(cluster="prod")
    (failure,) = machine.ecs.get_task_protection(cluster="prod", tasks=[task["taskArn"]])["failures"]
    assert failure["arn"] == task["taskArn"]
    machine.ecs.submit_task_state_change(**report)
    (seen,) = served.ecs.describe_tasks(cluster="prod", tasks=[task["taskArn"]])["tasks"]
    assert seen["lastStatus"] == "RUNNING"


def test_anything_else_is_denied(served: ServedApp) -> None:
    machine, other = Machine(served), Machine(served, FINGERPRINT[::-1])
    who = f"arn:aws:sts::123456789012:assumed-role/ecsAnywhereRole/{machine.id}"
    with pytest.raises(ClientError) as refused:
        machine.ecs.run_task(cluster="prod", taskDefinition="web")
    assert refused.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": f"User: {who} is not authorized to perform: ecs:RunTask on resource: {CLUSTER} "
        "because no identity-based policy allows the ecs:RunTask action",
    }
    for action in ("list_clusters", "describe_clusters", "list_tasks", "list_container_instances"):
        with denied():
            getattr(machine.ecs, action)()
    with denied("ecs:RegisterContainerInstance"):
        machine.register(cluster="test")
    with pytest.raises(ClientError, match=f"is another machine than {machine.id}"):
        machine.register(containerInstanceArn=other.arn)


def connect(served: ServedApp, arn: str, key: tuple[str, str]) -> int:
    """The HTTP status with which the control connection is answered; 101 for one that comes about."""
    request = AWSRequest("GET", f"{served.url}/acs/ws?clusterArn=prod&containerInstanceArn={arn}&seqNum=1")
    SigV4QueryAuth(Credentials(*key), "ecs", REGION).add_auth(request)

    async def open_socket() -> int:
        async with ClientSession() as session:
            try:
                async with session.ws_connect(URL(request.url, encoded=True)):
                    return 101
            except WSServerHandshakeError as refusal:
                return refusal.status

    return served.run(open_socket())


def test_its_connections_are_its_own(served: ServedApp) -> None:
    machine, other = Machine(served), Machine(served, FINGERPRINT[::-1])
    assert connect(served, machine.arn, machine.key) == 101
    assert connect(served, other.arn, machine.key) == 403
    assert connect(served, other.arn, OPERATOR) == 101


def test_a_revoked_machine_is_out_at_once(served: ServedApp) -> None:
    machine = Machine(served)
    status, revoked = served.call("DELETE", f"{PATH}/{machine.id}")
    assert (status, revoked["status"]) == (200, "REVOKED")
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        machine.register()
    assert connect(served, machine.arn, machine.key) == 403
    (seen,) = served.ecs.describe_container_instances(cluster="prod", containerInstances=[machine.arn])[
        "containerInstances"
    ]
    assert (seen["status"], seen["statusReason"]) == ("INACTIVE", "The access of the external instance was revoked.")
    assert served.call("DELETE", f"{PATH}/{machine.id}") == (200, revoked)
    assert served.call("DELETE", f"{PATH}/nothing")[1]["__type"] == "InvalidActivationId"


def test_keys_outlive_the_controller_s_process(tmp_path: Path) -> None:
    with served_app(tmp_path) as served:
        served.ecs.create_cluster(clusterName="prod")
        machine = Machine(served)
    secret = tmp_path / "access-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    with served_app(tmp_path) as served:
        answer = served.client(*machine.key).discover_poll_endpoint(cluster="prod", containerInstance=machine.arn)
        assert answer["endpoint"]
    with served_app(tmp_path, access_secret="f" * 32) as served, pytest.raises(ClientError, match="InvalidSignature"):
        served.client(*machine.key).discover_poll_endpoint(cluster="prod")


def test_without_access_keys_it_is_taken_at_its_word(tmp_path: Path) -> None:
    with served_app(tmp_path, access_keys={}) as served:
        served.ecs.create_cluster(clusterName="prod")
        machine = Machine(served)
        assert machine.register()["ec2InstanceId"] == machine.id
        with denied("ecs:ListClusters"):
            machine.ecs.list_clusters()
        assert served.ecs.list_clusters()["clusterArns"] == [CLUSTER]


def test_a_secret_that_is_too_short_is_refused() -> None:
    with pytest.raises(BadSetting, match="access_secret should have 32 characters or more"):
        Settings.read({"AWSORCH_ACCESS_SECRET": "guess"})
