"""An account for `awsorch cfn`: stacks behind a door, beside a shelf that is S3, and custom resources that are made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from click.testing import CliRunner, Result

from awsorch.cfn.transform import TransformSettings
from awsorch.cli.cfn_options import Account as Settings
from awsorch.cli.cfn_proxy import serving
from awsorch.cli.cfn_rewriting import Rewriting
from awsorch.cli.main import main
from awsorch.local.door import Door
from awsorch.local.service_call import ServiceCall
from awsorch.local.service_errors import ErrorAnswer
from awsorch.local.stacks.calls import StackCalls
from awsorch.local.stacks.mailbox import PREFIX
from awsorch.wire.sigv4 import credential_scope
from tests.local.serving import fronting
from tests.local.stacks.world import StackWorld

TOPIC = "arn:aws:sns:us-east-1:123456789012:awsorch-cfn"
LONG_S = 60.0
_CALLER = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/me</Arn>"
    "<UserId>me</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@pytest.fixture(autouse=True)
def mine(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of whoever types the command."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@dataclass
class Account:
    """What commands find at `url`. `uploads`: keys in the order in which they were written; `calls`: the forms that
    CloudFormation was sent, `signers`: the access key of each; `refusing`: custom resources that fail, by logical id,
    and why."""

    world: StackWorld
    url: str = ""
    uploads: list[str] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    signers: list[str] = field(default_factory=list)
    refusing: dict[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> dict[str, str]:
        """What is in S3: key to text, whatever the bucket."""
        return self.world.cloud.objects

    def client(self, service: str) -> Any:
        return client(self.url, service)

    def awsorch(self, *arguments: str, **environment: str) -> Result:
        """Run a command; the topic of awsorch and the account are in its environment."""
        told = {"AWSORCH_SERVICE_TOKEN": TOPIC, "AWS_ENDPOINT_URL": self.url, **environment}
        result = CliRunner().invoke(main, ["cfn", *arguments], env=told)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def asked(self) -> list[tuple[str, str]]:
        """(what, logical id) of every request to awsorch's topic."""
        return [(each["RequestType"], each["LogicalResourceId"]) for each in self.world.cloud.published]

    def models(self) -> dict[str, Any]:
        """Logical id to what its last request wants of ECS."""
        return {each["LogicalResourceId"]: each["ResourceProperties"]["Model"] for each in self.world.cloud.published}

    def body(self, operation: str) -> Any:
        """The template of the last such call, in the call itself."""
        return json.loads([each for each in self.calls if each["Action"] == operation][-1]["TemplateBody"])


def with_account(folder: Path, use: Callable[[Account], None]) -> None:
    """Let something use an account, in a thread of its own."""

    async def scene() -> None:
        world = StackWorld(folder)
        account = Account(world)
        door = Door(upstream=None, ecs=_nobody, verifier=None)
        door.own.append(_Noted(account))
        world.nest({})

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            scope = credential_scope(request.headers, request.rel_url.raw_query_string)
            assert scope is not None, "everything is signed"
            if scope.service == "s3":
                return await _shelf(account, request)
            if scope.service == "sts":
                return web.Response(text=_CALLER, content_type="text/xml")
            account.signers.append(scope.access_key_id)
            return await door.handle(request)

        async with fronting(handle) as account.url:
            making = asyncio.create_task(_make(account))
            try:
                await asyncio.to_thread(use, account)
            finally:
                making.cancel()
                with suppress(asyncio.CancelledError):
                    await making
        await door.close()
        await world.close()

    asyncio.run(asyncio.wait_for(scene(), LONG_S))


class _Noted(StackCalls):
    """Notes what is asked."""

    def __init__(self, account: Account) -> None:
        world = account.world
        super().__init__(region="us-east-1", stacks=world.stacks, change_sets=world.sets, readings=world.reads)
        self._account = account

    async def answer(self, call: ServiceCall, query: str, body: bytes) -> tuple[int, ErrorAnswer]:
        form = parse_qs(body.decode(), keep_blank_values=True)
        self._account.calls.append({name: values[0] for name, values in form.items()})
        return await super().answer(call, query, body)


async def _nobody(_: web.BaseRequest) -> web.Response:
    raise AssertionError("nobody asked for ECS")


async def _shelf(account: Account, request: web.BaseRequest) -> web.StreamResponse:
    """GetObject, HeadObject and PutObject, by path; nothing under `closed/` for anybody."""
    _, _, key = request.path.lstrip("/").partition("/")
    if "Expect" in request.headers:  # or botocore waits a second for leave to send each object
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # or aiohttp takes the answer's head for sent
    content = (await request.read()).decode()
    if key.startswith("closed/"):
        return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>", content_type="text/xml")
    if request.method == "PUT":
        account.objects[key] = content
        account.uploads.append(key)
        return web.Response()
    if key not in account.objects:
        return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="text/xml")
    return web.Response(text=account.objects[key])


def through(
    folder: Path,
    use: Callable[[Any, Account], None],
    told: list[str] | None = None,
    bucket: str | None = None,
    away: bool = False,
) -> None:
    """Let boto3 use an account through a proxy; `away`: nothing answers behind it."""

    def play(account: Account) -> None:
        async def scene() -> None:
            endpoint = "http://127.0.0.1:9" if away else account.url
            settings = TransformSettings(service_token=TOPIC)
            notes = told.append if told is not None else print
            rewriting = Rewriting(settings, Settings("us-east-1", None, endpoint), (bucket, ""), notes)
            async with serving(rewriting, 0) as url:
                await asyncio.to_thread(use, client(url), account)

        asyncio.run(scene())

    with_account(folder, play)


def client(url: str, service: str = "cloudformation") -> Any:
    keys = {"aws_access_key_id": "theirs", "aws_secret_access_key": "other"}
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=url, region_name="us-east-1", config=config, **keys)


async def _make(account: Account) -> None:
    """Answer what is asked of the topic, as whoever listens there."""
    world, answered = account.world, 0
    while True:
        for event in world.cloud.published[answered:]:
            answered += 1
            known = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
            name = event["LogicalResourceId"]
            why = account.refusing.get(name) if event["RequestType"] != "Delete" else None
            said = {"Status": "FAILED", "Reason": why} if why else {"Status": "SUCCESS", "Data": {"Arn": f"arn:{name}"}}
            body = {**known, **said, "PhysicalResourceId": event.get("PhysicalResourceId", f"{name}-id")}
            parts = urlsplit(event["ResponseURL"])
            signature = parse_qs(parts.query)["Signature"][0]
            world.mailbox.take(parts.path.removeprefix(PREFIX), signature, json.dumps(body).encode())
        await asyncio.sleep(0.005)
