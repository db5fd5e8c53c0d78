"""Calls of AWS: whatever goes wrong is one exception that says what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from awsorch.adapters.aws import Aws, AwsError
from tests.local.serving import serving

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1"
ERROR = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>why</Message></Error></ErrorResponse>"
HEALTH = """<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<DescribeTargetHealthResult><TargetHealthDescriptions/></DescribeTargetHealthResult></DescribeTargetHealthResponse>"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


async def ask(aws: Aws) -> object:
    answer = await aws.call("elbv2", "describe_target_health", TargetGroupArn=ARN)
    return answer["TargetHealthDescriptions"]


def play(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> object:
    """What one call comes to when a server answers so."""

    async def body() -> object:
        async with serving(handler) as url:
            aws = Aws(region="us-east-1", endpoint=url)
            try:
                return await ask(aws)
            finally:
                await aws.close()

    return asyncio.run(body())


@pytest.mark.parametrize(
    ("status", "code", "refused", "throttled"),
    [
        (400, "TargetGroupNotFound", True, False),
        (403, "AccessDenied", True, False),
        (400, "Throttling", False, True),
        (400, "RequestLimitExceeded", False, True),
        (503, "ServiceUnavailable", False, False),
        (500, "InternalFailure", False, False),
    ],
)
def test_refusals_carry_awss_code_and_message_and_are_not_repeated(
    status: int, code: str, refused: bool, throttled: bool
) -> None:
    calls = []

    async def handler(request: web.Request) -> web.StreamResponse:
        calls.append(request)
        return web.Response(status=status, text=ERROR.format(code), content_type="text/xml")

    with pytest.raises(AwsError) as caught:
        play(handler)
    error = caught.value
    assert (error.code, error.message, error.refused, error.is_throttled) == (code, "why", refused, throttled)
    assert len(calls) == 1, "the planner asks again, botocore does not"


def test_an_answer() -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=HEALTH, content_type="text/xml")

    assert play(handler) == []


def test_a_connection_that_breaks_is_no_refusal() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(AwsError) as caught:
        play(handler)
    assert not caught.value.refused
    assert not caught.value.is_throttled


def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.adapters.aws.READ_TIMEOUT_S", 0.05)

    async def body() -> None:
        over = asyncio.Event()

        async def handler(_: web.Request) -> web.StreamResponse:
            await over.wait()
            return web.Response()

        async with serving(handler) as url:
            aws = Aws(region="us-east-1", endpoint=url)
            try:
                await ask(aws)
            finally:
                over.set()
                await aws.close()

    with pytest.raises(AwsError) as caught:
        asyncio.run(body())
    assert (caught.value.code, caught.value.refused) == ("ReadTimeoutError", False)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, f"{tmp_path}/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async def handler(_: web.Request) -> web.StreamResponse:
        raise AssertionError("nothing may be sent unsigned")

    with pytest.raises(AwsError, match="NoCredentialsError"):
        play(handler)
