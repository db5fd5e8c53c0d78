"""One suite for what agents ask AWS for in their tasks' names: on the fake and on moto."""

from __future__ import annotations

import asyncio
import time
import uuid
from base64 import b64decode
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from awsorch.agent.cloudwatch_logs import LOGS
from awsorch.agent.services import ECR, SECRETS_MANAGER, SSM, AwsServices, ServiceError, Services
from awsorch.wire.sigv4 import Credentials
from tests.agent.fake_services import FakeServices
from tests.support.moto_process import client

KEY = Credentials(access_key_id="test", secret_access_key="test", session_token="TK")
REGION = "us-east-1"
ODD_KEY = "conf ig/a+b=ü/x~y.env"

Play = Callable[[Callable[[Services], Awaitable[None]]], None]


@pytest.fixture(params=["fake", "moto"])
def play(request: pytest.FixtureRequest) -> Play:
    """Runs a scenario where there are a parameter, a secret of two versions and an object."""
    if request.param == "fake":
        fake = FakeServices()
        fake.parameters["/a/b"] = "value"
        fake.secrets.update({"db": "new", ("db", "AWSPREVIOUS", ""): "old"})
        fake.objects[f"bucket/{ODD_KEY}"] = b"A=1"
        return lambda scenario: asyncio.run(_as_coroutine(scenario(fake)))
    url = request.getfixturevalue("moto_url")
    client(url, "ssm").put_parameter(Name="/a/b", Value="value", Type="SecureString", Overwrite=True)
    secrets = client(url, "secretsmanager")
    if not secrets.list_secrets()["SecretList"]:
        secrets.create_secret(Name="db", SecretString="old")
        secrets.put_secret_value(SecretId="db", SecretString="new")
    client(url, "s3").create_bucket(Bucket="bucket")
    client(url, "s3").put_object(Bucket="bucket", Key=ODD_KEY, Body=b"A=1")

    async def on_moto(scenario: Callable[[Services], Awaitable[None]]) -> None:
        async with aiohttp.ClientSession() as http:
            await scenario(AwsServices(http, {"AWS_ENDPOINT_URL": url}, time.time))

    return lambda scenario: asyncio.run(on_moto(scenario))


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work


def test_values_are_found(play: Play) -> None:
    async def scenario(services: Services) -> None:
        names = {"Names": ["/a/b", "/none"], "WithDecryption": True}
        answer = await services.call(SSM, "GetParameters", names, region=REGION, credentials=KEY)
        assert [(each["Name"], each["Value"]) for each in answer["Parameters"]] == [("/a/b", "value")]
        assert answer["InvalidParameters"] == ["/none"]
        for stage, value in (({}, "new"), ({"VersionStage": "AWSPREVIOUS"}, "old")):
            request = {"SecretId": "db", **stage}
            answer = await services.call(SECRETS_MANAGER, "GetSecretValue", request, region=REGION, credentials=KEY)
            assert answer["SecretString"] == value
        assert await services.read_object("bucket", ODD_KEY, region=REGION, credentials=KEY) == b"A=1"
        answer = await services.call(ECR, "GetAuthorizationToken", {}, region=REGION, credentials=KEY)
        assert b64decode(answer["authorizationData"][0]["authorizationToken"]).startswith(b"AWS:")

    play(scenario)


def test_lines_go_to_streams(play: Play) -> None:
    async def scenario(services: Services) -> None:
        async def call(operation: str, **request: object) -> object:
            return await services.call(LOGS, operation, request, region=REGION, credentials=KEY)

        group, stream = {"logGroupName": uuid.uuid4().hex}, {"logStreamName": "app/1"}
        with pytest.raises(ServiceError, match="ResourceNotFoundException: The specified log group does not exist"):
            await call("CreateLogStream", **group, **stream)
        await call("CreateLogGroup", **group)
        with pytest.raises(ServiceError, match="ResourceAlreadyExistsException"):
            await call("CreateLogGroup", **group)
        await call("CreateLogStream", **group, **stream)
        with pytest.raises(ServiceError, match="ResourceAlreadyExistsException"):
            await call("CreateLogStream", **group, **stream)
        now = int(time.time() * 1000)
        await call("PutLogEvents", **group, **stream, logEvents=[{"timestamp": now, "message": "a"}])
        with pytest.raises(ServiceError, match="ResourceNotFoundException: The specified log stream does not exist"):
            await call("PutLogEvents", **group, logStreamName="b", logEvents=[{"timestamp": now, "message": "a"}])

    play(scenario)


def test_what_is_not_there_is_told_in_the_service_s_words(play: Play) -> None:
    async def scenario(services: Services) -> None:
        with pytest.raises(ServiceError, match="ResourceNotFoundException: Secrets Manager can't find"):
            await services.call(SECRETS_MANAGER, "GetSecretValue", {"SecretId": "none"}, region=REGION, credentials=KEY)
        with pytest.raises(ServiceError, match="NoSuchKey: The specified key does not exist"):
            await services.read_object("bucket", "none.env", region=REGION, credentials=KEY)

    play(scenario)


class _Odd:
    """A server that answers the next requests as it is told to, and `asked` how often it was asked."""

    def __init__(self, *answers: tuple[int, str, dict[str, str]]) -> None:
        self._answers = list(answers)
        self.asked: list[web.Request] = []

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        status, text, headers = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.Response(status=status, text=text, headers=headers)


def ask(odd: _Odd, read: bool = False) -> object:
    """A parameter, or an object with ``read``, of an odd server; at once."""

    async def whole() -> object:
        async with odd as url, aiohttp.ClientSession() as http:
            services = AwsServices(http, {"AWS_ENDPOINT_URL_SSM": url, "AWS_ENDPOINT_URL_S3": url}, time.time)
            if read:
                return await services.read_object("b", "k", region=REGION, credentials=KEY)
            return await services.call(SSM, "GetParameters", {}, region=REGION, credentials=KEY)

    return asyncio.run(whole())


def test_what_may_pass_is_tried_again() -> None:
    throttled = (400, '{"__type": "ThrottlingException", "message": "Rate exceeded"}', {})
    odd = _Odd(throttled, (503, "<html>", {}), (200, '{"Parameters": []}', {}))
    assert ask(odd) == {"Parameters": []}
    refused = _Odd((400, '{"__type": "com.amazonaws#AccessDeniedException", "Message": "no"}', {}))
    with pytest.raises(ServiceError, match=r"^AccessDeniedException: no$"):
        ask(refused)
    assert len(refused.asked) == 1
    broken = _Odd((200, "[]", {}))
    with pytest.raises(ServiceError, match="no JSON object"):
        ask(broken)
    assert len(broken.asked) == 3


def test_a_bucket_of_another_region_is_found_there() -> None:
    odd = _Odd(
        (301, "<Error><Code>PermanentRedirect</Code></Error>", {"x-amz-bucket-region": "eu-west-1"}), (200, "A", {})
    )
    assert ask(odd, read=True) == b"A"
    assert "/eu-west-1/s3/" in odd.asked[1].headers["Authorization"]


def test_nobody_answers() -> None:
    async def whole() -> None:
        async with aiohttp.ClientSession() as http:
            services = AwsServices(http, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, time.time)
            await services.call(SSM, "GetParameters", {}, region=REGION, credentials=KEY)

    with pytest.raises(ServiceError, match=r"no answer from http://127\.0\.0\.1:9/"):
        asyncio.run(whole())


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://api.ecr.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_where_services_listen(region: str, url: str) -> None:
    async def whole() -> None:
        async with aiohttp.ClientSession() as http:
            assert AwsServices(http, {}, time.time).endpoint(ECR, region) == url

    asyncio.run(whole())
