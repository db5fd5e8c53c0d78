"""STS and EC2, as far as they say who an instance is: signatures are verified, as AWS does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qs

from aiohttp import web

from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import Verifier

_HOST = "sts.us-east-1.amazonaws.com"


class FakeSts:
    """``secrets`` and ``arns`` by access key id; ``instances``: id to state. ``down``: it answers 503."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.arns: dict[str, str] = {}
        self.instances: dict[str, str] = {}
        self.down = False
        self.asked = 0

    def role(
        self, instance_id: str, *, role: str = "nodes", account: str = "123456789012", state: str = "running"
    ) -> str:
        """Have an instance with a role; the id of its access key, whose secret is "hidden"."""
        key = f"ASIAROLE{len(self.secrets)}OF{instance_id[2:].upper()}"
        self.secrets[key] = "hidden"
        self.arns[key] = f"arn:aws:sts::{account}:assumed-role/{role}/{instance_id}"
        self.instances[instance_id] = state
        return key

    async def answer(self, request: web.Request) -> web.Response:
        """Answer GetCallerIdentity or DescribeInstances."""
        body = await request.read()
        asked = parse_qs(body.decode())
        if self.down:
            return web.Response(status=503)
        if asked.get("Action") == ["DescribeInstances"]:
            return self._describe(asked.get("InstanceId.1", [""])[0])
        if asked.get("Action") != ["GetCallerIdentity"]:
            return web.Response(status=400)
        self.asked += 1
        verifier = Verifier(self.secrets, "sts", clock=lambda: datetime.now(UTC))
        try:
            assert request.headers["Host"] == _HOST
            key = verifier.verify("POST", request.path, request.query_string, request.headers, body)
        except WireError as error:
            return _xml(403, f"<ErrorResponse><Error><Message>{error.message}</Message></Error></ErrorResponse>")
        return _xml(200, f"<GetCallerIdentityResponse><Arn>{self.arns[key]}</Arn></GetCallerIdentityResponse>")

    def _describe(self, instance_id: str) -> web.Response:
        if instance_id not in self.instances:
            error = "<Code>InvalidInstanceID.NotFound</Code><Message>no</Message>"
            return _xml(400, f"<Response><Errors><Error>{error}</Error></Errors></Response>")
        state = f"<instanceState><name>{self.instances[instance_id]}</name></instanceState>"
        instances = f"<instancesSet><item><instanceId>{instance_id}</instanceId>{state}</item></instancesSet>"
        reservations = f"<reservationSet><item>{instances}</item></reservationSet>"
        return _xml(200, f"<DescribeInstancesResponse>{reservations}</DescribeInstancesResponse>")


def _xml(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/xml")


@asynccontextmanager
async def fake_sts(fake: FakeSts) -> AsyncIterator[str]:
    """The URL at which it listens."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
