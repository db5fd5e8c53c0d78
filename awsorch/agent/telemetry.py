"""TCS: the websocket on which metrics, container health and the instance's own status are published.

Every frame is signed. Nothing is sent twice: what a broken connection loses, the next round replaces. An agent of a
simulated fleet does not connect while it has nothing to tell.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from awsorch.agent import AGENT_HASH, AGENT_VERSION
from awsorch.agent.api import ECS
from awsorch.agent.doctor import Doctor
from awsorch.agent.measurements import Measurements
from awsorch.agent.session import Backoff, Ending, Registration, open_websocket, read, stay_connected, websocket_url
from awsorch.wire import tcs
from awsorch.wire.errors import WireError

LOG = logging.getLogger(__name__)
T = TypeVar("T")

BACKOFF = Backoff(first=1.0, last=60.0, growth=2.0)
PERIOD = 20.0
TASKS_PER_MESSAGE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """What to publish. `when_idle` False: connect only while there are tasks."""

    metrics: bool = True
    health: bool = True
    when_idle: bool = True


class Telemetry:
    """One agent's telemetry sessions, one after the other."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        ecs: ECS,
        registration: Registration,
        measurements: Measurements,
        doctor: Doctor,
        publishing: Publishing,
    ) -> None:
        self._http = http
        self._ecs = ecs
        self._registration = registration
        self._measurements = measurements
        self._doctor = doctor
        self._publishing = publishing
        self._health_is_due = asyncio.Event()
        self._wanted = asyncio.Event()
        if publishing.when_idle:
            self._wanted.set()

    def health_changed(self) -> None:
        """A container's health is not what it was: publish it now, not at the next round."""
        self._health_is_due.set()

    def tasks_changed(self) -> None:
        """There may be something to publish where there was nothing."""
        self._wanted.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await stay_connected("TCS", self._session, BACKOFF)

    async def _session(self) -> Ending:
        await self._wanted.wait()
        about = self._registration
        endpoint = await self._ecs.discover_poll_endpoint(about.cluster, about.instance_arn, about.zone_id)
        url = websocket_url(
            endpoint.telemetry,
            {
                "agentHash": AGENT_HASH,
                "agentVersion": AGENT_VERSION,
                "cluster": about.cluster,
                "containerInstance": about.instance_arn,
                "dockerVersion": about.docker_version,
            },
        )
        socket = await open_websocket(self._http, self._ecs, url)
        publisher = asyncio.create_task(self._publish(socket, url))
        try:
            return await read(socket, self._take)
        finally:
            publisher.cancel()
            await asyncio.gather(publisher, return_exceptions=True)
            await socket.close()

    async def _take(self, text: str) -> bool:
        try:
            message = tcs.decode_tcs(text)
        except WireError as error:
            LOG.warning("TCS: a message was dropped: %s", error)
            return False
        match message:
            case None:
                return False
            case tcs.AckPublishMetric() | tcs.AckPublishHealth() | tcs.AckPublishInstanceStatus():
                pass
            case tcs.HeartbeatMessage():
                pass
            case _:
                LOG.warning("TCS: %s", message)
        return True

    # Publishing

    async def _publish(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        """A round at once and every 20 s; health also whenever it changes. Ends when the socket does."""
        loop = asyncio.get_running_loop()
        next_round = loop.time()
        try:
            while not socket.closed:
                if loop.time() >= next_round:
                    next_round += PERIOD
                    if not await self._publish_round(socket, url):
                        await socket.close()
                        return
                else:
                    await self._send_health(socket, url)
                try:
                    async with asyncio.timeout_at(next_round):
                        await self._health_is_due.wait()
                except TimeoutError:
                    pass
                self._health_is_due.clear()
        except (ConnectionError, aiohttp.ClientError) as error:
            LOG.info("TCS: publishing ended: %s", error)
            await socket.close()
        except Exception:
            LOG.exception("TCS: publishing ended in a bug; it begins again with the next connection")
            await socket.close()

    async def _publish_round(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> bool:
        """False when there is nothing more to publish and this agent is not to be connected then."""
        if self._publishing.metrics:
            await self._send_metrics(socket, url)
        await self._send_health(socket, url)
        statuses = await self._doctor.new_statuses()
        if statuses:
            metadata = tcs.InstanceStatusMetadata(
                cluster=self._registration.cluster,
                container_instance=self._registration.instance_arn,
                request_id=str(uuid.uuid4()),
            )
            message = tcs.PublishInstanceStatusRequest(
                metadata=metadata, timestamp=self._measurements.now(), statuses=statuses
            )
            await self._send(socket, url, message)
        if not self._publishing.when_idle and self._measurements.is_idle:
            self._wanted.clear()
            return False
        return True

    async def _send_metrics(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        idle = self._measurements.is_idle
        metrics = self._measurements.metrics()
        message_id, now = str(uuid.uuid4()), self._measurements.now()
        for tasks, last in _portions(metrics):
            metadata = tcs.MetricsMetadata(
                cluster=self._registration.cluster,
                container_instance=self._registration.instance_arn,
                message_id=message_id,
                idle=idle,
                fin=last,
            )
            message = tcs.PublishMetricsRequest(metadata=metadata, timestamp=now, task_metrics=tasks)
            await self._send(socket, url, message)

    async def _send_health(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        tasks = self._measurements.health() if self._publishing.health else ()
        if not tasks:
            return
        message_id, now = str(uuid.uuid4()), self._measurements.now()
        for portion, last in _portions(tasks):
            metadata = tcs.HealthMetadata(
                cluster=self._registration.cluster,
                container_instance=self._registration.instance_arn,
                message_id=message_id,
                fin=last,
            )
            message = tcs.PublishHealthRequest(metadata=metadata, timestamp=now, tasks=portion)
            await self._send(socket, url, message)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, url: str, message: tcs.TCSMessage) -> None:
        await socket.send_str(tcs.encode_tcs(message, await self._ecs.websocket_headers(url)))


def _portions(items: Sequence[T]) -> Iterator[tuple[tuple[T, ...], bool]]:
    """At most ten at a time, and whether they are the last; one empty portion of nothing."""
    for start in range(0, max(len(items), 1), TASKS_PER_MESSAGE):
        end = start + TASKS_PER_MESSAGE
        yield tuple(items[start:end]), end >= len(items)
