"""The telemetry connections that are open. Acknowledges, and puts what is news into the partition's inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

from awsorch.core.state import ClusterState
from awsorch.core.utilization import Used
from awsorch.engine.partition import Partition, Unavailable
from awsorch.gateway.admission import Visitor
from awsorch.gateway.connection import REFUSED, Connection, close_connections
from awsorch.gateway.telemetry import Heard, TelemetrySession
from awsorch.gateway.wheel import Wheel
from awsorch.wire import tcs
from awsorch.wire.errors import WireError

logger = logging.getLogger(__name__)


class TelemetryLine:
    """One telemetry connection: its conversation, its socket, its partition."""

    __slots__ = ("connection", "partition", "session")

    def __init__(self, session: TelemetrySession, connection: Connection, partition: Partition[ClusterState]) -> None:
        self.session = session
        self.connection = connection
        self.partition = partition


class TelemetryLines:
    """Every open telemetry connection; of several of one instance the newest counts."""

    def __init__(self) -> None:
        self._lines: set[TelemetryLine] = set()
        self._newest: dict[tuple[str, str], TelemetryLine] = {}
        self._wheel: Wheel[TelemetryLine] = Wheel()

    def __len__(self) -> int:
        return len(self._lines)

    def metrics_of(self, cluster: str, instance_id: str) -> Mapping[tuple[str, str], tcs.ContainerMetric]:
        """The latest samples of an instance's containers, by (task ARN, container name)."""
        line = self._newest.get((cluster, instance_id))
        return {} if line is None else line.session.metrics

    def take_usage(self, cluster: str) -> Iterator[dict[str, Used]]:
        """What each task of a cluster used since this was asked last, by its id; an instance's tasks at a time."""
        for (of, _), line in list(self._newest.items()):
            if of == cluster:
                yield {arn.rpartition("/")[2]: used for arn, used in line.session.take_usage().items()}

    async def serve(self, visitor: Visitor, connection: Connection) -> None:
        """Take an agent's publications until one side ends the connection."""
        line = TelemetryLine(TelemetrySession(visitor.instance, _now()), connection, visitor.partition)
        key = (visitor.instance.cluster, visitor.instance.id)
        self._lines.add(line)
        self._newest[key] = line
        self._wheel.schedule(line, line.session.due)
        try:
            async for text in connection.texts():
                await self._receive(line, text)
        finally:
            self._lines.discard(line)
            self._wheel.forget(line)
            if self._newest.get(key) is line:
                del self._newest[key]

    def close(self, cluster: str, instance_id: str, reason: str) -> None:
        """End the instance's connection; the agent reads the reason."""
        line = self._newest.get((cluster, instance_id))
        if line is not None:
            line.connection.close(REFUSED, reason)

    async def close_all(self) -> None:
        """End every connection: the controller stops."""
        await close_connections([line.connection for line in self._lines])

    async def turn(self) -> None:
        """Do what has become due: heartbeats where there was nothing to acknowledge, giving up on silent agents."""
        now = _now()
        heartbeat = tcs.encode_tcs(tcs.HeartbeatMessage(healthy=True))
        for line in self._wheel.turn(now):
            if line.session.is_silent(now):
                line.connection.cut()
                continue
            if line.session.tick(now):
                await line.connection.deliver(heartbeat)
            if line in self._lines:
                self._wheel.schedule(line, line.session.due)

    async def _receive(self, line: TelemetryLine, text: str) -> None:
        try:
            heard = line.session.receive(tcs.decode_tcs(text), line.partition.state, _now())
        except WireError as error:
            logger.warning("%s: a publication was dropped: %s", line.session.instance.arn, error.message)
            heard = Heard(tcs.BadRequestException(message=error.message))
        except Unavailable as error:
            heard = Heard(tcs.ServerException(message=str(error)))
        for event in heard.events:
            line.partition.post(event)
        if heard.reply is not None:
            await line.connection.deliver(tcs.encode_tcs(heard.reply))


def _now() -> float:
    return asyncio.get_running_loop().time()
