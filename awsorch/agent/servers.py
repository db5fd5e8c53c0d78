"""What an agent listens at while it lives: introspection for people on the host, the endpoint of its tasks' containers.

It decides whether and where; what is answered, the servers know.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType

from awsorch.agent.api import ECS
from awsorch.agent.assignment import Assignment
from awsorch.agent.engine import Engine
from awsorch.agent.kernel_stats import StatsSource
from awsorch.agent.rates import RateLimit
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.session import Registration
from awsorch.agent.settings import Settings
from awsorch.agent.usage import UsageSource

LOG = logging.getLogger(__name__)

_FOR_CONTAINERS = ("metadata_routes", "role_credentials", "task_endpoint", "task_protection")


async def import_servers(settings: Settings, *, for_containers: bool) -> None:
    """Import what will serve, while the agent waits for others: after its registration tasks would wait for that. Only
    who serves pays its memory."""
    names = ["awsorch.agent.introspection"] if settings.introspection_port else []
    if for_containers:
        names += [f"awsorch.agent.{name}" for name in _FOR_CONTAINERS]
    for name in names:
        await asyncio.to_thread(import_module, name)


class Servers:
    """The servers of one agent; an async context manager that closes what was opened."""

    def __init__(
        self,
        settings: Settings,
        registration: Registration,
        tasks: Mapping[str, Assignment],
        roles: RoleCredentialsStore,
    ) -> None:
        self._settings = settings
        self._roles = roles
        self._registration = registration
        self._tasks = tasks
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Servers":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def introspect(self, engine: Engine, usage: UsageSource) -> None:
        """Serve the introspection endpoint if it is wanted."""
        address, port = self._settings.introspection_address, self._settings.introspection_port
        if not port:
            return
        from awsorch.agent.introspection import Introspection  # imported before; see import_servers
        from awsorch.agent.metrics import AgentMetrics

        metrics = AgentMetrics(self._registration, self._tasks, usage)
        introspection = Introspection(self._registration, self._tasks, engine, metrics)
        self._open.push_async_callback(introspection.close)
        try:
            await introspection.start(address, port)
        except OSError as error:
            LOG.warning("no introspection on %s:%d: %s", address, port, error)

    async def serve_containers(
        self, ecs: ECS, engine: Engine, kernel: StatsSource, address: str, kept_port: int
    ) -> int:
        """Serve the containers' endpoint on the bridge's `address`; returns its port, or 0 if that is impossible.

        `kept_port` is the one that containers of a former life know, 0 if there are none.
        """
        from awsorch.agent.container_stats import ContainerStats  # as above
        from awsorch.agent.metadata import Place
        from awsorch.agent.metadata_routes import TaskMetadata
        from awsorch.agent.role_credentials import RoleCredentials
        from awsorch.agent.task_endpoint import TaskEndpoint
        from awsorch.agent.task_protection import TaskProtection

        rate, burst = self._settings.task_endpoint_rate
        endpoint = TaskEndpoint(RateLimit(rate, burst, asyncio.get_running_loop().time))
        if self._settings.task_front:
            endpoint.open_to_front(self._settings.task_front, self._is_known)
        TaskProtection(ecs, self._registration.cluster, self._tasks, self._roles).serve(endpoint)
        RoleCredentials(self._roles).serve(endpoint)
        place = Place(
            cluster=self._registration.cluster, zone_id=self._registration.zone_id, vpc_id=self._registration.vpc_id
        )
        stats, instance = ContainerStats(kernel, engine), self._registration.instance_arn
        TaskMetadata(self._tasks, engine, stats, ecs, place=place, instance_arn=instance).serve(endpoint)
        self._open.push_async_callback(endpoint.close)
        try:
            return await endpoint.start(address, self._settings.task_endpoint_port or kept_port)
        except OSError as error:
            LOG.warning("containers cannot reach this agent, so they get no ECS_AGENT_URI: %s", error)
            return 0

    def _is_known(self, wanted: str) -> bool:
        """Whether an id is that of a container, or of credentials, of a task here."""
        names = (each.names.endpoints.values() for each in self._tasks.values())
        return self._roles.is_expected(wanted) or any(wanted in each for each in names)
