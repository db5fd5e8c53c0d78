"""The control connections that are open: one an instance, the newest. Brings the agents up to date from the state.

What an agent is told is read when it is sent, and only when it is durable: an agent never hears of a task that a
crash could undo.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from awsorch.core.definitions.roles import EXECUTION, TASK
from awsorch.core.errors import Refusal
from awsorch.core.events import AgentConnected, AgentDisconnected, TaskRefused
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Partition, Unavailable
from awsorch.engine.ports import Unanswered
from awsorch.gateway.admission import Visitor
from awsorch.gateway.agent_updates import update_answer
from awsorch.gateway.assignments import (
    manifest_of,
    news_for,
    roles_by_task,
    tasks_to_stop,
)
from awsorch.gateway.connection import REFUSED, TRY_LATER, Connection, close_connections
from awsorch.gateway.control import SILENCE_S, ControlSession, Instance, Numbers, Question
from awsorch.gateway.task_credentials import Roles, TaskCredentials
from awsorch.gateway.wheel import Wheel
from awsorch.wire import acs
from awsorch.wire.errors import WireError

logger = logging.getLogger(__name__)

#: A partition that could not be read is asked again after this long. Seconds.
RETRY_S = 1.0
#: STS that did not answer is asked again for running tasks after this long. Seconds.
REFRESH_RETRY_S = 15.0


def new_message_id() -> str:
    """An id that no other message has."""
    return str(uuid.uuid4())


class ControlLine:
    """One control connection: its conversation, its socket, its partition. ``given``: (task id, role type) → when the
    credentials expire that its agent was last given; ``asking``: the tasks whose roles are being asked for;
    ``asks_again``: STS is to be asked once more for those that run."""

    __slots__ = ("asking", "asks_again", "busy", "connection", "given", "id", "partition", "runs_commands", "session")

    def __init__(self, session: ControlSession, connection: Connection, partition: Partition[ClusterState]) -> None:
        self.id = uuid.uuid4().hex
        self.session = session
        self.connection = connection
        self.partition = partition
        self.busy = False
        self.given: dict[tuple[str, str], str] = {}
        self.asking: set[str] = set()
        self.asks_again = False
        self.runs_commands = False

    @property
    def instance(self) -> Instance:
        """Whose line it is."""
        return self.session.instance


class ControlLines:
    """Every open control connection, by instance. Without ``credentials`` tasks get none."""

    def __init__(self, clock: Callable[[], float], credentials: TaskCredentials | None = None) -> None:
        self._numbers = Numbers(clock)
        self._credentials = credentials
        self._lines: dict[tuple[str, str], ControlLine] = {}
        self._wheel: Wheel[ControlLine] = Wheel()
        self._work: set[asyncio.Task[None]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._lines)

    async def serve(self, visitor: Visitor, connection: Connection) -> None:
        """Hold the conversation with an agent until one side ends it."""
        line = ControlLine(ControlSession(visitor.instance, _now(), new_message_id), connection, visitor.partition)
        line.runs_commands = visitor.runs_commands
        self._enter(line)
        try:
            if await self._announce(line, visitor):
                self._bring_up_to_date(line)
                if visitor.wants_credentials:
                    self._start(self._refresh(line))
                async for text in connection.texts():
                    self._receive(line, text)
        finally:
            self._leave(line)

    def send_tasks(self, cluster: str, instance_id: str, task_ids: Sequence[str] | None) -> None:
        """Tell the instance of these tasks, or of all that have not settled; nothing if it is not connected."""
        line = self._lines.get((cluster, instance_id))
        if line is not None:
            line.session.delivery.want(task_ids)
            self._bring_up_to_date(line)

    def runs_commands(self, cluster: str, instance_id: str) -> bool:
        """Whether the instance is connected, and its agent runs commands in containers."""
        line = self._lines.get((cluster, instance_id))
        return line is not None and line.runs_commands

    def tell(self, cluster: str, instance_id: str, frame: str) -> bool:
        """Send a frame that only an agent of ours understands. False where there is none."""
        line = self._lines.get((cluster, instance_id))
        if line is None or not line.runs_commands:
            return False
        line.connection.send(frame)
        return True

    def close(self, cluster: str, instance_id: str, reason: str) -> None:
        """End the instance's connection; the agent reads the reason."""
        line = self._lines.get((cluster, instance_id))
        if line is not None:
            line.connection.close(REFUSED, reason)

    async def close_all(self) -> None:
        """End every connection: the controller stops. The agents come back to whoever listens next, so their
        instances stay connected in the state."""
        self._closing = True
        await close_connections([line.connection for line in self._lines.values()])
        for task in self._work:
            task.cancel()

    async def turn(self) -> None:
        """Do what has become due: heartbeats, sending again, giving up on agents that are silent."""
        now = _now()
        heartbeat: str | None = None
        for line in self._wheel.turn(now):
            session = line.session
            if session.is_silent(now):
                logger.info("%s: nothing heard; the connection is cut", line.instance.arn)
                line.connection.cut(SILENCE_S)
                continue
            if session.tick(now):
                if heartbeat is None:
                    # Its id is only echoed, so one frame does for all who are due.
                    heartbeat = acs.encode_acs(acs.HeartbeatMessage(message_id=new_message_id(), healthy=True))
                await line.connection.deliver(heartbeat)
            if self._is_open(line):
                self._wheel.schedule(line, session.due)
                self._bring_up_to_date(line)

    async def refresh_credentials(self) -> None:
        """Give agents fresh credentials for the tasks that have roles, where those that they have grow old."""
        await asyncio.gather(*(self._refresh(line) for line in list(self._lines.values())))

    # --- one line -------------------------------------------------------------------------------------------------

    def _enter(self, line: ControlLine) -> None:
        key = (line.instance.cluster, line.instance.id)
        old = self._lines.get(key)
        self._lines[key] = line
        self._wheel.schedule(line, line.session.due)
        if old is not None:
            self._wheel.forget(old)
            old.connection.close(REFUSED, "A newer connection of this container instance replaced this one.")

    def _leave(self, line: ControlLine) -> None:
        key = (line.instance.cluster, line.instance.id)
        self._wheel.forget(line)
        if self._lines.get(key) is line:
            del self._lines[key]
        if self._closing:
            return
        ended = AgentDisconnected(
            cause=f"connection {line.id}",
            instance_id=line.instance.id,
            session=line.id,
            silent_for=line.connection.silent_for,
        )
        line.partition.post(ended)

    async def _announce(self, line: ControlLine, visitor: Visitor) -> bool:
        """Whether the partition took note of the connection; if not, the connection has been closed."""
        event = AgentConnected(
            instance_id=line.instance.id,
            session=line.id,
            agent_version=visitor.agent_version,
            agent_hash=visitor.agent_hash,
            docker_version=visitor.docker_version,
            cause=f"connection {line.id}",
        )
        try:
            await line.partition.submit(event)
        except Unavailable as error:
            await line.connection.close(TRY_LATER, f"ServerException: {error}")
            return False
        except Refusal as refusal:
            await line.connection.close(REFUSED, f"InactiveInstanceException: {refusal.message}")
            return False
        return True

    def _receive(self, line: ControlLine, text: str) -> None:
        try:
            message = acs.decode_acs(text)
        except WireError as error:
            logger.warning("%s: a message was dropped: %s", line.instance.arn, error.message)
            message = None
        if (answer := update_answer(line.instance, message)) is not None:
            line.partition.post(answer)
        question = line.session.receive(message, _now())
        if question is not None:
            self._start(self._answer(line, question))
        self._bring_up_to_date(line)

    def _is_open(self, line: ControlLine) -> bool:
        return self._lines.get((line.instance.cluster, line.instance.id)) is line

    # --- from the state to the agent ------------------------------------------------------------------------------

    def _bring_up_to_date(self, line: ControlLine) -> None:
        if not line.busy and (line.session.wants_manifest or line.session.delivery.is_ready):
            line.busy = True
            self._start(self._flush(line))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._work.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            logger.error("a bug in telling an agent what to do; a planner will ask for it again", exc_info=bug)

    async def _flush(self, line: ControlLine) -> None:
        """Send what there is to send, until there is nothing more or the agent has to acknowledge first."""
        try:
            while self._is_open(line) and (line.session.wants_manifest or line.session.delivery.is_ready):
                if line.session.wants_manifest:
                    await self._send_manifest(line)
                if line.session.delivery.is_ready:
                    await self._send_payloads(line)
            self._wheel.hasten(line, line.session.due)
        except Unavailable as error:
            logger.info("%s: the partition could not be read (%s); again soon", line.instance.arn, error)
            self._wheel.hasten(line, _now() + RETRY_S)
        finally:
            line.busy = False

    async def _send_manifest(self, line: ControlLine) -> None:
        instance_id = line.instance.id
        # The number is drawn together with the list, so that the agent can tell a list that later news overtook.
        tasks, number = await line.partition.read(lambda state: (manifest_of(state, instance_id), self._numbers.next()))
        line.connection.send(acs.encode_acs(line.session.manifest(tasks, _now(), number)))

    async def _send_payloads(self, line: ControlLine) -> None:
        pending, everything = line.session.delivery.take()
        instance_id = line.instance.id

        try:
            tasks, roles, attached = await line.partition.read(
                lambda state: news_for(state, instance_id, pending, everything=everything)
            )
        except Unavailable:
            line.session.delivery.put_back(pending, everything)
            raise
        self._attach(line, tasks, roles, pending)
        line.connection.send(*line.session.attachments(attached, pending, _now(), self._numbers.next()))
        line.connection.send(*line.session.payloads(tasks, pending, _now(), self._numbers.next))

    def _attach(
        self, line: ControlLine, tasks: dict[str, acs.Task], roles: Mapping[str, Roles], pending: Mapping[str, int]
    ) -> None:
        """Give tasks the credentials of their roles. Those whose roles have to be asked for leave ``tasks`` until then:
        nothing else waits for STS."""
        if self._credentials is None:
            return
        missing = {}
        for task_id, its_roles in roles.items():
            attached = self._credentials.attach(tasks[task_id], its_roles)
            if attached is None:
                missing[task_id] = (tasks.pop(task_id).arn, its_roles)
            else:
                tasks[task_id] = attached
                self._note_given(line, task_id, attached)
        missing = {task_id: each for task_id, each in missing.items() if task_id not in line.asking}
        if missing:
            line.asking.update(missing)
            self._start(self._ask(line, missing, {task_id: pending.get(task_id, 0) for task_id in missing}))

    async def _ask(
        self, line: ControlLine, wanted: Mapping[str, tuple[str, Roles]], pending: Mapping[str, int]
    ) -> None:
        """Ask for roles, then send the tasks. A role that can't be had ends its task; one that nothing is known of is
        asked for again."""
        assert self._credentials is not None
        try:
            outcome = await self._credentials.ask(wanted)
        finally:
            line.asking.difference_update(wanted)
        for task_id, why in outcome.refused.items():
            line.partition.post(TaskRefused(task_id=task_id, reason=why, cause=f"connection {line.id}"))
        left = {task_id: attempt for task_id, attempt in pending.items() if task_id not in outcome.refused}
        later = {task_id: left.pop(task_id) for task_id in outcome.waiting}
        self._want_again(line, left)
        if later:
            logger.warning("%s: roles of %d tasks could not be asked for; again soon", line.instance.arn, len(later))
            asyncio.get_running_loop().call_later(RETRY_S, self._want_again, line, later)

    def _want_again(self, line: ControlLine, pending: Mapping[str, int]) -> None:
        if pending and self._is_open(line):
            line.session.delivery.put_back(pending, everything=False)
            self._bring_up_to_date(line)

    @staticmethod
    def _note_given(line: ControlLine, task_id: str, task: acs.Task) -> None:
        for kind, given in ((TASK, task.role_credentials), (EXECUTION, task.execution_role_credentials)):
            if given is not None:
                line.given[task_id, kind] = given.expiration

    async def _refresh(self, line: ControlLine) -> None:
        """Send the credentials of the instance's tasks that differ from those that its agent was given."""
        if self._credentials is None:
            return
        instance_id = line.instance.id

        def look(state: ClusterState) -> dict[str, tuple[str, Roles]]:
            every = (state.tasks[each] for each in state.fleet.tasks_on(instance_id))
            tasks = [task for task in every if task.last_status not in _COMING]
            return {each: (state.tasks[each].arn, roles) for each, roles in roles_by_task(state, tasks).items()}

        try:
            wanted = await line.partition.read(look)
        except Unavailable:
            return
        line.given = {key: until for key, until in line.given.items() if key[0] in wanted}
        for task_id, (task_arn, roles) in wanted.items():
            for kind, role_arn in roles.items():
                await self._give(line, (task_id, kind), task_arn, role_arn)

    def _refresh_later(self, line: ControlLine) -> None:
        """Once for all of an instance's tasks: what they have may have expired already."""

        def again() -> None:
            line.asks_again = False
            if self._is_open(line):
                self._start(self._refresh(line))

        if not line.asks_again:
            line.asks_again = True
            asyncio.get_running_loop().call_later(REFRESH_RETRY_S, again)

    async def _give(self, line: ControlLine, key: tuple[str, str], task_arn: str, role_arn: str) -> None:
        assert self._credentials is not None
        try:
            fresh = await self._credentials.of(task_arn, key[1], role_arn)
        except (Refusal, Unanswered) as error:
            logger.warning("%s keeps its old credentials: %s", task_arn, error)
            if isinstance(error, Unanswered):
                self._refresh_later(line)
            return
        if line.given.get(key) == fresh.expiration or not self._is_open(line):
            return
        line.given[key] = fresh.expiration
        message = acs.IAMRoleCredentialsMessage(
            message_id=new_message_id(),
            task_arn=task_arn,
            task_cluster_arn=line.instance.cluster_arn,
            role_type=key[1],
            role_credentials=fresh,
        )
        line.connection.send(acs.encode_acs(message))

    async def _answer(self, line: ControlLine, question: Question) -> None:
        instance_id = line.instance.id
        try:
            to_stop = await line.partition.read(lambda state: tasks_to_stop(state, instance_id, question.candidates))
        except Unavailable as error:
            # Unanswered the agent stops nothing; the next manifest raises the question again.
            logger.info("%s: a question to stop tasks was not answered: %s", line.instance.arn, error)
            return
        answer = line.session.stop_verification(question, to_stop, self._numbers.next())
        line.connection.send(acs.encode_acs(answer))


_COMING = ("PROVISIONING", "PENDING")
"""Tasks that get credentials when they are sent."""


def _now() -> float:
    return asyncio.get_running_loop().time()
