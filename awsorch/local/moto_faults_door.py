"""`/awsorch/local/faults` at the door: which launches the local cloud's EC2 refuses.

POST puts a fault, GET reads them, DELETE takes all away; see `moto_launch_faults`, which has them and judges the
bodies. Here a request is only authenticated, as all of awsorch's own paths are, and passed on.
"""

from __future__ import annotations

import aiohttp
from aiohttp import web

from awsorch.api.auth import Authenticator
from awsorch.api.http import read_body
from awsorch.local.moto_launch_faults import PATH as UPSTREAM_PATH
from awsorch.local.refusal import Refused
from awsorch.wire.errors import WireError

PATH = "/awsorch/local/faults"
_ANSWER_SECONDS = 10.0


class FaultsDoor:
    """Answers requests of the path. `upstream` is the URL of moto, empty outside a local cloud."""

    def __init__(self, authenticator: Authenticator, upstream: str) -> None:
        self._authenticator = authenticator
        self._upstream = upstream.rstrip("/")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for the connection itself."""
        try:
            body = await read_body(request)
            self._authenticator.caller_arn(request, body)
            return await self._pass_on(request.method, body)
        except WireError as refusal:
            return _refuse(refusal.status, refusal.code, refusal.message)
        except Refused as refusal:
            return _refuse(400, refusal.code, refusal.message)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _refuse(503, "ServiceUnavailable", f"The local cloud's EC2 does not answer now: {error}")

    async def _pass_on(self, method: str, body: bytes) -> web.StreamResponse:
        if not self._upstream:
            raise _elsewhere()
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, f"{self._upstream}{UPSTREAM_PATH}", data=body) as answer,
        ):
            if answer.status not in (200, 400):
                raise _elsewhere()
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


def _elsewhere() -> Refused:
    message = "Only the EC2 of a local cloud (`awsorch up`) can be told to refuse launches."
    return Refused("UnsupportedFeatureException", message)


def _refuse(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"__type": code, "message": message}, status=status)
