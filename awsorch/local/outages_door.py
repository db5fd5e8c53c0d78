"""`POST /awsorch/local/instances/<id>/<outage>`: an outage of a local instance, asked for by an operator.

A path of awsorch's own, since EC2 has no such calls. The body is empty or a JSON object whose `seconds` say how long
the outage lasts, or how long before its end a spot instance gets notice. Here is also how the door sees that a call
has rebooted instances. Nothing is played here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from awsorch.api.auth import Authenticator
from awsorch.api.http import read_body
from awsorch.local.outages_line import Desk
from awsorch.local.refusal import Refused
from awsorch.local.service_call import ServiceCall
from awsorch.wire.errors import WireError

PATH = "/awsorch/local/"
OUTAGES = ("interrupt", "cut", "uncut", "kill")
LONGEST_SECONDS = 86400.0
_INSTANCE_ID = re.compile(r"InstanceId\.\d+")


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a request's body may say."""

    seconds: Annotated[float, msgspec.Meta(ge=0.0, le=LONGEST_SECONDS)] | None = None


class OutagesDoor:
    """Answers requests under the path."""

    def __init__(self, authenticator: Authenticator, desk: Desk | None) -> None:
        """`desk` is None outside a local cloud."""
        self._authenticator = authenticator
        self._desk = desk

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for the connection itself."""
        try:
            return web.json_response(await self._answer(request))
        except (WireError, Refused) as refusal:
            status = refusal.status if isinstance(refusal, WireError) else 400
            status = 503 if refusal.code == "ServiceUnavailable" else status
            return web.json_response({"__type": refusal.code, "message": refusal.message}, status=status)

    async def _answer(self, request: web.BaseRequest) -> dict[str, Any]:
        body = await read_body(request)
        self._authenticator.caller_arn(request, body)
        match request.method, request.path.removeprefix(PATH).split("/"):
            case "POST", ["instances", instance_id, outage] if outage in OUTAGES:
                return await self._play(outage, instance_id, _read(body))
        known = ", ".join(f"POST {PATH}instances/<id>/{outage}" for outage in OUTAGES)
        raise Refused("UnknownOperationException", f"{request.method} {request.path} is not known. These are: {known}.")

    async def _play(self, outage: str, instance_id: str, wish: Wish) -> dict[str, Any]:
        if self._desk is None:
            raise Refused(
                "UnsupportedFeatureException",
                f"Only instances of a local cloud (`awsorch up`) can be put through this: {outage}.",
            )
        at = await self._desk.ask(outage, instance_id, wish.seconds)
        answer: dict[str, Any] = {"instanceId": instance_id, "outage": outage}
        return answer if at is None else answer | {"endsAt": datetime.fromtimestamp(at, UTC).isoformat()}


def is_reboot(call: ServiceCall) -> bool:
    """Whether a call of EC2 reboots instances."""
    return (call.service, call.operation) == ("ec2", "RebootInstances")


def rebooted_instances(query: str, body: bytes) -> list[str]:
    """The instances that a RebootInstances call names."""
    members = parse_qsl(query) + parse_qsl(body.decode("latin-1"))
    return [value for name, value in members if _INSTANCE_ID.fullmatch(name)]


def _read(body: bytes) -> Wish:
    try:
        return msgspec.json.decode(body or b"{}", type=Wish)
    except msgspec.DecodeError as error:
        raise Refused("InvalidParameterException", f'The body should be like {{"seconds": 120}}: {error}') from None
