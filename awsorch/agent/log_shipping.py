"""Containers' lines brought to CloudWatch Logs by the agent: the driver awslogs where the engine's own is of no use.

Docker's driver needs credentials in the engine's environment or 169.254.170.2 on its host, which an engine on a
developer's machine does not have. So the engine keeps the lines (json-file), and the agent follows them. How far it has
come is stored: after a restart it goes on there. A line that was sent just before a kill may come twice, none is left
out.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from awsorch.agent.assignment import Assignment
from awsorch.agent.cloudwatch_logs import CloudWatchLogs, Destination, destination_of
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.docker_config import log_options
from awsorch.agent.engine import EngineError, GoneError, Logs
from awsorch.agent.environment import Placement
from awsorch.agent.log_events import Assembler, LogEvent, portions
from awsorch.agent.services import ServiceError
from awsorch.agent.states import Status

LOG = logging.getLogger(__name__)

COLLECT = 1.0
"""Seconds for which lines are collected before they are sent, unless there are enough sooner."""
WAITING = 4 * 1024 * 1024
"""Bytes of memory that one container's events take at most while they wait to be sent; then reading waits."""
EVENT_SIZE = 200
"""Bytes of memory that an event takes besides its message, about."""
RETRY_DELAYS = (1.0, 60.0)
READ_AGAIN = 1.0


class Waiting:
    """Events of one container that wait to be sent, `limit` bytes of memory at most."""

    def __init__(self, limit: int = WAITING) -> None:
        self._limit = limit
        self._events: list[LogEvent] = []
        self._size = 0
        self._is_over = False
        self._has_room, self._has_some, self._is_full = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def add(self, event: LogEvent) -> None:
        """Once there is room."""
        while self._size >= self._limit:
            self._has_room.clear()
            await self._has_room.wait()
        self._events.append(event)
        self._size += len(event.message) + EVENT_SIZE
        self._has_some.set()
        if self._size >= self._limit:
            self._is_full.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._is_over = True
        self._has_some.set()
        self._is_full.set()

    async def take(self) -> list[LogEvent]:
        """What has come together; nothing only after the end."""
        await self._has_some.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COLLECT):
                await self._is_full.wait()
        events, self._events, self._size = self._events, [], 0
        self._has_room.set()
        if not self._is_over:
            self._has_some.clear()
            self._is_full.clear()
        return events


class LogShipper:
    """The lines of one instance's containers. `note` is told of an assignment whose positions have changed."""

    def __init__(
        self, engine: Logs, cloudwatch: CloudWatchLogs, place: Placement, note: Callable[[Assignment], None]
    ) -> None:
        self._engine = engine
        self._cloudwatch = cloudwatch
        self._place = place
        self._note = note
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def prepare(self, assignment: Assignment, name: str) -> None:
        """Have the stream of a container that is to be created. Raises LogError."""
        to = self._destination(assignment, name)
        if to is not None:
            await self._cloudwatch.open_stream(assignment.task, to)

    def see(self, assignment: Assignment) -> None:
        """Follow the containers of a task that have been started and are not followed yet."""
        if not self._place.ships_logs:
            return
        for name, state in assignment.state.containers.items():
            key = (assignment.arn, name)
            if state.docker_id is None or state.began_at is None or key in self._under_way:
                continue
            to = self._destination(assignment, name)
            if to is not None:
                self._under_way[key] = asyncio.create_task(self._follow(assignment, name, state.docker_id, to))

    def forget(self, arn: str) -> None:
        """The task is cleaned up."""
        for key in [each for each in self._under_way if each[0] == arn]:
            self._under_way.pop(key).cancel()

    async def close(self) -> None:
        under_way = list(self._under_way.values())
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _destination(self, assignment: Assignment, name: str) -> Destination | None:
        options = log_options(assignment.containers[name], "awslogs") if self._place.ships_logs else None
        if options is None:
            return None
        return destination_of(options, assignment.names.containers[name], self._place.region)

    async def _follow(self, assignment: Assignment, name: str, docker_id: str, to: Destination) -> None:
        """Until the container has ended and all of it is sent."""
        waiting = Waiting()
        reading = asyncio.create_task(self._read(assignment, name, docker_id, to, waiting))
        try:
            await self._send(assignment, name, to, waiting)
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _read(self, assignment: Assignment, name: str, docker_id: str, to: Destination, waiting: Waiting) -> None:
        position = assignment.shipped.get(name, 0)
        assembler = Assembler(to.start)
        while True:
            has_ended = assignment.state.containers[name].known is Status.STOPPED
            try:
                async for at, piece in self._engine.logs(docker_id, position):
                    position = at
                    for event in assembler.feed(at, piece):
                        await waiting.add(event)
                if has_ended:
                    break
            except GoneError:
                break
            except EngineError as error:
                LOG.info("the lines of %s cannot be read yet: %s", assignment.names.containers[name], error)
            await asyncio.sleep(READ_AGAIN)
        for event in assembler.rest():
            await waiting.add(event)
        waiting.end()

    async def _send(self, assignment: Assignment, name: str, to: Destination, waiting: Waiting) -> None:
        while events := await waiting.take():
            for portion in portions(events):
                await self._put(assignment, to, portion)
                assignment.shipped[name] = max(each.at for each in portion)
                self._note(assignment)

    async def _put(self, assignment: Assignment, to: Destination, portion: list[LogEvent]) -> None:
        """Once it is taken, or refused for good: as with Docker's driver, lines that nobody takes are dropped."""
        delay, longest = RETRY_DELAYS
        while True:
            try:
                await self._cloudwatch.put(assignment.task, to, portion)
                return
            except ServiceError as error:
                if not error.is_transient:
                    LOG.warning("%d lines for %s/%s are dropped: %s", len(portion), to.group, to.stream, error)
                    return
                LOG.info("lines for %s/%s wait: %s", to.group, to.stream, error)
            except NoCredentialsError as error:
                LOG.warning("lines for %s/%s wait: %s", to.group, to.stream, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, longest)
