"""The introspection endpoint (:51678): what the agent knows of itself and its tasks, for people on the host."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from awsorch.agent import AGENT_HASH, AGENT_VERSION
from awsorch.agent.assignment import Assignment
from awsorch.agent.engine import EngineError
from awsorch.agent.metadata import container_view
from awsorch.agent.metrics import CONTENT_TYPE, AgentMetrics
from awsorch.agent.session import Registration

LOG = logging.getLogger(__name__)

COMMANDS = ("/v1/metadata", "/v1/tasks", "/metrics", "/license")
LICENSE = "awsorch is free software; its licence comes with its source code."


_SHOWN = (
    "DockerId",
    "DockerName",
    "Name",
    "Image",
    "ImageID",
    "CreatedAt",
    "StartedAt",
    "Ports",
    "Networks",
    "Volumes",
)


class Describes(Protocol):
    """The engine."""

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        """Raises EngineError."""


class Introspection:
    """The HTTP server. It only reads."""

    def __init__(
        self,
        registration: Registration,
        tasks: Mapping[str, Assignment],
        engine: Describes,
        metrics: AgentMetrics,
    ) -> None:
        self._metrics = metrics
        self._registration = registration
        self._tasks = tasks
        self._engine = engine
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int) -> None:
        """Raises OSError when the address is taken."""
        app = web.Application()
        app.router.add_get("/", self._commands)
        app.router.add_get("/license", self._license)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/v1/metadata", self._metadata)
        app.router.add_get("/v1/tasks", self._list_tasks)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _commands(self, _: web.Request) -> web.Response:
        return web.json_response({"AvailableCommands": list(COMMANDS)})

    async def _license(self, _: web.Request) -> web.Response:
        return web.Response(text=LICENSE)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "Cluster": self._registration.cluster,
                "ContainerInstanceArn": self._registration.instance_arn,
                "Version": f"Amazon ECS Agent - v{AGENT_VERSION} (*{AGENT_HASH})",
            }
        )

    async def _list_tasks(self, request: web.Request) -> web.Response:
        arn, docker_id = request.query.get("taskarn"), request.query.get("dockerid")
        if arn and docker_id:
            return web.json_response({"error": "give taskarn or dockerid, not both"}, status=400)
        if not arn and not docker_id:
            return web.json_response({"Tasks": [await self._task(each) for each in list(self._tasks.values())]})
        for each in self._tasks.values():
            if each.arn == arn or (docker_id and docker_id in _docker_ids(each)):
                return web.json_response(await self._task(each))
        return web.json_response({"error": "no such task"}, status=404)

    async def _task(self, assignment: Assignment) -> dict[str, Any]:
        return {
            "Arn": assignment.arn,
            "DesiredStatus": "STOPPED" if assignment.state.stopping else "RUNNING",
            "KnownStatus": assignment.state.known.name,
            "Family": assignment.task.family,
            "Version": assignment.task.version,
            "Containers": await asyncio.gather(
                *(self._container(assignment, name) for name in assignment.state.containers)
            ),
        }

    async def _container(self, assignment: Assignment, name: str) -> dict[str, Any]:
        """What the engine does not say for the moment is left out."""
        state, described = assignment.state.containers[name], None
        if state.docker_id is not None:
            try:
                described = await self._engine.describe(state.docker_id)
            except EngineError as error:
                LOG.warning("container %s is shown without what the engine says: %s", state.docker_id[:12], error)
        view = container_view(assignment, name, described or {}, version=4)
        shown = {member: view[member] for member in _SHOWN if member in view}
        return {"DockerId": "", "Ports": [], **shown, "RestartCount": state.restarts}


def _docker_ids(assignment: Assignment) -> set[str | None]:
    return {each.docker_id for each in assignment.state.containers.values()}
