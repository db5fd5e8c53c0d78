"""A whole agent with simulated containers, a back end for it, and instance metadata."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from awsorch.agent.agent import Agent, Parts
from awsorch.agent.ports import always_free
from awsorch.agent.session import open_http
from awsorch.agent.settings import load
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.usage import Usage
from tests.agent.backend import Backend

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


class SteadyUsage:
    """Every container uses 1.5 CPU seconds a look and 64 MiB."""

    def __init__(self) -> None:
        self._looks = 0

    def read(self, docker_id: str) -> Usage | None:
        self._looks += 1
        return Usage(cpu=1.5 * self._looks, memory=64 * 1024 * 1024)


class Bench:
    """A back end, an engine, and agents on it."""

    def __init__(self, backend: Backend, http: aiohttp.ClientSession, folder: Path) -> None:
        self.backend = backend
        self.engine = SimulatedEngine()
        self.running: asyncio.Task[None] | None = None
        self._http = http
        self._folder = folder

    def agent(self, telemetry_when_idle: bool = True, **environment: str) -> Agent:
        defaults = {
            "ECS_CLUSTER": "c1",
            "ECS_BACKEND_HOST": self.backend.url,
            "ECS_EXTERNAL": "true",
            "AWS_DEFAULT_REGION": "us-east-1",
            "ECS_DATADIR": str(self._folder),
            "AWSORCH_INTROSPECTION_PORT": "0",
            "AWSORCH_TASK_ENDPOINT_PORT": "0",
            "ECS_CONTAINER_STOP_TIMEOUT": "1s",
            **KEYS,
        }
        whole = {**defaults, **environment}
        parts = Parts(
            engine=self.engine,
            usage=SteadyUsage(),
            probe=always_free,
            clock=time.time,
            telemetry_when_idle=telemetry_when_idle,
        )
        return Agent(load(whole), whole, self._http, parts)

    async def start(self, telemetry_when_idle: bool = True, **environment: str) -> None:
        """Start an agent and wait until it is connected once more."""
        connections = len(self.backend.control_queries)
        self.running = asyncio.create_task(self.agent(telemetry_when_idle, **environment).run())
        connected = asyncio.create_task(self.backend.connected(connections + 1))
        await asyncio.wait((self.running, connected), return_when=asyncio.FIRST_COMPLETED)
        if self.running.done():
            connected.cancel()
            await self.running

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)


def play(folder: Path, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Backend() as backend, open_http() as http:
            bench = Bench(backend, http, folder)
            try:
                await scenario(bench)
            finally:
                await bench.stop()

    asyncio.run(whole())


class MetadataService:
    """An IMDS with the given pages; the first token it gives is no good."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = pages
        self._tokens = 0

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_put("/latest/api/token", self._token)
        app.router.add_get("/latest/{path:.*}", self._page)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        assert request.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._tokens += 1
        return web.Response(text=f"token-{self._tokens}")

    async def _page(self, request: web.Request) -> web.Response:
        if request.headers.get("X-aws-ec2-metadata-token") != "token-2":
            return web.Response(status=401)
        page = self._pages.get(request.match_info["path"])
        return web.Response(status=404) if page is None else web.Response(text=page)


PAGES = {
    "dynamic/instance-identity/document": '{"instanceId": "i-1", "region": "eu-west-1"}',
    "dynamic/instance-identity/signature": "signed",
    "meta-data/mac": "0e:00:00:00:00:01",
    "meta-data/network/interfaces/macs/0e:00:00:00:00:01/subnet-id": "subnet-1",
    "meta-data/network/interfaces/macs/0e:00:00:00:00:01/vpc-id": "vpc-1",
    "meta-data/placement/availability-zone-id": "euw1-az1",
    "meta-data/iam/security-credentials/": "role",
    "meta-data/iam/security-credentials/role": (
        '{"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}'
    ),
}
