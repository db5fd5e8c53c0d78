"""What there is to publish about tasks: what their containers use, one sample a round, and their health."""

from collections.abc import Callable, Iterator, Mapping

from awsorch.agent import plan
from awsorch.agent.assignment import Assignment
from awsorch.agent.pause import is_internal
from awsorch.agent.states import Status
from awsorch.agent.usage import Traffic, Usage, UsageSource
from awsorch.wire import acs, tcs

MEBIBYTE = 1024 * 1024


class Measurements:
    """Samples of the tasks' containers; each call of `metrics` is one sample."""

    def __init__(
        self,
        tasks: Mapping[str, Assignment],
        source: UsageSource,
        clock: Callable[[], float],
        cpus: float,
    ) -> None:
        """`cpus` are the instance's, as it registered them: CPU is told in percent of that."""
        self._tasks = tasks
        self._source = source
        self._clock = clock
        self._cpus = cpus
        self._samples: dict[str, tuple[float, Usage]] = {}
        self._restarts: dict[str, int] = {}

    def now(self) -> float:
        return round(self._clock(), 3)

    @property
    def is_idle(self) -> bool:
        return all(each.is_stopped for each in self._tasks.values())

    def metrics(self) -> list[tcs.TaskMetric]:
        """Figures of every running task; containers seen for the first time come with the next call."""
        samples: dict[str, tuple[float, Usage]] = {}
        metrics = []
        for assignment, containers in self._running():
            found = []
            for container, docker_id in containers:
                metric = self._measure(assignment, container, docker_id, samples)
                if metric is not None:
                    found.append(metric)
            if found:
                task = assignment.task
                metrics.append(
                    tcs.TaskMetric(
                        task_arn=task.arn,
                        task_definition_family=task.family,
                        task_definition_version=task.version,
                        container_metrics=tuple(found),
                    )
                )
        self._samples = samples
        self._restarts = {name: count for name, count in self._restarts.items() if name in samples}
        return metrics

    def health(self) -> list[tcs.TaskHealth]:
        """The health of every running container whose task definition has a health check."""
        found = []
        for assignment, containers in self._running():
            checked = tuple(
                self._health_of(assignment, container)
                for container, _ in containers
                if container.health_check_type.lower() == "docker"
            )
            if checked:
                task = assignment.task
                found.append(
                    tcs.TaskHealth(
                        task_arn=task.arn,
                        task_definition_family=task.family,
                        task_definition_version=task.version,
                        containers=checked,
                    )
                )
        return found

    def _running(self) -> Iterator[tuple[Assignment, list[tuple[acs.Container, str]]]]:
        for assignment in self._tasks.values():
            if assignment.is_stopped:
                continue
            containers = [
                (assignment.containers[name], state.docker_id)
                for name, state in assignment.state.containers.items()
                if not is_internal(name)
                if state.known is Status.RUNNING and state.docker_id is not None
            ]
            if containers:
                yield assignment, containers

    def _measure(
        self,
        assignment: Assignment,
        container: acs.Container,
        docker_id: str,
        samples: dict[str, tuple[float, Usage]],
    ) -> tcs.ContainerMetric | None:
        usage = self._source.read(docker_id)
        if usage is None:
            return None
        now, before = self._clock(), self._samples.get(docker_id)
        samples[docker_id] = (now, usage)
        if before is None or now <= before[0] or usage.cpu < before[1].cpu:
            return None
        seconds = now - before[0]
        percent = (usage.cpu - before[1].cpu) / seconds / self._cpus * 100
        is_bridged = plan.is_bridged(assignment.task, container)
        return tcs.ContainerMetric(
            container_name=container.name,
            container_arn=container.container_arn,
            cpu_stats_set=_one_sample(percent),
            memory_stats_set=_one_sample(usage.memory / MEBIBYTE),
            network_stats_set=_network(before[1], usage, seconds) if is_bridged else None,
            storage_stats_set=tcs.StorageStats(
                read_size_bytes=_one_count(usage.bytes_read), write_size_bytes=_one_count(usage.bytes_written)
            ),
            restart_stats_set=self._restarts_of(assignment, container, docker_id),
        )

    def _restarts_of(self, assignment: Assignment, container: acs.Container, docker_id: str) -> tcs.RestartStats | None:
        if container.restart_policy is None or not container.restart_policy.enabled:
            return None
        total = assignment.state.containers[container.name].restarts
        before, self._restarts[docker_id] = self._restarts.get(docker_id, 0), total
        return tcs.RestartStats(restart_count=total - before)

    @staticmethod
    def _health_of(assignment: Assignment, container: acs.Container) -> tcs.ContainerHealth:
        state = assignment.state.containers[container.name]
        return tcs.ContainerHealth(
            container_name=container.name,
            health_status=state.health.value,
            status_since=round(state.health_at or state.started_at or 0.0, 3),
        )


def _one_sample(value: float) -> tcs.DoubleStats:
    return tcs.DoubleStats(min=value, max=value, sample_count=1, sum=value)


def _one_count(value: int) -> tcs.LongStats:
    return tcs.LongStats(min=value, max=value, sample_count=1, sum=value)


def _network(before: Usage, now: Usage, seconds: float) -> tcs.NetworkStats | None:
    """Counters as they are, and bytes a second since the sample before; None when a sample lacks them."""
    if now.received is None or now.sent is None or before.received is None or before.sent is None:
        return None
    return tcs.NetworkStats(
        rx_bytes=_one_count(now.received.bytes),
        rx_bytes_per_second=_rate(before.received, now.received, seconds),
        rx_dropped=_one_count(now.received.dropped),
        rx_errors=_one_count(now.received.errors),
        rx_packets=_one_count(now.received.packets),
        tx_bytes=_one_count(now.sent.bytes),
        tx_bytes_per_second=_rate(before.sent, now.sent, seconds),
        tx_dropped=_one_count(now.sent.dropped),
        tx_errors=_one_count(now.sent.errors),
        tx_packets=_one_count(now.sent.packets),
    )


def _rate(before: Traffic, now: Traffic, seconds: float) -> tcs.DoubleStats:
    return _one_sample(max(now.bytes - before.bytes, 0) / seconds)
