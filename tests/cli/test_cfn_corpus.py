"""Templates of others: the transform and the proxy make the same of them, and ECS is asked for what it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from awsorch.cfn.contract import Action, CallRefused, Progress, Request, done, scalar_text
from awsorch.cfn.ecs import EcsProvider
from awsorch.cfn.transform import TYPES
from awsorch.cli.main import main
from awsorch.local.stacks.documents import read_template
from awsorch.local.stacks.kinds.tables import KINDS
from awsorch.local.stacks.mailbox import PREFIX
from awsorch.local.stacks.schemas import Schemas
from tests.cfn.calls import a_request
from tests.cli.cfn_account import TOPIC, Account, mine, through
from tests.local.stacks.world import FakeCloud, StackWorld
from tests.support.virtual_time import VirtualTimeLoop, run

__all__ = ["mine"]

CORPUS = Path(__file__).parents[1] / "e2e" / "corpus"
CLUSTER = "cluster.yaml"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
BUCKET = "https://bucket.s3.us-east-1.amazonaws.com/"
SCALING = "AWS::ApplicationAutoScaling::"

Asked = dict[tuple[str, str], Any]
"""What a handler is asked to make: (logical id, type) to the model."""


def templates() -> dict[str, str]:
    """The corpus; nested templates are in S3, as they are, and go by their keys."""
    paths = sorted(each for each in CORPUS.rglob("*") if each.suffix in (".yaml", ".json"))
    found = {str(each.relative_to(CORPUS)): each.read_text() for each in paths}
    main = "nested/main.yaml"
    found[main] = found[main].replace("TemplateURL: ", f"TemplateURL: {BUCKET}nested/")
    return dict(sorted(found.items(), key=lambda each: each[0] != CLUSTER))  # whose exports the others import


@dataclass
class EveryCloud(FakeCloud):
    """Has every type; its resources go by their logical ids, so that two clouds have the same."""

    asked: Asked = field(default_factory=dict)

    def types(self) -> frozenset[str]:
        return frozenset(KINDS) | TYPES

    def replaced_by(self, type: str, previous: Mapping[str, Any], model: Mapping[str, Any]) -> frozenset[str]:
        return frozenset()

    async def step(self, request: Request) -> Progress:
        if request.type in TYPES or request.type.startswith(SCALING):
            self.asked[request.logical_id, request.type] = request.model
        return done(f"{request.logical_id}-id", **attributes(request.logical_id, request.type))

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        if service == "ec2":
            return {"AvailabilityZones": [{"ZoneName": f"us-east-1{letter}"} for letter in "abc"]}
        if service == "ssm":
            return {"Parameter": {"Value": "ami-1"}}
        if service == "secretsmanager":
            return {"SecretString": json.dumps({"username": "me", "password": "x"})}
        return await super().call(service, operation, members)


def attributes(logical: str, type: str) -> dict[str, str]:
    """Everything that Fn::GetAtt may ask for, with something to split."""
    return {name: f"arn:{logical}/{name}/a/b:c" for name in Schemas().attributes(type)}


async def play(world: StackWorld, cloud: EveryCloud, texts: Mapping[str, str]) -> dict[str, Asked]:
    """What handlers are asked for by each template: of AWS's own types, or as awsorch's custom resources."""
    answering = asyncio.create_task(answer(world, cloud))
    asked = {}
    for name, text in texts.items():
        cloud.asked = {}
        stack = Path(name).stem
        await world.stacks.create_stack({"StackName": stack, "TemplateBody": text, "Capabilities": CAPABILITIES})
        (made,) = [each for each in world.store.stacks() if each.name == stack]
        await world.engine.wait(made.id, 1e9)
        (described,) = (await world.reads.describe_stacks({"StackName": stack}))["Stacks"]
        assert described["StackStatus"] == "CREATE_COMPLETE", (name, described.get("StackStatusReason"))
        asked[name] = cloud.asked
    answering.cancel()
    with suppress(asyncio.CancelledError):
        await answering
    return asked


async def answer(world: StackWorld, cloud: EveryCloud) -> None:
    """Be who listens to awsorch's topic."""
    answered = 0
    while True:
        for event in cloud.published[answered:]:
            answered += 1
            logical, wanted = event["LogicalResourceId"], event["ResourceProperties"]
            assert wanted["ServiceToken"] == TOPIC
            cloud.asked[logical, wanted["AwsorchType"]] = wanted["Model"]
            known = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
            data = {name: value for name, value in attributes(logical, wanted["AwsorchType"]).items() if len(name) < 20}
            body = {**known, "Status": "SUCCESS", "PhysicalResourceId": f"{logical}-id", "Data": data}
            parts = urlsplit(event["ResponseURL"])
            signature = parse_qs(parts.query)["Signature"][0]
            world.mailbox.take(parts.path.removeprefix(PREFIX), signature, json.dumps(body).encode())
        await asyncio.sleep(0.1)


def played(folder: Path, texts: Mapping[str, str], objects: Mapping[str, str]) -> dict[str, Asked]:
    async def scene(_: VirtualTimeLoop) -> dict[str, Asked]:
        cloud = EveryCloud()
        world = StackWorld(folder, cloud)
        world.nest(objects)
        try:
            return await play(world, cloud, texts)
        finally:
            await world.close()

    return run(scene)


class Refusing:
    """Implements AwsCalls: notes what is called, and refuses it."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Any]] = []

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        self.made.append((operation, members))
        raise CallRefused(service=service, operation=operation, code="ServerException", message="")


def ecs_calls(asked: Asked) -> dict[str, Any]:
    """Logical id to the ECS calls that its handler begins with."""
    found = {}
    for (logical, type), model in asked.items():
        if type in TYPES:
            calls = Refusing()
            asyncio.run(EcsProvider(calls).step(a_request(Action.CREATE, type, model, logical_id=logical, since=0.0)))
            assert len(calls.made) == 1, (logical, calls.made)
            found[logical] = calls.made
    return found


def scaling(asked: Asked) -> dict[str, Any]:
    """What is not ECS's own, as text: awsorch's custom resources have no other types."""
    return {logical: as_text(model) for (logical, type), model in asked.items() if type.startswith(SCALING)}


def as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: as_text(each) for key, each in value.items() if each is not None}
    return list(map(as_text, value)) if isinstance(value, list) else scalar_text(value)


def proxied(folder: Path, texts: Mapping[str, str], objects: dict[str, str]) -> dict[str, str]:
    """The texts as the proxy passes them on; what it adds to S3 is added to the objects."""
    found = {}

    def use(stacks: Any, account: Account) -> None:
        account.objects.update(objects)
        for name, text in texts.items():
            with suppress(ClientError):  # this cloud has queues only; what counts is what it is sent
                stacks.create_change_set(StackName="s", ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=text)
            found[name] = account.calls[-1]["TemplateBody"]
        objects.update(account.objects)

    through(folder, use)
    return found


@pytest.fixture
def corpus() -> dict[str, str]:
    return templates()


def test_the_transform_and_the_proxy_ask_ecs_for_the_same(corpus: dict[str, str], tmp_path: Path) -> None:
    inner = {name: corpus.pop(name) for name in list(corpus) if name.startswith("nested/") and "main" not in name}
    through_proxy = dict(inner)
    passed = proxied(tmp_path / "proxy", corpus, through_proxy)
    assert len(corpus) == 14
    assert set(through_proxy) > set(inner)

    native = played(tmp_path / "native", corpus, inner)
    custom = played(tmp_path / "custom", passed, through_proxy)
    assert sum(len(ecs_calls(each)) for each in native.values()) >= 30
    for name in corpus:
        assert ecs_calls(custom[name]) == ecs_calls(native[name]), name
    assert {name: scaling(each) for name, each in custom.items()} == {
        name: scaling(each) for name, each in native.items()
    }


def test_the_command_and_the_proxy_write_the_same(corpus: dict[str, str], tmp_path: Path) -> None:
    flat = {name: text for name, text in corpus.items() if not name.startswith("nested/")}
    passed = proxied(tmp_path, flat, {})
    for name, text in flat.items():
        command = ["cfn", "transform", str(CORPUS / name), "--service-token", TOPIC]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.stderr
        assert read_template(done.stdout) == read_template(passed[name]), name
        assert (read_template(passed[name]) == read_template(text)) == ("AWS::ECS::" not in text), name
