"""The gateway: serves `GET /acs/ws` and `GET /tcs/ws`, and carries the core's commands to the agents.

Implements `engine.ports.Agents`. Thin: what is said is decided in the sessions, who may come in by `admission`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from aiohttp import web

from awsorch.core.arn import Scope
from awsorch.core.commands import UpdateAgent
from awsorch.core.events import AgentDisconnected
from awsorch.core.model_access import KeyHolder
from awsorch.core.utilization import Used
from awsorch.engine.controller import Controller
from awsorch.gateway.admission import Admission, Refused, SignatureVerifier
from awsorch.gateway.agent_updates import update_frame
from awsorch.gateway.connection import Connection
from awsorch.gateway.control_lines import ControlLines
from awsorch.gateway.exec_sessions import ExecSessions
from awsorch.gateway.task_credentials import TaskCredentials
from awsorch.gateway.telemetry_lines import TelemetryLines
from awsorch.wire import tcs

logger = logging.getLogger(__name__)

#: Connections are looked at this often. Seconds.
TURN_S = 1.0
#: After a start agents have this long to come back before those that do not count as disconnected. Seconds.
RECONNECT_S = 30.0
#: Credentials of tasks' roles are looked at this often. Seconds.
REFRESH_S = 300.0


class Gateway:
    """The agents' door of one controller. `clock` gives seconds since the epoch; without `verifier` anyone may come;
    `holder_of` names the machine that has an access key; `credentials` are what tasks' roles get, None for nothing.
    `commands` has the sessions of commands in containers."""

    def __init__(
        self,
        controller: Controller,
        *,
        scope: Scope,
        verifier: SignatureVerifier | None,
        clock: Callable[[], float],
        holder_of: Callable[[str], KeyHolder | None] = lambda access_key_id: None,
        credentials: TaskCredentials | None = None,
    ) -> None:
        self._controller = controller
        self._scope = scope
        self._admission = Admission(controller.clusters.get, scope, verifier, holder_of)
        self._control = ControlLines(clock, credentials)
        self._telemetry = TelemetryLines()
        self.commands = ExecSessions(self._control.tell, self._control.runs_commands, clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to mind connections. The controller has been started."""
        self._tasks = [
            asyncio.create_task(self._turn_for_ever(), name="gateway"),
            asyncio.create_task(self._give_up_absent_agents(self._believed_connected()), name="absent agents"),
            asyncio.create_task(self._refresh_for_ever(), name="task credentials"),
        ]

    async def close(self) -> None:
        """End every connection, and mind them no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.commands.close()
        await asyncio.gather(self._control.close_all(), self._telemetry.close_all())

    async def refresh_credentials(self) -> None:
        """Give agents fresh credentials of tasks' roles, where those that they have grow old."""
        await self._control.refresh_credentials()

    # --- HTTP -----------------------------------------------------------------------------------------------------

    async def serve_acs(self, request: web.BaseRequest) -> web.StreamResponse:
        """`GET /acs/ws`: an agent's control connection."""
        return await self._serve(request, self._control)

    async def serve_tcs(self, request: web.BaseRequest) -> web.StreamResponse:
        """`GET /tcs/ws`: an agent's telemetry connection."""
        return await self._serve(request, self._telemetry)

    async def _serve(self, request: web.BaseRequest, lines: ControlLines | TelemetryLines) -> web.StreamResponse:
        try:
            if request.method != "GET":
                raise Refused("BadRequestException", f"This is a websocket: it takes GET, not {request.method}.", 405)
            visitor = self._admission.admit(request.raw_path, request.headers)
        except Refused as refused:
            logger.info("an agent was refused: %s", refused)
            return web.Response(status=refused.status, body=refused.body, content_type="application/json")
        connection = await Connection.accept(request)
        await lines.serve(visitor, connection)
        return connection.response

    # --- engine.ports.Agents --------------------------------------------------------------------------------------

    def send_tasks(self, cluster: str, instance_id: str, task_ids: Sequence[str] | None) -> None:
        """Tell the instance these tasks as they now stand (None: all of its tasks that have not settled)."""
        self._control.send_tasks(cluster, instance_id, task_ids)

    def close_session(self, cluster: str, instance_id: str, reason: str) -> None:
        """End the instance's connections because it is no longer registered."""
        self._control.close(cluster, instance_id, reason)
        self._telemetry.close(cluster, instance_id, reason)

    def update_agent(self, cluster: str, command: UpdateAgent) -> None:
        """Tell the instance's agent to stage a package, or to change to it."""
        self._control.tell(cluster, command.instance_id, update_frame(self._scope, cluster, command))

    # --- what others may ask --------------------------------------------------------------------------------------

    def metrics_of(self, cluster: str, instance_id: str) -> Mapping[tuple[str, str], tcs.ContainerMetric]:
        """The latest samples of an instance's containers, by (task ARN, container name)."""
        return self._telemetry.metrics_of(cluster, instance_id)

    def take_usage(self, cluster: str) -> Iterator[Mapping[str, Used]]:
        """What each task of a cluster used since this was asked last, by its id; an instance's tasks at a time."""
        return self._telemetry.take_usage(cluster)

    @property
    def connections(self) -> dict[str, int]:
        """How many agents are connected, by what for."""
        return {"control": len(self._control), "telemetry": len(self._telemetry)}

    # --- minding --------------------------------------------------------------------------------------------------

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh_credentials()
            except Exception:
                logger.exception("a bug in giving agents fresh credentials; it goes on")

    async def _turn_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TURN_S)
            for lines in (self._control, self._telemetry):
                try:
                    await lines.turn()
                except Exception:
                    # One connection's bug must not end the heartbeats of all the others.
                    logger.exception("a turn of the connections failed; the next one follows")

    def _believed_connected(self) -> list[tuple[str, str, str]]:
        """(cluster, instance, session) of the connections that the state knows from before the start."""
        return [
            (name, instance.id, instance.agent_session)
            for name, partition in self._controller.clusters.items()
            for instance in partition.state.instances.values()
            if instance.agent_connected and instance.agent_session is not None
        ]

    async def _give_up_absent_agents(self, believed: list[tuple[str, str, str]]) -> None:
        """What those say who came back under a new session is news that overtakes this."""
        if not believed:
            return
        await asyncio.sleep(RECONNECT_S)
        for cluster, instance_id, session in believed:
            partition = self._controller.clusters.get(cluster)
            if partition is not None:
                partition.post(AgentDisconnected(instance_id=instance_id, session=session, cause="start"))
