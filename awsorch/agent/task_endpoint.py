"""The HTTP server through which containers speak with their agent: the address, the limits, and whose call it is.

Containers find it in ECS_AGENT_URI: an address of the host that bridge and host network containers reach alike, and
a path with the container's endpoint id, which nobody can guess. What is answered is up to the handlers of its routes.
Several agents share a machine, so nothing of the host's network is changed for it: no rule, no address.
Source: the official agent's task metadata server (its limits, and what it says when they are exceeded).
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler

from awsorch.agent.callers import PerCaller
from awsorch.agent.rates import RateLimit

LOG = logging.getLogger(__name__)

PATH = "/api/{endpoint_id}"
KNOWS_PATH = "/awsorch/knows/"
"""Below it a front asks whether an id is one of this agent's."""
FRONT_PORT = 51679
"""Where a front calls."""
BY_HOST, CALLER = "called by the host", "caller's address"
LARGEST_BODY = 4096
READ_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
RETRY_DELAY = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP status and what becomes its JSON body."""

    status: int = 200
    body: Any


Handler = Callable[[str, bytes], Awaitable[Answer]]
"""Takes the caller's endpoint id and the request's body."""


def error_body(code: str, message: str) -> dict[str, Any]:
    return {"error": {"Code": code, "Message": message}}


class TaskEndpoint:
    """The server of one agent. Add the routes, start it, close it."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._app = web.Application(middlewares=[self._admit], client_max_size=LARGEST_BODY)
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=READ_TIMEOUT,
            shutdown_timeout=CLOSE_TIMEOUT,
        )
        self._callers = PerCaller(self._connect)
        self._listening: list[asyncio.Server] = []
        self._trying: list[asyncio.Task[None]] = []
        self._front = ""

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Let `handler` answer `method` at `path` below the containers' ECS_AGENT_URI."""

        async def handle(request: web.Request) -> web.Response:
            return await _answer(request, handler)

        self._app.router.add_route(method, PATH + path, handle)

    def add_whole(self, method: str, path: str, handler: Callable[[Mapping[str, str]], Awaitable[Answer]]) -> None:
        """Let `handler` answer `method` at `path` itself; it takes what the path and the query name, CALLER, and
        BY_HOST: whether the host itself calls."""

        async def handle(request: web.Request) -> web.Response:
            by_host = "true" if _is_own(request.remote or "") else ""
            caller = {CALLER: request.remote or "", BY_HOST: by_host}
            answer = await handler({**request.query, **request.match_info, **caller})
            return _respond(answer.status, answer.body)

        self._app.router.add_route(method, path, handle)

    def open_to_front(self, address: str, knows: Callable[[str], bool]) -> None:
        """Let a front call for containers, at this loopback address, and ask which ids this agent `knows`."""

        async def answer(asked: Mapping[str, str]) -> Answer:
            return Answer(status=200 if knows(asked["id"]) else 404, body="")

        self._front = address
        self.add_whole("GET", KNOWS_PATH + "{id}", answer)

    async def start(self, address: str, port: int) -> int:
        """Listen there (0: at any free port) and return the port.

        Containers that run know their port, so one that somebody else has taken is waited for.
        Raises OSError for an address that is not this host's.
        """
        await self._runner.setup()
        listening = await self._listen_patiently(address, port)
        taken = int(self._listening[0].sockets[0].getsockname()[1]) if listening else port
        if self._front:
            await self._listen_patiently(self._front, FRONT_PORT)
        return taken

    async def _listen_patiently(self, address: str, port: int) -> bool:
        """Whether it listens already. Raises OSError."""
        try:
            await self._listen(address, port)
        except OSError as error:
            if not port or error.errno != errno.EADDRINUSE:
                raise
            LOG.warning("containers cannot reach their agent before %s:%d is free", address, port)
            self._trying.append(asyncio.create_task(self._keep_trying(address, port)))
            return False
        return True

    async def close(self) -> None:
        for trying in self._trying:
            trying.cancel()
        await asyncio.gather(*self._trying, return_exceptions=True)
        for each in self._listening:
            each.close()
        await self._runner.cleanup()

    async def _listen(self, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._listening.append(await loop.create_server(self._callers, address, port))

    def _connect(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        return self._runner.server()

    async def _keep_trying(self, address: str, port: int) -> None:
        while True:
            await asyncio.sleep(RETRY_DELAY)
            try:
                await self._listen(address, port)
            except OSError as error:
                LOG.debug("%s:%d: %s", address, port, error)
            else:
                LOG.warning("containers reach their agent at %s:%d again", address, port)
                return

    @web.middleware
    async def _admit(self, request: web.Request, handler: WebHandler) -> web.StreamResponse:
        if self._is_of_front(request) or self._limit.admit(request.remote or ""):
            return await handler(request)
        return _refuse(429, "ThrottlingException", "You have reached maximum request limit.")

    def _is_of_front(self, request: web.Request) -> bool:
        """A front calls for many containers, and limits each."""
        local = request.get_extra_info("sockname")
        return bool(self._front) and local is not None and local[0] == self._front


def _is_own(address: str) -> bool:
    """Whether an address is one of this host's: only those can be bound."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


async def _answer(request: web.Request, handler: Handler) -> web.Response:
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            body = await request.read()
    except TimeoutError:
        message = f"The request's body did not come within {READ_TIMEOUT:g} seconds."
        return _refuse(408, "RequestTimeoutException", message)
    except web.HTTPRequestEntityTooLarge:
        message = f"The request's body may have at most {LARGEST_BODY} bytes."
        return _refuse(413, "InvalidParameterException", message)
    answer = await handler(request.match_info["endpoint_id"], body)
    return _respond(answer.status, answer.body)


def _refuse(status: int, code: str, message: str) -> web.Response:
    return _respond(status, error_body(code, message))


def _respond(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
