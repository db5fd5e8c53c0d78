"""The introspection endpoint (:51678): what the agent knows of itself and its tasks, for people on the host."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from awsorch.agent import AGENT_HASH, AGENT_VERSION
from awsorch.agent.assignment import Assignment
from awsorch.agent.metadata import ports_view
from awsorch.agent.session import Registration
from awsorch.agent.states import ContainerState

COMMANDS = ("/v1/metadata", "/v1/tasks", "/license")
LICENSE = "awsorch is free software; its licence comes with its source code."


class Introspection:
    """The HTTP server. It only reads."""

    def __init__(self, registration: Registration, tasks: Mapping[str, Assignment]) -> None:
        self._registration = registration
        self._tasks = tasks
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int) -> None:
        """Raises OSError when the address is taken."""
        app = web.Application()
        app.router.add_get("/", self._commands)
        app.router.add_get("/license", self._license)
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
            return web.json_response({"Tasks": [_task_view(each) for each in self._tasks.values()]})
        for each in self._tasks.values():
            if each.arn == arn or (docker_id and docker_id in _docker_ids(each)):
                return web.json_response(_task_view(each))
        return web.json_response({"error": "no such task"}, status=404)


def _docker_ids(assignment: Assignment) -> set[str | None]:
    return {each.docker_id for each in assignment.state.containers.values()}


def _task_view(assignment: Assignment) -> dict[str, Any]:
    return {
        "Arn": assignment.arn,
        "DesiredStatus": "STOPPED" if assignment.state.stopping else "RUNNING",
        "KnownStatus": assignment.state.known.name,
        "Family": assignment.task.family,
        "Version": assignment.task.version,
        "Containers": [_container_view(assignment, name, state) for name, state in assignment.state.containers.items()],
    }


def _container_view(assignment: Assignment, name: str, state: ContainerState) -> dict[str, Any]:
    view: dict[str, Any] = {
        "DockerId": state.docker_id or "",
        "DockerName": assignment.names.containers[name],
        "Name": name,
        "Image": assignment.containers[name].image,
        "RestartCount": state.restarts,
    }
    if state.began_at is not None:
        view["StartedAt"] = datetime.fromtimestamp(state.began_at, UTC).isoformat()
    view["Ports"] = list(ports_view(assignment.bindings.get(name, ()), state, 4))
    return view
