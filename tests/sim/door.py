"""The agents' door of one controller life, at the level of the engine's port: sessions, payloads, manifests.

It does what the gateway does with sockets: a payload says how tasks stand when it is written, not when it was asked
for; after each connect the agent is told all of its tasks and gets a manifest; a newer connection replaces an older.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from awsorch.core.commands import UpdateAgent
from awsorch.core.events import AgentConnected, AgentDisconnected, Event
from awsorch.core.model import Task
from awsorch.core.state import ClusterState
from awsorch.engine.controller import Controller
from awsorch.engine.partition import Partition, Unavailable
from awsorch.engine.ports import CloudFailure
from tests.sim.network import Unreachable

if TYPE_CHECKING:
    from tests.sim.machine import Agent, Machine
    from tests.support.world import World


#: How long a connection lasts, in seconds.
RENEWED_S = 600.0


class Session:
    """One control connection. Each end learns of its end in its own time."""

    def __init__(self, door: Door, agent: Agent, name: str, instance_id: str) -> None:
        self.door = door
        self.agent = agent
        self.name = name
        self.instance_id = instance_id
        self.open = True

    @property
    def machine(self) -> Machine:
        return self.agent.machine

    def send(self, deliver: Callable[[], None]) -> None:
        """Have the agent get something, if the connection and the agent's process last until it arrives."""

        def arrive() -> None:
            alive = self.machine.agent is self.agent and self.machine.reachable
            if self.open and alive and self.agent.session is self:
                deliver()

        self.door.world.network.message(arrive)

    def drop(self, *, by_agent: bool = False) -> None:
        """The connection is gone. A half that does not hear of it at once is told after a while."""
        if not self.open:
            return
        self.open = False
        world = self.door.world
        world.later(world.rng.uniform(0.01, 20.0), lambda: self.door.lost(self))
        if not by_agent:
            world.later(world.rng.uniform(0.01, 20.0), lambda: self.agent.session_broke(self))


class Door:
    """The Agents port, and what agents call. Dead when its controller is."""

    def __init__(self, world: World, controller: Controller) -> None:
        self.world = world
        self.controller = controller
        self.alive = True
        self._sessions: dict[str, Session] = {}

    async def submit(self, event: Event) -> Any:
        """An API call: its reply. Raises Unreachable where the caller gets a server error or nothing."""
        partition = await self._partition()
        try:
            reply = await partition.submit(event)
        except Unavailable as unavailable:
            raise Unreachable(str(unavailable)) from None
        self._require_alive()
        self.world.promises.replied(event, reply)
        return reply

    async def read(self, look: Callable[[ClusterState], Any]) -> Any:
        """An API call that only reads."""
        partition = await self._partition()
        try:
            found = await partition.read(look)
        except Unavailable as unavailable:
            raise Unreachable(str(unavailable)) from None
        self._require_alive()
        return found

    async def use(self, request: Callable[[Controller], Awaitable[Any]]) -> Any:
        """An API call about capacity providers. Raises like ``submit``."""
        self._require_alive()
        try:
            reply = await request(self.controller)
        except (Unavailable, CloudFailure) as failure:
            raise Unreachable(str(failure)) from None
        self._require_alive()
        return reply

    async def accept(self, agent: Agent) -> Session:
        """A new control connection. Raises Refusal where the instance is not registered."""
        self._require_alive()
        instance_id = str(agent.machine.instance_id)
        session = Session(self, agent, self.world.new_id(), instance_id)
        agent.session = session
        old = self._sessions.get(instance_id)
        self._sessions[instance_id] = session
        if old is not None:
            old.drop()
        try:
            await self.submit(AgentConnected(cause="connect", instance_id=instance_id, session=session.name))
        except BaseException:
            self._close(session)
            raise
        if agent.machine.agent is not agent:
            session.drop()  # it died meanwhile: nobody answers pings
        self.world.network.spawn(self._send_manifests(session))
        return session

    def die(self) -> None:
        """The process is gone: every connection breaks, and nobody here hears of it."""
        self.alive = False
        for session in self._sessions.values():
            session.drop()

    def lost(self, session: Session) -> None:
        """The door has noticed that a connection is gone."""
        if self.alive:
            self._close(session)
            self._disconnected(session.instance_id, session.name)

    async def mind_the_missing(self) -> None:
        """What a life before left marked connected and did not come back is disconnected."""
        while self.alive:
            try:
                sessions = await self.read(marked_connected)
            except Unreachable:
                await self.world.sleep(1.0)
                continue
            held = {session.name for session in self._sessions.values()}
            for instance_id, session in sessions:
                if session not in held:
                    self._disconnected(instance_id, session)
            return

    # --- the Agents port ---------------------------------------------------------------------------------------------

    def send_tasks(self, cluster: str, instance_id: str, task_ids: Sequence[str] | None) -> None:
        """See engine.ports.Agents."""
        session = self._sessions.get(instance_id)
        if self.alive and session is not None:
            self.world.network.spawn(self._send_payload(session, task_ids))

    def close_session(self, cluster: str, instance_id: str, reason: str) -> None:
        """See engine.ports.Agents."""
        session = self._sessions.get(instance_id)
        if self.alive and session is not None:
            session.drop()

    def update_agent(self, cluster: str, command: UpdateAgent) -> None:
        """See engine.ports.Agents. These machines' agents are never updated."""

    # --- messages ----------------------------------------------------------------------------------------------------

    async def _send_payload(self, session: Session, task_ids: Sequence[str] | None) -> None:
        def told(state: ClusterState) -> list[Any]:
            wanted = state.fleet.tasks_on(session.instance_id) if task_ids is None else task_ids
            tasks = [state.tasks[task_id] for task_id in wanted if task_id in state.tasks]
            return [self._payload(task) for task in tasks if task.instance_id == session.instance_id]

        try:
            tasks = await self.read(told)
        except Unreachable:
            return
        if tasks:
            session.send(lambda: session.agent.receive_tasks(tasks))

    @staticmethod
    def _payload(task: Task) -> Any:
        containers = tuple(container.name for container in task.containers)
        return task.id, task.told_status, task.demand, containers, task.definition

    async def _send_manifests(self, session: Session) -> None:
        """At once, and again in time: connections are renewed, and with each new one comes a manifest."""
        while self.alive and session.open:
            with suppress(Unreachable):
                wanted = await self.read(lambda state: wanted_on(state, session.instance_id))
                session.send(partial(session.agent.receive_manifest, wanted, session))
            await asyncio.sleep(RENEWED_S)

    def verify_stops(self, session: Session, candidates: frozenset[str]) -> None:
        """The agent has tasks that its manifest lacks: look again, and confirm those that are really not wanted."""
        if self.alive:
            self.world.network.spawn(self._confirm_stops(session, candidates))

    async def _confirm_stops(self, session: Session, candidates: frozenset[str]) -> None:
        try:
            unwanted = candidates - await self.read(lambda state: wanted_on(state, session.instance_id))
        except Unreachable:
            return
        if unwanted:
            session.send(lambda: session.agent.receive_stops(unwanted))

    def _disconnected(self, instance_id: str, session: str) -> None:
        partition = self.controller.clusters.get(self.world.cluster)
        if partition is not None:
            partition.post(AgentDisconnected(cause="disconnect", instance_id=instance_id, session=session))

    def _close(self, session: Session) -> None:
        session.drop()
        if self._sessions.get(session.instance_id) is session:
            del self._sessions[session.instance_id]

    async def _partition(self) -> Partition[ClusterState]:
        self._require_alive()
        partition = self.controller.clusters.get(self.world.cluster)
        if partition is None:
            raise Unreachable("the cluster's partition is not open")
        return partition

    def _require_alive(self) -> None:
        if not self.alive:
            raise Unreachable("the controller is gone")


def wanted_on(state: ClusterState, instance_id: str) -> frozenset[str]:
    """The tasks that may run on an instance."""
    on_it = (state.tasks[task_id] for task_id in state.fleet.tasks_on(instance_id))
    return frozenset(task.id for task in on_it if task.told_status == "RUNNING")


def marked_connected(state: ClusterState) -> list[tuple[str, str | None]]:
    """(instance, session) of every instance that counts as connected."""
    return [(i.id, i.agent_session) for i in state.instances.values() if i.agent_connected]
