"""169.254.170.2 for containers of instances that share one Docker Engine: led to the agent whose container calls.

Rules of a firewall lead to one place, and each of these instances has an agent of its own. So the rules lead to a
front, and the front asks the agents which of them knows the id that the caller names; ids are UUIDs and secret, so that
is the caller's own. Several local clouds on one machine share the rules and the port, and ask each other.
Source: ecs-init, iptables rules; the official agent's task metadata server (limits, texts).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import aiohttp
from aiohttp import web

from awsorch.agent.callers import PerCaller
from awsorch.agent.link_local import route, unroute
from awsorch.agent.network_commands import NetworkError
from awsorch.agent.rates import RateLimit
from awsorch.agent.task_endpoint import FRONT_PORT, KNOWS_PATH, LARGEST_BODY, READ_TIMEOUT
from awsorch.local.bridge import Bridge

PORT = 51680
CHAIN = "AWSORCH-FRONT"
_PEERS = Path("/run/awsorch/fronts")
_RATE, _BURST = 40, 60
_STRANGERS_RATE, _STRANGERS_BURST = 2, 10
"""So often a container may name what no agent knows: each time all of them are asked."""
_KNOWN = 4096
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=2)
_ID = re.compile(r"^/(?:v[0-9]+/credentials|v[0-9]+|api)/([^/]+)")
_PASSED_ON = ("Content-Type",)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class TaskFront:
    """The front of one local cloud. ``agents`` tells the addresses at which its agents listen for it: none at first."""

    def __init__(self, peers: Path = _PEERS) -> None:
        self.agents: Callable[[], Iterable[str]] = tuple
        self._peers = peers
        self._own = peers / f"{uuid.uuid4().hex[:12]}.sock"
        clock = asyncio.get_running_loop().time
        self._limit = RateLimit(_RATE, _BURST, clock)
        self._strangers = RateLimit(_STRANGERS_RATE, _STRANGERS_BURST, clock)
        self._known: OrderedDict[str, str] = OrderedDict()
        self._open = contextlib.AsyncExitStack()
        self._http: aiohttp.ClientSession

    async def start(self, listener: socket.socket) -> None:
        """Serve who connects there, and other fronts. Raises OSError; nothing is left open then."""
        async with contextlib.AsyncExitStack() as opening:
            self._http = await opening.enter_async_context(
                aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False)
            )
            containers = await self._serve(opening, self._answer_container)
            assert containers.server is not None
            callers = PerCaller(containers.server)
            listening = await asyncio.get_running_loop().create_server(callers, sock=listener)
            opening.callback(listening.close)
            self._peers.mkdir(mode=0o700, parents=True, exist_ok=True)
            opening.callback(self._own.unlink, missing_ok=True)
            peers = await self._serve(opening, self._answer_peer)
            await web.UnixSite(peers, str(self._own)).start()
            self._open = opening.pop_all()

    async def close(self) -> None:
        await self._open.aclose()

    @staticmethod
    async def _serve(opening: contextlib.AsyncExitStack, handler: Handler) -> web.ServerRunner:
        server = web.Server(handler, access_log=None, keepalive_timeout=READ_TIMEOUT)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        opening.push_async_callback(runner.cleanup)
        return runner

    # Containers

    async def _answer_container(self, request: web.BaseRequest) -> web.StreamResponse:
        caller = request.remote or ""
        if not self._limit.admit(caller):
            return _refuse(429, "ThrottlingException", "You have reached maximum request limit.")
        wanted = _named(request)
        if not wanted:
            return _refuse(400, "NoIdInRequest", "CredentialsV2Request: No ID in the request")
        if len(await request.read()) > LARGEST_BODY:
            return _refuse(413, "InvalidParameterException", f"The body may have at most {LARGEST_BODY} bytes.")
        known = self._known.get(wanted)
        if known is not None:
            answer = await self._pass_on(request, known)
            if answer is not None:
                return answer
            del self._known[wanted]
        if not self._strangers.admit(caller):
            return _refuse(429, "ThrottlingException", "You have reached maximum request limit.")
        found = await self._find(wanted)
        answer = await self._pass_on(request, found) if found else await self._ask_peers(request)
        return answer or _refuse(400, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found")

    async def _answer_peer(self, request: web.BaseRequest) -> web.StreamResponse:
        """What another front's container asks; 421 where none of our agents knows it."""
        await request.read()
        wanted = _named(request)
        found = self._known.get(wanted) or await self._find(wanted)
        answer = await self._pass_on(request, found) if found else None
        return answer or web.Response(status=421)

    async def _find(self, wanted: str) -> str | None:
        """The address of the agent that knows an id."""
        agents = list(self.agents())
        for agent, knows in zip(
            agents, await asyncio.gather(*(self._knows(each, wanted) for each in agents)), strict=True
        ):
            if knows:
                self._known[wanted] = agent
                while len(self._known) > _KNOWN:
                    self._known.popitem(last=False)
                return agent
        return None

    async def _knows(self, agent: str, wanted: str) -> bool:
        try:
            async with self._http.get(f"http://{agent}:{FRONT_PORT}{KNOWS_PATH}{wanted}") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _pass_on(self, request: web.BaseRequest, agent: str) -> web.Response | None:
        """The agent's answer; None if there is none."""
        return await self._send(self._http, request, f"http://{agent}:{FRONT_PORT}{request.raw_path}")

    async def _ask_peers(self, request: web.BaseRequest) -> web.Response | None:
        for peer in sorted(self._peers.glob("*.sock")):
            if peer == self._own:
                continue
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(peer)), timeout=_TIMEOUT) as http:
                answer = await self._send(http, request, f"http://front{request.raw_path}")
            if answer is not None and answer.status != 421:
                return answer
        return None

    @staticmethod
    async def _send(http: aiohttp.ClientSession, request: web.BaseRequest, url: str) -> web.Response | None:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            async with http.request(request.method, url, data=await request.read(), headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


@contextlib.asynccontextmanager
async def front_at(bridge: Bridge, peers: Path = _PEERS) -> AsyncIterator[TaskFront]:
    """A front for the bridge's containers, with the rules that lead there; the last front takes them away. Raises
    OSError, NetworkError."""
    front = TaskFront(peers)
    with bridge.listen(PORT, shared=True) as listener:
        await front.start(listener)
        try:
            await route(bridge.address, PORT, on_host=False, chain=CHAIN, first=False)
            yield front
        finally:
            await front.close()
            if not any([await _is_alive(each) for each in peers.glob("*.sock")]):
                with contextlib.suppress(NetworkError):
                    await unroute(CHAIN)


async def _is_alive(peer: Path) -> bool:
    """Whether a front is there; what one that was killed left is taken away."""
    try:
        _, writer = await asyncio.open_unix_connection(peer)
    except OSError:
        peer.unlink(missing_ok=True)
        return False
    writer.close()
    return True


def _named(request: web.BaseRequest) -> str:
    """The id in a request: in its path, or the query of what the oldest SDKs ask."""
    found = _ID.match(request.path)
    return found[1] if found else request.query.get("id", "")


def _refuse(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "HTTPErrorCode": status}, status=status)
