"""What is left to a LocalStack, and under which account."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from awsorch.local.elsewhere import AT_HOME, Elsewhere, left_to, look_at
from awsorch.local.options import CannotStart

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"


def test_services_are_left_by_the_names_that_signatures_have() -> None:
    found = left_to(["s3", "sqs", "stepfunctions", "ec2", "iam", "elbv2", "cloudwatch", "opensearch"])
    assert found == {"s3", "sqs", "states", "es"}
    assert not found & AT_HOME
    assert left_to(["iam", "cloudwatch"], ["iam", "cloudwatch"]) == {"iam", "monitoring"}
    with pytest.raises(CannotStart, match="ecr can't be left to it: it should be one of iam"):
        left_to(["iam"], ["ecr"])
    with pytest.raises(CannotStart, match="ec2 can't be left to it"):
        left_to(["ec2", "iam"], ["ec2"])


def test_calls_are_of_the_local_cloud_s_account() -> None:
    there = Elsewhere(url="http://there", services=frozenset({"s3", "sqs"}), account_id="123456789012")
    assert (there.has("sqs"), there.has(None), there.has("logs")) == (True, True, False)
    headers = there.headers(CIMultiDict({"Authorization": SIGNED, "Host": "here"}))
    assert "Credential=123456789012/20260101/us-east-1/sqs" in headers["Authorization"]
    assert there.headers(CIMultiDict({"Host": "here"})) == {"Host": "here"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"services": {"sqs": "available", "sns": "disabled"}}, None),
        ({"services": {"ec2": "running"}}, "has no service that the local cloud could leave to it"),
        ({"status": "ok"}, "does not tell services at /_localstack/health"),
        (None, "does not tell services"),
    ],
)
@pytest.mark.parametrize("path", ["/_localstack/health", "/_localemu/health"])
def test_it_is_asked_what_it_has(answer: Any, said: str | None, path: str) -> None:
    async def scene() -> None:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if request.path != path:
                return web.Response(status=404, text="<html>")
            return web.json_response(answer) if answer is not None else web.Response(text="hello")

        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            if said is None:
                assert await look_at(url) == {"sqs"}
            else:
                with pytest.raises(CannotStart, match=said):
                    await look_at(url)
        finally:
            await runner.cleanup()
        with pytest.raises(CannotStart, match="nothing answers at"):
            await look_at(url)

    asyncio.run(scene())
