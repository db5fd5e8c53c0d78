"""`/awsorch/local/faults` at the door: who may, and what it says where there is no EC2 to tell."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from awsorch.api.auth import Authenticator
from awsorch.core.arn import Scope
from awsorch.local.moto_faults_door import PATH, FaultsDoor
from awsorch.wire.sigv4 import Verifier
from tests.local.serving import fronting, serving

SCOPE = Scope(partition="aws", region="us-east-1", account="123456789012")


def ask(door: FaultsDoor, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, Any]]:
    async def call() -> tuple[int, dict[str, Any]]:
        async with (
            fronting(door.handle) as url,
            aiohttp.ClientSession() as session,
            session.request(method, url + PATH, data=body) as answer,
        ):
            return answer.status, await answer.json()

    return asyncio.run(call())


def test_faults_go_to_moto_and_its_words_come_back(moto_url: str) -> None:
    door = FaultsDoor(Authenticator(SCOPE, None), moto_url)
    status, answer = ask(door, "POST", b'{"instanceType": "c5.large"}')
    assert (status, [each["instanceType"] for each in answer["faults"]]) == (200, ["c5.large"])
    assert ask(door, "POST", b"{")[1]["__type"] == "InvalidParameterException"
    assert ask(door, "DELETE") == (200, {"faults": []})


def test_who_does_not_sign_may_not(moto_url: str) -> None:
    verifier = Verifier({"AKIDEXAMPLE": "secret"}, clock=lambda: datetime.now(UTC))
    status, answer = ask(FaultsDoor(Authenticator(SCOPE, verifier), moto_url), "DELETE")
    assert (status, answer["__type"]) == (400, "MissingAuthenticationTokenException")


@pytest.mark.parametrize("there", [True, False])
def test_elsewhere_than_in_a_local_cloud_there_is_no_such_thing(there: bool) -> None:
    async def unknown(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async def call() -> tuple[int, dict[str, Any]]:
        async with serving(unknown) as upstream:
            door = FaultsDoor(Authenticator(SCOPE, None), upstream if there else "")
            return await asyncio.to_thread(ask, door)

    status, answer = asyncio.run(call())
    assert (status, answer["__type"]) == (400, "UnsupportedFeatureException")


def test_an_ec2_that_is_down_is_said_to_be() -> None:
    status, answer = ask(FaultsDoor(Authenticator(SCOPE, None), "http://127.0.0.1:9"))
    assert (status, answer["__type"]) == (503, "ServiceUnavailable")
