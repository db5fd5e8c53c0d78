"""What a cluster and its services use and reserve, in percent: ECS's metrics, from the state and what tasks used.

A service's utilization is what its tasks use of what each reserves (its average over them, and so its statistic's
number of samples is that of running tasks); a cluster's is what all use of what its instances offer.
Source: ECS developer guide, "Amazon ECS CloudWatch metrics".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from awsorch.core.model import ContainerInstance, Task
from awsorch.core.state import ClusterState

CPU_UTILIZATION, MEMORY_UTILIZATION = "CPUUtilization", "MemoryUtilization"
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


def figures_of(cluster: str, state: ClusterState, used: Mapping[str, Used]) -> list[Figure]:
    """Every figure that there is now; only clusters and services with running tasks have any. ``used`` by task id."""
    running = [task for task in state.tasks.values() if task.last_status == "RUNNING"]
    instances = {each.id: each for each in state.instances.values() if each.status in ("ACTIVE", "DRAINING")}
    if not running or not instances:
        return []
    figures = list(_reservations(cluster, running, instances.values()))
    measured = [
        (task, _cpu_units(used[task.id], instances[task.instance_id]), used[task.id].memory)
        for task in running
        if task.id in used and task.instance_id in instances
    ]
    figures += _cluster_utilization(cluster, measured, instances.values())
    figures += _service_utilization(cluster, measured)
    return figures


_Measured = tuple[Task, float, float]


def _cpu_units(used: Used, instance: ContainerInstance) -> float:
    return used.cpu / 100 * instance.resources.cpu


def _reservations(cluster: str, running: list[Task], instances: Iterable[ContainerInstance]) -> Iterator[Figure]:
    offered = [each.resources for each in instances]
    for name, reserved, registered in (
        (CPU_RESERVATION, sum(each.demand.cpu for each in running), sum(each.cpu for each in offered)),
        (MEMORY_RESERVATION, sum(each.demand.memory for each in running), sum(each.memory for each in offered)),
        (GPU_RESERVATION, sum(len(each.gpu_ids) for each in running), sum(len(each.gpu_ids) for each in offered)),
    ):
        if registered:
            yield Figure(name=name, cluster=cluster, values=(100 * reserved / registered,))


def _cluster_utilization(
    cluster: str, measured: list[_Measured], instances: Iterable[ContainerInstance]
) -> Iterator[Figure]:
    offered = [each.resources for each in instances]
    for name, used, registered in (
        (CPU_UTILIZATION, sum(cpu for _, cpu, _ in measured), sum(each.cpu for each in offered)),
        (MEMORY_UTILIZATION, sum(memory for _, _, memory in measured), sum(each.memory for each in offered)),
    ):
        if measured and registered:
            yield Figure(name=name, cluster=cluster, values=(100 * used / registered,))


def _service_utilization(cluster: str, measured: list[_Measured]) -> Iterator[Figure]:
    """A task that reserves nothing has no percentage."""
    values: dict[tuple[str, str], list[float]] = {}
    for task, cpu, memory in measured:
        if task.service is None:
            continue
        for name, used, reserved in (
            (CPU_UTILIZATION, cpu, task.demand.cpu),
            (MEMORY_UTILIZATION, memory, task.demand.memory),
        ):
            if reserved:
                values.setdefault((task.service.name, name), []).append(100 * used / reserved)
    for (service, name), found in sorted(values.items()):
        yield Figure(name=name, cluster=cluster, service=service, values=tuple(found))
