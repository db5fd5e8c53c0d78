"""What a cluster and its services use and reserve, in percent: ECS's metrics, from the state and what tasks used.

A service's utilization is what its tasks use of what each reserves (its average over them, and so its statistic's
number of samples is that of running tasks); a cluster's is what all use of what its instances offer.
Source: ECS developer guide, "Amazon ECS CloudWatch metrics".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from awsorch.core.model import ContainerInstance, Task

CPU_UTILIZATION, MEMORY_UTILIZATION = "CPUUtilization", "MemoryUtilization"
OFFERING = ("ACTIVE", "DRAINING")
CPU_RESERVATION, MEMORY_RESERVATION, GPU_RESERVATION = "CPUReservation", "MemoryReservation", "GPUReservation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a task used on average: CPU in percent of its instance, memory in MiB."""

    cpu: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric of a cluster, or of one of its services, for a minute; values in percent."""

    name: str
    cluster: str
    service: str | None = None
    values: tuple[float, ...]


class Tally:
    """Adds up one cluster, an instance and a task at a time: a large one is not to hold up everything else."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._offered = _Amounts()
        self._reserved = _Amounts()
        self._used = _Amounts()
        self._running = 0
        self._measured = 0
        self._services: dict[tuple[str, str], list[float]] = {}

    def offer(self, instance: ContainerInstance) -> None:
        """An instance of the cluster; ACTIVE and DRAINING ones count."""
        if instance.status in OFFERING:
            resources = instance.resources
            self._offered.add(resources.cpu, resources.memory, len(resources.gpu_ids))

    def count(self, task: Task, instance: ContainerInstance | None, used: Used | None) -> None:
        """A task of the cluster, its instance, and what it used, if its agent told; running ones count."""
        if task.last_status != "RUNNING":
            return
        self._running += 1
        self._reserved.add(task.demand.cpu, task.demand.memory, len(task.gpu_ids))
        if used is None or instance is None or instance.status not in OFFERING:
            return
        self._measured += 1
        cpu = used.cpu / 100 * instance.resources.cpu
        self._used.add(cpu, used.memory, 0)
        if task.service is not None:
            self._add(task.service.name, CPU_UTILIZATION, cpu, task.demand.cpu)
            self._add(task.service.name, MEMORY_UTILIZATION, used.memory, task.demand.memory)

    def figures(self) -> list[Figure]:
        """Every figure that there is; only clusters and services with running tasks have any."""
        found: list[Figure] = []
        if self._running:
            found += self._cluster_figures(self._reserved, CPU_RESERVATION, MEMORY_RESERVATION, GPU_RESERVATION)
        if self._measured:
            found += self._cluster_figures(self._used, CPU_UTILIZATION, MEMORY_UTILIZATION)
        for (service, name), values in sorted(self._services.items()):
            found.append(Figure(name=name, cluster=self._cluster, service=service, values=tuple(values)))
        return found

    def _add(self, service: str, name: str, used: float, reserved: float) -> None:
        """A task that reserves nothing has no percentage."""
        if reserved:
            self._services.setdefault((service, name), []).append(100 * used / reserved)

    def _cluster_figures(self, amounts: _Amounts, *names: str) -> Iterator[Figure]:
        for name, amount, offered in zip(names, amounts.each(), self._offered.each(), strict=False):
            if offered:
                yield Figure(name=name, cluster=self._cluster, values=(100 * amount / offered,))


@dataclass(slots=True)
class _Amounts:
    cpu: float = 0.0
    memory: float = 0.0
    gpus: int = 0

    def add(self, cpu: float, memory: float, gpus: int) -> None:
        self.cpu += cpu
        self.memory += memory
        self.gpus += gpus

    def each(self) -> tuple[float, float, float]:
        return self.cpu, self.memory, self.gpus
