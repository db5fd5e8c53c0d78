"""One agent's telemetry connection (TCS): every publication is acknowledged, and only news becomes an event.

No socket and no clock. Whether something is news is told by the state itself, so nothing is remembered of health;
of metrics the latest sample of each container is kept, up to a bound. Source: agent protocol, TCS websocket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from awsorch.core.events import Event, HealthReported, InstanceHealthReported
from awsorch.core.model import ContainerInstance
from awsorch.core.state import ClusterState
from awsorch.core.utilization import Used
from awsorch.gateway.control import HEARTBEAT_S, Instance
from awsorch.wire import tcs

#: Samples kept for one instance: far more containers than a machine runs.
SAMPLES_LIMIT = 1000
#: A connection on which nothing was heard for this long is let go. Agents without metrics are silent for long, and
#: reconnect at once. Seconds.
SILENCE_S = 600.0

#: What an agent says of its health is kept to this many characters, and to times before the year 10000.
REASON_LIMIT = 1024
TIME_LIMIT = 253_402_300_799.0

_HEALTH = frozenset({"HEALTHY", "UNHEALTHY", "UNKNOWN"})
#: The agent's names of its health checks, and ECS's (InstanceHealthCheckType).
_CHECKS = {
    "ContainerRuntime": "CONTAINER_RUNTIME",
    "EBSDaemon": "DAEMON",
    "Agent": "AGENT_CONNECTIVITY",
    "ACCELERATED_COMPUTE": "ACCELERATED_COMPUTE",
}
_CHECK_STATES = frozenset({"OK", "IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING"})

Samples = dict[tuple[str, str], tcs.ContainerMetric]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a publication: the answer, and events for the partition."""

    reply: tcs.TCSMessage | None
    events: Sequence[Event] = ()


@dataclass(slots=True)
class Spent:
    """The sums of a container's samples, CPU in percent of its host and memory in MiB, and how many there were."""

    cpu: float = 0.0
    memory: float = 0.0
    rounds: int = 0


class TelemetrySession:
    """One telemetry connection of one container instance."""

    __slots__ = ("_latest", "_round", "_said_at", "_spent", "heard_at", "instance")

    def __init__(self, instance: Instance, now: float) -> None:
        self.instance = instance
        self.heard_at = now
        self._said_at = now
        self._latest: Samples | None = None
        self._round: Samples | None = None
        self._spent: dict[tuple[str, str], Spent] = {}

    def take_usage(self) -> dict[str, Used]:
        """What tasks used on average since this was asked last, all their containers together, by task ARN."""
        taken, self._spent = self._spent, {}
        used: dict[str, Used] = {}
        for (task, _), spent in taken.items():
            known = used.get(task, Used(cpu=0.0, memory=0.0))
            cpu, memory = spent.cpu / spent.rounds, spent.memory / spent.rounds
            used[task] = Used(cpu=known.cpu + cpu, memory=known.memory + memory)
        return used

    @property
    def metrics(self) -> Mapping[tuple[str, str], tcs.ContainerMetric]:
        """The latest complete round of samples, by (task ARN, container name)."""
        return self._latest or {}

    @property
    def due(self) -> float:
        """When `tick` is to be called next."""
        return min(self._said_at + HEARTBEAT_S, self.heard_at + SILENCE_S)

    def is_silent(self, now: float) -> bool:
        """Whether the agent must be taken for gone."""
        return now >= self.heard_at + SILENCE_S

    def tick(self, now: float) -> bool:
        """Whether a heartbeat is due: only where there was no publication to acknowledge."""
        if now < self._said_at + HEARTBEAT_S:
            return False
        self._said_at = now
        return True

    def receive(self, message: tcs.TCSMessage | None, state: ClusterState, now: float) -> Heard:
        """Take a publication; `state` tells what is news. None: a message of a type that is not known."""
        self.heard_at = now
        if isinstance(message, tcs.PublishMetricsRequest):
            self._keep(message)
            heard = Heard(tcs.AckPublishMetric(message="ok"))
        elif isinstance(message, tcs.PublishHealthRequest):
            heard = Heard(tcs.AckPublishHealth(message="ok"), self._container_health(message, state))
        elif isinstance(message, tcs.PublishInstanceStatusRequest):
            heard = Heard(tcs.AckPublishInstanceStatus(message="ok"), self._instance_health(message, state))
        else:
            return Heard(None)
        self._said_at = now
        return heard

    def _keep(self, message: tcs.PublishMetricsRequest) -> None:
        samples = self._round if self._round is not None else {}
        for task in message.task_metrics:
            for container in task.container_metrics:
                if len(samples) < SAMPLES_LIMIT:
                    samples[task.task_arn, container.container_name] = container
                    self._add(task.task_arn, container)
        if message.metadata is not None and message.metadata.fin:
            self._latest, self._round = samples or None, None
        else:
            self._round = samples

    def _add(self, task: str, container: tcs.ContainerMetric) -> None:
        cpu, memory = _average(container.cpu_stats_set), _average(container.memory_stats_set)
        key = (task, container.container_name)
        if cpu is None or memory is None or (key not in self._spent and len(self._spent) >= SAMPLES_LIMIT):
            return
        spent = self._spent.setdefault(key, Spent())
        spent.cpu += cpu
        spent.memory += memory
        spent.rounds += 1

    def _container_health(self, message: tcs.PublishHealthRequest, state: ClusterState) -> list[Event]:
        events: list[Event] = []
        for reported in message.tasks:
            task = state.tasks.get(reported.task_arn.rpartition("/")[2])
            if task is None or task.instance_id != self.instance.id:
                continue
            said = {each.container_name: each.health_status for each in reported.containers}
            news = {
                container.name: said[container.name]
                for container in task.containers
                if container.has_health_check
                and container.last_status != "STOPPED"
                and said.get(container.name, "") in _HEALTH
                and said[container.name] != container.health_status
            }
            if news:
                events.append(HealthReported(task_id=task.id, health=news, cause=f"health from {self.instance.id}"))
        return events

    def _instance_health(self, message: tcs.PublishInstanceStatusRequest, state: ClusterState) -> list[Event]:
        known = state.instances.get(self.instance.id)
        if known is None:
            return []
        news: dict[str, Any] = {}
        for each in message.statuses:
            check = _CHECKS.get(each.type)
            if check is not None and each.status in _CHECK_STATES and _is_news(known, check, each.status):
                news[check] = _check_view(each)
        if not news:
            return []
        cause = f"instance status from {self.instance.id}"
        return [InstanceHealthReported(instance_id=self.instance.id, health=news, cause=cause)]


def _average(stats: tcs.DoubleStats | None) -> float | None:
    """None for what is no figure: nothing that an agent says may spoil those of others."""
    if stats is None or stats.sample_count <= 0:
        return None
    average = stats.sum / stats.sample_count
    return average if math.isfinite(average) and average >= 0 else None


def _is_news(instance: ContainerInstance, check: str, status: str) -> bool:
    return bool(instance.health.get(check, {}).get("status") != status)


def _check_view(status: tcs.InstanceStatus) -> dict[str, Any]:
    """The members of ECS's InstanceHealthCheckResult."""
    view: dict[str, Any] = {"status": status.status}
    if status.status_reason:
        view["statusReason"] = status.status_reason[:REASON_LIMIT]
    for member, time in (("lastUpdated", status.last_updated), ("lastStatusChange", status.last_status_change)):
        if 0 < time <= TIME_LIMIT:
            view[member] = time
    return view
