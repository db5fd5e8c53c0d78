"""What the fleet knows of one container instance: its record, what its tasks hold, and what is left.

Slots are the only mutable things of placement. The fleet alone changes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from awsorch.core.model import ContainerInstance, Demand, Resources, Task

if TYPE_CHECKING:
    from awsorch.core.placement.kinds import Kind

_NOTHING = Resources(cpu=0, memory=0)


class Scarce(NamedTuple):
    """What one task takes from its instance that has a name or is counted apart: ports, GPUs, network interfaces."""

    tcp: frozenset[int]
    udp: frozenset[int]
    gpu_ids: tuple[str, ...]
    gpus: int
    interfaces: int


class Hold(NamedTuple):
    """What one task takes from its instance. ``group`` is None once the task is to stop; ``scarce`` is None for a task
    with nothing of that kind."""

    cpu: int
    memory: int
    group: str | None
    pending: bool
    scarce: Scarce | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """What an instance has left (ECS's remainingResources): CPU units, MiB, used ports (reserved ones included),
    free GPUs. CPU and memory are below zero when an instance came back smaller than its tasks."""

    cpu: int
    memory: int
    used_tcp: tuple[int, ...]
    used_udp: tuple[int, ...]
    gpu_ids: tuple[str, ...]


#: More GPUs than any instance has.
_EVERY = 1 << 16
_NOTHING_SCARCE = Scarce(frozenset(), frozenset(), (), 0, 0)


def hold_of(task: Task) -> Hold:
    """What a task that is on an instance holds there: its demand, and the ports that its agent reported."""
    demand = task.demand
    scarce = _scarce(demand, task.gpu_ids)
    bindings = [binding for container in task.containers for binding in container.network_bindings]
    if bindings:
        scarce = scarce or _NOTHING_SCARCE
        tcp, udp = scarce.tcp, scarce.udp
        for binding in bindings:
            ports = _bound(binding.host_port, binding.host_port_range)
            if binding.protocol == "udp":
                udp |= ports
            else:
                tcp |= ports
        scarce = scarce._replace(tcp=tcp, udp=udp)
    group = task.group if task.desired_status == "RUNNING" else None
    return Hold(demand.cpu, demand.memory, group, task.last_status == "PENDING", scarce)


def hold_of_demand(demand: Demand, group: str) -> Hold:
    """What a task of that demand will hold once it is placed; its GPUs are not chosen yet."""
    return Hold(demand.cpu, demand.memory, group, True, _scarce(demand, ()))


def _scarce(demand: Demand, gpu_ids: tuple[str, ...]) -> Scarce | None:
    if demand.tcp_ports or demand.udp_ports or demand.gpus or demand.all_gpus or gpu_ids or demand.interfaces:
        gpus = _EVERY if demand.all_gpus and not gpu_ids else demand.gpus
        tcp, udp = frozenset(demand.tcp_ports), frozenset(demand.udp_ports)
        return Scarce(tcp, udp, gpu_ids, gpus, demand.interfaces)
    return None


def _bound(port: int | None, port_range: str | None) -> frozenset[int]:
    if port_range is None:
        return frozenset((port,)) if port else frozenset()
    first, _, last = port_range.partition("-")
    if not (first.isdigit() and last.isdigit()):
        return frozenset()
    return frozenset(range(int(first), min(int(last), 65535) + 1))


def _count(counts: dict[str, int] | dict[int, int], keys: Iterable[str | int], by: int) -> None:
    table: dict[str | int, int] = counts  # type: ignore[assignment]
    for key in keys:
        left = table.get(key, 0) + by
        if left:
            table[key] = left
        else:
            del table[key]


class Slot:
    """One instance. ``order`` is the final tie-break among instances: the same for an id wherever it is met, so a
    fleet rebuilt from the store decides as the one before. ``open``: whether tasks may be placed here, because the
    instance is ACTIVE and its agent connected."""

    __slots__ = (
        "cpu",
        "gpu_total",
        "gpus_held",
        "gpus_unnamed",
        "groups",
        "held",
        "id",
        "instance",
        "interfaces",
        "kind",
        "memory",
        "open",
        "order",
        "pending",
        "running",
        "tasks",
        "tcp",
        "udp",
    )

    def __init__(self, instance_id: str) -> None:
        self.id = instance_id
        self.order = int.from_bytes(blake2b(instance_id.encode(), digest_size=8).digest())
        self.instance: ContainerInstance | None = None
        self.open = False
        self.cpu = 0
        self.memory = 0
        self.tcp: dict[int, int] = {}
        self.udp: dict[int, int] = {}
        self.gpu_total = 0
        self.gpus_held: dict[str, int] = {}
        self.gpus_unnamed = 0
        self.interfaces = 0
        self.tasks: dict[str, None] = {}
        self.held: dict[str, None] = {}
        self.running = 0
        self.pending = 0
        self.groups: dict[str, int] = {}
        self.kind: Kind | None = None

    def become(self, instance: ContainerInstance | None) -> None:
        """Take another record of the same instance."""
        for resources, sign in (
            (self.instance.resources if self.instance else _NOTHING, -1),
            (instance.resources if instance else _NOTHING, 1),
        ):
            self.cpu += sign * resources.cpu
            self.memory += sign * resources.memory
            self.gpu_total += sign * len(resources.gpu_ids)
            _count(self.tcp, resources.reserved_tcp, sign)
            _count(self.udp, resources.reserved_udp, sign)
        self.instance = instance
        self.open = instance is not None and instance.status == "ACTIVE" and instance.agent_connected

    def carry(self, hold: Hold, times: int) -> None:
        """Count a task's hold ``times`` more (or, below zero, less) often."""
        cpu, memory, group, pending, scarce = hold
        self.cpu -= cpu * times
        self.memory -= memory * times
        if scarce is not None:
            _count(self.tcp, scarce.tcp, times)
            _count(self.udp, scarce.udp, times)
            _count(self.gpus_held, scarce.gpu_ids, times)
            self.gpus_unnamed += max(0, scarce.gpus - len(scarce.gpu_ids)) * times
            self.interfaces += scarce.interfaces * times
        if pending:
            self.pending += times
        if group is not None:
            self.running += times
            groups = self.groups
            left = groups[group] + times if group in groups else times
            if left:
                groups[group] = left
            else:
                del groups[group]

    def free_gpus(self) -> tuple[str, ...]:
        """The GPUs that a task may have, in the order in which the instance registered them."""
        if not self.gpu_total or self.instance is None:
            return ()
        free = [gpu for gpu in self.instance.resources.gpu_ids if gpu not in self.gpus_held]
        return tuple(free[: max(0, len(free) - self.gpus_unnamed)])

    def free_interfaces(self) -> int | None:
        """How many more interfaces tasks may have; None where nobody knows the limit."""
        most = self.instance.resources.interfaces if self.instance is not None else None
        return None if most is None else max(0, most - self.interfaces)

    def free(self) -> Free:
        return Free(
            cpu=self.cpu,
            memory=self.memory,
            used_tcp=tuple(sorted(self.tcp)),
            used_udp=tuple(sorted(self.udp)),
            gpu_ids=self.free_gpus(),
        )

    def copy(self) -> Slot:
        """A slot of its own with the same contents; it belongs to no kind yet."""
        twin = Slot.__new__(Slot)
        for name in (
            "id",
            "order",
            "instance",
            "open",
            "cpu",
            "memory",
            "gpu_total",
            "gpus_unnamed",
            "interfaces",
            "running",
            "pending",
        ):
            setattr(twin, name, getattr(self, name))
        for name in ("tcp", "udp", "gpus_held", "tasks", "held", "groups"):
            setattr(twin, name, dict(getattr(self, name)))
        twin.kind = None
        return twin

    def same_as(self, other: Slot) -> bool:
        """Whether both know the same of the same instance."""
        names = (name for name in Slot.__slots__ if name not in ("kind", "tasks"))
        return self.tasks.keys() == other.tasks.keys() and all(
            getattr(self, name) == getattr(other, name) for name in names
        )
