"""Filters: which instances may take a task, and ECS's reason for each that may not.

``Needs`` are a request's demands made ready. What depends on the instance's record alone is a ``Filter``, so
that the fleet can remember its verdicts; the rest is asked of a slot each time. ``why_not`` is the
specification of both: the first filter that refuses, in the order of the ECS developer guide ("How Amazon ECS
places tasks on container instances").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from awsorch.core.errors import invalid_parameter
from awsorch.core.model import Constraint, ContainerInstance, Demand
from awsorch.core.placement.expression import Expression, compile_expression
from awsorch.core.placement.slot import Slot

MOST_CONSTRAINTS = 10
_PLENTY = 1 << 62

#: ECS's ``failures[].reason`` by filter.
REASONS = {
    "missing": "MISSING",
    "status": "INACTIVE",
    "agent": "AGENT",
    "cpu": "RESOURCE:CPU",
    "memory": "RESOURCE:MEMORY",
    "gpu": "RESOURCE:GPU",
    "ports": "RESOURCE:PORTS",
    "interfaces": "RESOURCE:ENI",
    "attributes": "ATTRIBUTE",
    "memberOf": "MemberOf placement constraint unsatisfied.",
    "distinctInstance": "DistinctInstance placement constraint unsatisfied.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """A request's conditions but for its size. What depends on the instance's record only: required attributes, the
    capacity provider that it must belong to, ``fixed`` expressions. What depends on its tasks too: ``dynamic``
    expressions and ``distinct``. Equal by identity: equal conditions give the same filter while it is remembered."""

    attributes: tuple[tuple[str, str | None], ...]
    constraints: tuple[Constraint, ...]
    capacity_provider: str | None
    fixed: tuple[Expression, ...]
    dynamic: tuple[Expression, ...]
    distinct: bool

    def accepts(self, instance: ContainerInstance) -> bool:
        """Whether the record meets its part of the conditions."""
        return (
            self.capacity_provider in (None, instance.capacity_provider)
            and has_attributes(instance, self.attributes)
            and all(expression.holds(instance, 0, ()) for expression in self.fixed)
        )


@lru_cache(maxsize=1024)
def filter_of(
    attributes: tuple[tuple[str, str | None], ...],
    constraints: tuple[Constraint, ...] = (),
    capacity_provider: str | None = None,
) -> Filter:
    """Make conditions ready. Raises InvalidParameterException for an expression that is none."""
    expressions = [compile_expression(c.expression or "") for c in constraints if c.type == "memberOf"]
    return Filter(
        attributes,
        constraints,
        capacity_provider,
        tuple(e for e in expressions if not e.dynamic),
        tuple(e for e in expressions if e.dynamic),
        any(c.type == "distinctInstance" for c in constraints),
    )


def has_attributes(instance: ContainerInstance, wanted: tuple[tuple[str, str | None], ...]) -> bool:
    """Whether the instance has each attribute, with the value where one is asked for."""
    own = instance.attributes
    return all(name in own and (value is None or own[name] == value) for name, value in wanted)


class Needs:
    """What one task of a request needs of a slot. ``plain``: CPU and memory are all that is asked of it beside its
    record; ``ports``, ``gpus``, ``interfaces``: fixed ports, GPUs, network interfaces are too."""

    __slots__ = ("demand", "filter", "gpus", "group", "interfaces", "plain", "ports")

    def __init__(self, demand: Demand, group: str, conditions: Filter) -> None:
        self.demand = demand
        self.group = group
        self.filter = conditions
        self.ports = demand.tcp_ports or demand.udp_ports
        self.gpus = demand.gpus or demand.all_gpus
        self.interfaces = demand.interfaces
        scarce = self.ports or self.gpus or self.interfaces
        self.plain = not (scarce or conditions.distinct or conditions.dynamic)

    def room(self, slot: Slot, taken: int = 0) -> int:
        """How many more such tasks the slot has room for, when ``taken`` were just given to it; 0 or 1 where
        one more could change the answer. The record's part (candidate, Filter) is not asked again."""
        demand = self.demand
        cpu, memory, own_cpu, own_memory = demand.cpu, demand.memory, slot.cpu, slot.memory
        if own_cpu < cpu or own_memory < memory or own_cpu < 0 or own_memory < 0:
            return 0
        times = own_cpu // cpu if cpu else _PLENTY
        if memory and (fit := own_memory // memory) < times:
            times = fit
        if self.plain:
            return max(times - taken, 0)
        if self.ports:
            if not ports_free(slot, demand):
                return 0
            times = 1
        if self.gpus:
            times = min(times, gpu_room(slot, demand))
        if self.interfaces and (free := slot.free_interfaces()) is not None:
            times = min(times, free // self.interfaces)
        if self.filter.distinct:
            times = 0 if self.group in slot.groups else min(times, 1)
        if times > taken and self.filter.dynamic:
            return 1 if self._dynamic_hold(slot, taken) else 0
        return max(times - taken, 0)

    def _dynamic_hold(self, slot: Slot, taken: int) -> bool:
        instance = slot.instance
        groups = slot.groups.keys() | {self.group} if taken else slot.groups.keys()
        return instance is not None and all(
            e.holds(instance, slot.running + taken, groups) for e in self.filter.dynamic
        )

    def why_not(self, slot: Slot, taken: int = 0) -> str | None:
        """The name of the first filter (a key of REASONS) that refuses one more task here; None if none does."""
        instance = slot.instance
        if instance is None:
            return "missing"
        if instance.status != "ACTIVE":
            return "status"
        if not instance.agent_connected:
            return "agent"
        return (
            self._short_of(slot, taken)
            or (None if has_attributes(instance, self.demand.attributes) else "attributes")
            or self._unsatisfied(slot, instance, taken)
        )

    def _short_of(self, slot: Slot, taken: int) -> str | None:
        demand = self.demand
        if slot.cpu - taken * demand.cpu < demand.cpu:
            return "cpu"
        if slot.memory - taken * demand.memory < demand.memory:
            return "memory"
        if self.gpus and gpu_room(slot, demand) <= taken:
            return "gpu"
        if self.ports and (taken or not ports_free(slot, demand)):
            return "ports"
        free = slot.free_interfaces() if self.interfaces else None
        if free is not None and free // self.interfaces <= taken:
            return "interfaces"
        return None

    def _unsatisfied(self, slot: Slot, instance: ContainerInstance, taken: int) -> str | None:
        groups = slot.groups.keys() | {self.group} if taken else slot.groups.keys()
        for constraint in self.filter.constraints:
            if constraint.type == "distinctInstance":
                if self.group in groups:
                    return "distinctInstance"
            elif not compile_expression(constraint.expression or "").holds(instance, slot.running + taken, groups):
                return "memberOf"
        return None


def gpu_room(slot: Slot, demand: Demand) -> int:
    """How many such tasks the free GPUs are enough for; a demand for all GPUs needs each to be free."""
    free = len(slot.free_gpus())
    return int(0 < free == slot.gpu_total) if demand.all_gpus else free // demand.gpus


def ports_free(slot: Slot, demand: Demand) -> bool:
    """Whether nothing on the instance uses a port that the demand fixes."""
    return slot.tcp.keys().isdisjoint(demand.tcp_ports) and slot.udp.keys().isdisjoint(demand.udp_ports)


def validate_constraints(constraints: Sequence[Constraint], *, task_definition: bool = False) -> None:
    """Raise InvalidParameterException for constraints that ECS refuses. Task definitions may only have memberOf."""
    if len(constraints) > MOST_CONSTRAINTS:
        raise invalid_parameter(f"Maximum number of placement constraints is {MOST_CONSTRAINTS}")
    for constraint in constraints:
        if constraint.type == "memberOf":
            if not (constraint.expression or "").strip():
                raise invalid_parameter("A memberOf placement constraint must have an expression")
            compile_expression(constraint.expression or "")
        elif constraint.type != "distinctInstance" or task_definition:
            allowed = "memberOf" if task_definition else "distinctInstance,memberOf"
            raise invalid_parameter(f"Placement constraint type should be one of [{allowed}], not '{constraint.type}'")
        elif constraint.expression:
            raise invalid_parameter("A distinctInstance placement constraint must not have an expression")
