"""A real HAProxy under the real supervisor, targets that misbehave on request, and clients that count."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from aiohttp import web

from awsorch.local.balancer.balancer import Balancer
from awsorch.local.balancer.certificates import certificate_files
from awsorch.local.balancer.model import Action, Forward, FrontEnd, HealthCheck, Pool, Rule, Server, Wish
from awsorch.local.balancer.process import CHILD, child_spec, prepare
from awsorch.local.balancer.runtime import BalancerDown, Runtime
from awsorch.local.supervisor import Supervisor

HOST = "127.0.0.1"
QUICK = HealthCheck(interval_seconds=0.3, timeout_seconds=0.2, healthy_threshold=2, unhealthy_threshold=2)
_LIMIT_SECONDS = 20.0


async def soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what outside processes do; fail after a while."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while not await condition():  # noqa: ASYNC110  (other processes set no events)
            await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Target:
    """A web server that says its name and what it was asked. `health` answers checks; requests for /slow wait for
    `let_go`.
    """

    name: str
    port: int = 0
    health: int = 200
    checks: int = 0
    requests: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> Target:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.port, ssl_context=tls)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def server(self, *, draining: bool = False) -> Server:
        return Server(key=f"{self.name}:{self.port}", address=HOST, port=self.port, draining=draining)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("User-Agent") == "ELB-HealthChecker/2.0":
            self.checks += 1
            return web.Response(status=self.health)
        self.requests += 1
        self.headers = request.headers
        if request.path == "/slow":
            self.arrived.set()
            await self.let_go.wait()
        answer = web.Response(text=self.name, status=int(request.query.get("status", "200")))
        if request.path == "/login":
            answer.set_cookie("session", "abc")
        return answer


@dataclass
class World:
    """A balancer with one front end on a free port, and what it runs on."""

    folder: Path
    supervisor: Supervisor
    balancer: Balancer
    port: int
    client: aiohttp.ClientSession
    targets: list[Target] = field(default_factory=list)

    async def target(self, name: str, health: int = 200, *, tls: bool = False) -> Target:
        target = await Target(name, health=health).start(self._tls() if tls else None)
        self.targets.append(target)
        return target

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / certificate_files(self.folder, ())[0])
        return context

    def front_end(self, default: Action, *rules: Rule) -> FrontEnd:
        return FrontEnd(key="front", address=HOST, port=self.port, protocol="HTTP", default=default, rules=rules)

    async def carry(self, *pools: Pool, rules: tuple[Rule, ...] = (), default: Action | None = None) -> None:
        """Apply a wish of one front end; the first pool is its default."""
        action = default or Forward(pools=((pools[0].name, 1),))
        wish = Wish(front_ends=(self.front_end(action, *rules),), pools={each.name: each for each in pools})
        assert await self.balancer.apply(wish) == {}

    async def states(self, pool: str) -> dict[str, str]:
        """Each server's state by its target's name."""
        return {key.split(":")[0]: each.state for key, each in (await self.balancer.health(pool)).items()}

    async def all_are(self, state: str, *pools: str) -> None:
        async def are() -> bool:
            return {each for pool in pools for each in (await self.states(pool)).values()} == {state}

        await soon(are)

    async def get(self, path: str = "/", **options: object) -> tuple[int, str]:
        method = str(options.pop("method", "GET"))
        url = f"http://{HOST}:{self.port}{path}"
        async with self.client.request(method, url, allow_redirects=False, **options) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.text()

    async def load(self, until: asyncio.Event, clients: int = 8) -> Counter[str]:
        """Requests without a pause on kept connections; what was answered, or what went wrong, counted."""
        seen: Counter[str] = Counter()

        async def client() -> None:
            while not until.is_set():
                try:
                    status, text = await self.get()
                    seen[text if status == 200 else f"failed: {status}"] += 1
                except aiohttp.ClientError as error:
                    seen[f"failed: {error!r}"] += 1

        await asyncio.gather(*(client() for _ in range(clients)))
        return seen


def a_pool(name: str, *servers: Server, **changes: object) -> Pool:
    return replace(Pool(name=name, check=QUICK, servers=servers), **changes)  # type: ignore[arg-type]


def failures(seen: Counter[str]) -> dict[str, int]:
    return {what: count for what, count in seen.items() if what.startswith("failed")}


@contextlib.asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    """HAProxy with nothing to carry yet, kept by a balancer."""
    prepare(folder, 1000)
    supervisor = Supervisor(folder / "logs")
    balancer = Balancer(folder)
    keeping = asyncio.create_task(balancer.keep())
    connector = aiohttp.TCPConnector(limit=0)
    world = None
    try:
        await supervisor.start(child_spec(folder, os.environ))
        await answers(folder)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
            world = World(folder, supervisor, balancer, free_port(), client)
            yield world
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await supervisor.stop(CHILD, 5.0)
        await supervisor.close()
        for target in world.targets if world is not None else []:
            target.let_go.set()
            await target.stop()


async def answers(folder: Path) -> None:
    """Wait until HAProxy does."""

    async def does() -> bool:
        try:
            await Runtime(folder).description()
        except BalancerDown:
            return False
        return True

    await soon(does)
