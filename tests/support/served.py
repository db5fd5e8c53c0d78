"""A served ECS API: the real endpoint and controller on a thread's event loop, a memory store, and a boto3 client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import boto3
from aiohttp import web
from botocore.config import Config

from awsorch.api.auth import Authenticator, SignatureVerifier
from awsorch.api.http import EcsEndpoint
from awsorch.core.arn import Scope
from awsorch.core.commands import Command
from awsorch.core.events import AgentConnected, Event
from awsorch.core.model import Pace
from awsorch.engine.controller import Controller
from awsorch.engine.ports import AutoScaling, Catalogue, LoadBalancers, Subnets, TaskRoles
from awsorch.store.memory import MemoryStore

T = TypeVar("T")
C = TypeVar("C", bound=Command)
SCOPE = Scope(region="us-east-1", account="123456789012")
#: That of a controller, but impatient with what it polls.
PACE = Pace(poll_seconds=0.05)


class Cloud(AutoScaling, Subnets, Catalogue, Protocol):
    """What the API asks AWS about capacity, from one hand."""


class ServedApi:
    """``url`` is where it listens, ``ecs`` a boto3 client for it, ``commands`` what the controller sent out.

    ``carry_out``, where there is one, gets every command (with its partition's name) on the server's loop.
    """

    def __init__(
        self,
        verifier: SignatureVerifier | None = None,
        load_balancers: LoadBalancers | None = None,
        cloud: Cloud | None = None,
        task_roles: TaskRoles | None = None,
    ) -> None:
        self.commands: list[tuple[str, Command]] = []
        self.carry_out: Callable[[str, Command], None] | None = None
        self._news = asyncio.Event()
        self._load_balancers = load_balancers
        self._cloud = cloud
        self._task_roles = task_roles
        self.store = MemoryStore()
        self._verifier = verifier
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served api", daemon=True)
        self._thread.start()
        self.controller, self.endpoint, self._runner, self.url = self.run(self._start())
        self.ecs = self.client()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def client(self, **credentials: str) -> Any:
        """A boto3 client of this API that does not try again."""
        given = {"aws_access_key_id": "test", "aws_secret_access_key": "test", **credentials}
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        return boto3.session.Session().client(
            "ecs", endpoint_url=self.url, region_name="us-east-1", config=config, **given
        )

    def submit(self, cluster: str, event: Event) -> Any:
        """Submit an event to a cluster's partition, as the gateway would."""
        return self.run(self.controller.clusters[cluster].submit(event))

    def connect(self, instance_arn: str, session: str = "s1") -> None:
        """An agent's control connection comes up."""
        cluster, instance_id = instance_arn.split("/")[1:]
        self.submit(cluster, AgentConnected(instance_id=instance_id, session=session))

    def sent(self, kind: type[C], count: int = 1) -> list[C]:
        """The commands of a kind, as soon as there are so many."""

        async def wait() -> list[C]:
            while len(found := [each for _, each in self.commands if isinstance(each, kind)]) < count:
                self._news.clear()
                await self._news.wait()
            return found

        return self.run(wait())

    def close(self) -> None:
        """Stop everything."""
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> tuple[Controller, EcsEndpoint, web.AppRunner, str]:
        controller = Controller(self.store, self._send, time.time, PACE, self._cloud, self._cloud)
        await controller.start()
        authenticator = Authenticator(SCOPE, self._verifier)
        endpoint = EcsEndpoint(controller, SCOPE, authenticator, self._load_balancers, self._cloud, self._task_roles)
        runner = web.ServerRunner(web.Server(endpoint.handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return controller, endpoint, runner, f"http://127.0.0.1:{runner.addresses[0][1]}"

    def _send(self, partition: str, command: Command) -> None:
        self.commands.append((partition, command))
        self._news.set()
        if self.carry_out is not None:
            self.carry_out(partition, command)

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self.controller.stop()


@contextmanager
def served_api(
    verifier: SignatureVerifier | None = None,
    load_balancers: LoadBalancers | None = None,
    cloud: Cloud | None = None,
    task_roles: TaskRoles | None = None,
) -> Iterator[ServedApi]:
    """A served API, stopped at the end."""
    api = ServedApi(verifier, load_balancers, cloud, task_roles)
    try:
        yield api
    finally:
        api.close()
