"""Functions of stacks against moto: made, changed, invoked with the code that the template brought, and removed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from awsorch.cfn.contract import Action, CallRefused, Outcome, Progress
from awsorch.local.lambda_runner import FunctionFailed, LambdaRunner, inline_code
from awsorch.local.stacks.functions import TYPE, FunctionCode, FunctionResources, StackFunctions
from awsorch.local.stacks.kinds.tables import KINDS
from awsorch.local.stacks.kinds.wire import WireProvider
from awsorch.local.stacks.schemas import Schemas
from tests.cfn.calls import BotoCalls, a_request, carry, changed, made, removed
from tests.local.stacks.world import Body
from tests.support.moto_process import client

TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}
GREET = "import os\ndef handler(event, context):\n    return [os.environ['WORD'], event]"


class Calls(BotoCalls):
    """moto, but for the objects in S3, which are here."""

    objects: dict[str, bytes]

    async def call(self, service: str, operation: str, members: Any) -> Any:
        if service == "s3" and members["Key"] not in self.objects:
            said = f"no {members['Key']}"
            raise CallRefused(service=service, operation=operation, code="NoSuchKey", message=said)
        if service == "s3":
            return {"Body": ZipBody(self.objects[members["Key"]])}
        return await super().call(service, operation, members)


class ZipBody(Body):
    """An object's content, in bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__("")
        self._content = content

    async def read(self) -> bytes:
        return self._content


class Site:
    """The parts together."""

    def __init__(self, moto_url: str, folder: Path) -> None:
        self.calls = Calls(**{each: client(moto_url, each) for each in ("lambda", "iam")})
        self.calls.objects = {}
        wire = WireProvider(self.calls, KINDS, Schemas(), region="us-east-1", account_id="123456789012")
        code = FunctionCode(folder)
        self.resources = FunctionResources(wire, self.calls, code)
        self.wire = wire
        self.functions = StackFunctions(self.calls, code, LambdaRunner({}))

    def invoke(self, arn: str, event: Any) -> Any:
        return asyncio.run(self.functions.invoke(arn, event))


@pytest.fixture
def site(moto_url: str, tmp_path: Path) -> Site:
    return Site(moto_url, tmp_path)


@pytest.fixture
def role(moto_url: str) -> str:
    iam = client(moto_url, "iam")
    names = {each["RoleName"]: each["Arn"] for each in iam.list_roles()["Roles"]}
    if "runner" not in names:
        answer = iam.create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(TRUST))
        names["runner"] = answer["Role"]["Arn"]
    return str(names["runner"])


def test_a_function_is_made_invoked_changed_and_removed(site: Site, role: str) -> None:
    model: dict[str, Any] = {
        "Code": {"ZipFile": GREET},
        "Environment": {"Variables": {"WORD": "hello"}},
        "Handler": "index.handler",
        "Role": role,
        "Runtime": "python3.12",
        "Timeout": "20",
    }
    progress = made(site.resources, TYPE, model, tags={"team": "x"})
    assert progress.outcome is Outcome.SUCCESS, progress.message
    id, arn = progress.physical_id, progress.attributes["Arn"]
    assert site.invoke(arn, 1) == ["hello", 1]
    again = carry(site.resources, a_request(Action.CREATE, TYPE, model, retried=True))
    assert again.physical_id == id

    site.calls.objects["code.zip"] = inline_code("def go(event, context):\n    return 'packed'", "python3.12")
    packed = {**model, "Code": {"S3Bucket": "b", "S3Key": "code.zip"}, "Handler": "index.go"}
    update = changed(site.resources, TYPE, id, model, packed, attributes=progress.attributes)
    assert update.outcome is Outcome.SUCCESS, update.message
    assert site.invoke(id, None) == "packed", "by its name as well"

    permission = {"FunctionName": id, "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"}
    allowed = made(site.wire, "AWS::Lambda::Permission", permission)
    assert allowed.outcome is Outcome.SUCCESS, allowed.message
    removed(site.wire, "AWS::Lambda::Permission", allowed.physical_id, permission)

    for _ in range(2):
        gone: Progress = removed(site.resources, TYPE, id, packed, attributes=progress.attributes)
        assert gone.outcome is Outcome.SUCCESS, gone.message
    with pytest.raises(FunctionFailed, match="can't be invoked"):
        site.invoke(arn, 1)


def test_another_runtime_and_unknown_code_are_said(site: Site, role: str, moto_url: str) -> None:
    model = {"Code": {"ZipFile": "exports.handler = 1"}, "Handler": "index.handler", "Role": role}
    progress = made(site.resources, TYPE, {**model, "Runtime": "nodejs20.x"})
    assert progress.outcome is Outcome.SUCCESS, progress.message
    with pytest.raises(FunctionFailed, match=r"nodejs20\.x: only functions in Python run here"):
        site.invoke(progress.physical_id, 1)
    code = inline_code(GREET, "python3.12")
    by_hand = {"FunctionName": "by-hand", "Role": role, "Handler": "index.handler", "Runtime": "python3.12"}
    client(moto_url, "lambda").create_function(**by_hand, Code={"ZipFile": code})
    with pytest.raises(FunctionFailed, match="only functions that a stack has made run"):
        site.invoke("by-hand", 1)


def test_code_that_is_not_there_fails_the_resource(site: Site, role: str) -> None:
    code = {"S3Bucket": "b", "S3Key": "none.zip"}
    model = {"Code": code, "Role": role, "Runtime": "python3.12", "Handler": "a.b"}
    progress = carry(site.resources, a_request(Action.CREATE, TYPE, model))
    assert progress.outcome is Outcome.FAILED
    assert progress.message.startswith("The code of the function can't be had: no none.zip")
