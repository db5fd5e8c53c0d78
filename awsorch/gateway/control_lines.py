"""The control connections that are open: one an instance, the newest. Brings the agents up to date from the state.

What an agent is told is read when it is sent, and only when it is durable: an agent never hears of a task that a
crash could undo.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from awsorch.core.errors import Refusal
from awsorch.core.events import AgentConnected, AgentDisconnected
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Partition, Unavailable
from awsorch.gateway.admission import Visitor
from awsorch.gateway.assignments import manifest_of, tasks_to_stop, unsettled_tasks
from awsorch.gateway.connection import REFUSED, TRY_LATER, Connection, close_connections
from awsorch.gateway.control import SILENCE_S, ControlSession, Instance, Numbers, Question
from awsorch.gateway.wheel import Wheel
from awsorch.wire import acs
from awsorch.wire.errors import WireError

logger = logging.getLogger(__name__)

#: A partition that could not be read is asked again after this long. Seconds.
RETRY_S = 1.0


def new_message_id() -> str:
    """An id that no other message has."""
    return str(uuid.uuid4())


class ControlLine:
    """One control connection: its conversation, its socket, its partition."""

    __slots__ = ("busy", "connection", "id", "partition", "session")

    def __init__(self, session: ControlSession, connection: Connection, partition: Partition[ClusterState]) -> None:
        self.id = uuid.uuid4().hex
        self.session = session
        self.connection = connection
        self.partition = partition
        self.busy = False

    @property
    def instance(self) -> Instance:
        """Whose line it is."""
        return self.session.instance


class ControlLines:
    """Every open control connection, by instance."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._numbers = Numbers(clock)
        self._lines: dict[tuple[str, str], ControlLine] = {}
        self._wheel: Wheel[ControlLine] = Wheel()
        self._work: set[asyncio.Task[None]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._lines)

    async def serve(self, visitor: Visitor, connection: Connection) -> None:
        """Hold the conversation with an agent until one side ends it."""
        line = ControlLine(ControlSession(visitor.instance, _now(), new_message_id), connection, visitor.partition)
        self._enter(line)
        try:
            if await self._announce(line, visitor):
                self._bring_up_to_date(line)
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

        def look(state: ClusterState) -> dict[str, acs.Task]:
            tasks = unsettled_tasks(state, instance_id, None) if everything else {}
            return tasks | unsettled_tasks(state, instance_id, pending)

        try:
            tasks = await line.partition.read(look)
        except Unavailable:
            line.session.delivery.put_back(pending, everything)
            raise
        line.connection.send(*line.session.payloads(tasks, pending, _now(), self._numbers.next))

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


def _now() -> float:
    return asyncio.get_running_loop().time()
