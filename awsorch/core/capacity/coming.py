"""What-if: which waiting tasks the machines that are on their way have room for, and how many more it would take.

Machines that are not there yet are imagined as their registered siblings are; without a sibling by what their type is
known to offer. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from awsorch.core.model import Constraint, ContainerInstance, Demand, Resources, Strategy, Task
from awsorch.core.model_capacity import Machine, Offer, Provider
from awsorch.core.placement.filters import filter_of
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.place import Request, place
from awsorch.core.state import ClusterState

#: Attributes that every agent of ours and of ECS registers by itself, with values or by what the machine can do.
_TYPE, _ZONE, _CPU, _OS = "ecs.instance-type", "ecs.availability-zone", "ecs.cpu-architecture", "ecs.os-type"
_CAPABILITIES = ("ecs.capability.", "com.amazonaws.ecs.capability.")
_ATTRIBUTE = re.compile(r"attribute:([\w./-]+)")


@dataclass(frozen=True, slots=True)
class Line:
    """Waiting tasks that differ in nothing that placing looks at. ``picky``: they ask for what only a machine that has
    registered can tell whether it has."""

    demand: Demand
    group: str
    constraints: tuple[Constraint, ...]
    strategies: tuple[Strategy, ...]
    picky: bool
    count: int

    @staticmethod
    def of(
        demand: Demand, group: str, constraints: tuple[Constraint, ...], strategies: tuple[Strategy, ...], count: int
    ) -> Line:
        """So many tasks like that."""
        return Line(demand, group, constraints, strategies, _is_picky(demand, constraints), count)


def lines_of(tasks: Sequence[Task]) -> list[Line]:
    """The tasks' lines, the one with the oldest task first."""
    counts: Counter[tuple[Demand, str, tuple[Constraint, ...], tuple[Strategy, ...]]] = Counter()
    for task in tasks:
        assert task.waiting is not None
        counts[task.demand, task.group, task.waiting.constraints, task.waiting.strategies] += 1
    return [
        Line.of(demand, group, constraints, strategies, count)
        for (demand, group, constraints, strategies), count in counts.items()
    ]


def _is_picky(demand: Demand, constraints: Sequence[Constraint]) -> bool:
    """Whether it takes more than the type and the zone of a machine to know that it would do."""
    asked = {name for name, _ in demand.attributes}
    for constraint in constraints:
        asked.update(_ATTRIBUTE.findall(constraint.expression or ""))
    known = (_TYPE, _ZONE, _CPU, _OS)
    return any(name not in known and not name.startswith(_CAPABILITIES) for name in asked)


def sibling_of(state: ClusterState, provider: Provider, instance_type: str) -> ContainerInstance | None:
    """An instance of the provider, of this type, that has registered; it may be gone by now."""
    ids = state.instances_by_make[f"{provider.name}/{instance_type}"]
    return state.instances[min(ids)] if ids else None


def imagine(
    provider: Provider, offer: Offer, zone: str, number: int, sibling: ContainerInstance | None
) -> ContainerInstance:
    """An instance as it would register, by one of the provider that has, of the same type or at least set up alike."""
    own: dict[str, str | None] = {_TYPE: offer.instance_type, _ZONE: zone, _CPU: offer.architecture}
    attributes: Mapping[str, str | None] = {_OS: "linux", **(sibling.attributes if sibling is not None else {}), **own}
    if sibling is not None and sibling.attributes.get(_TYPE) == offer.instance_type:
        resources = sibling.resources
    else:
        resources = Resources(
            cpu=offer.cpu,
            memory=offer.memory,
            gpu_ids=tuple(f"gpu-{each}" for each in range(offer.gpus)),
            interfaces=offer.interfaces,
        )
    return ContainerInstance(
        id=f"imagined-{number}",
        arn=provider.arn,
        resources=resources,
        attributes=attributes,
        agent_connected=True,
        agent_session="imagined",
        capacity_provider=provider.name,
        registered_at=0.0,
    )


class Imagination:
    """A provider's machines to be, and what would have room on them."""

    def __init__(self, state: ClusterState, provider: Provider) -> None:
        self._provider = provider
        self._siblings = {
            offer.instance_type: sibling_of(state, provider, offer.instance_type) for offer in provider.offers
        }
        self._relative = next((known for known in self._siblings.values() if known is not None), None)
        self._zones = _by_count(state, provider)

    def knows(self, line: Line) -> bool:
        """Whether it can be told that the tasks may run on the provider's machines."""
        return not line.picky or self._relative is not None

    def machine(self, offer: Offer, number: int, zone: str | None = None) -> ContainerInstance:
        """One machine to be; without ``zone`` in the one whose turn it is."""
        if zone is None:
            zone = self._zones[number % len(self._zones)] if self._zones else ""
        return imagine(self._provider, offer, zone, number, self._siblings.get(offer.instance_type) or self._relative)

    def known(self, offer: Offer) -> Offer:
        """The offer with the size that machines of its type have registered."""
        sibling = self._siblings.get(offer.instance_type)
        if sibling is None:
            return offer
        return replace(offer, cpu=sibling.resources.cpu, memory=sibling.resources.memory)

    def allowed(
        self, line: Line, places: Mapping[tuple[str, str], ContainerInstance]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which of these machines, by (offer, zone), the tasks' conditions accept: the offers, and the zones."""
        conditions = filter_of(self._known_demand(line).attributes, self._known_constraints(line))
        accepted = [place for place, machine in places.items() if conditions.accepts(machine)]
        return tuple(dict.fromkeys(key for key, _ in accepted)), tuple(dict.fromkeys(zone for _, zone in accepted))

    def left_over(self, machines: Sequence[ContainerInstance], lines: Sequence[Line]) -> list[int]:
        """How many tasks of each line would find no place on these machines alone."""
        fleet = Fleet()
        for instance in machines:
            fleet.instance_changed(None, instance)
        left = []
        for line in lines:
            request = Request(
                demand=self._known_demand(line),
                count=line.count,
                group=line.group,
                constraints=self._known_constraints(line),
                strategies=line.strategies,
            )
            placed = place(fleet, request).placed
            fleet.assume(line.demand, line.group, placed)
            left.append(line.count - len(placed))
        return left

    def _known_demand(self, line: Line) -> Demand:
        """Without what imagined machines cannot tell: every agent has the usual capabilities."""
        if self._relative is not None:
            return line.demand
        attributes = tuple((n, v) for n, v in line.demand.attributes if n in (_TYPE, _ZONE, _CPU, _OS))
        return replace(line.demand, attributes=attributes)

    def _known_constraints(self, line: Line) -> tuple[Constraint, ...]:
        if self.knows(line):
            return line.constraints
        return tuple(constraint for constraint in line.constraints if constraint.type == "distinctInstance")


def _by_count(state: ClusterState, provider: Provider) -> list[str]:
    """The provider's zones, the one with fewest machines first: that is where the next one is launched."""
    counts = Counter(dict.fromkeys(provider.zones, 0))
    counts.update(state.machines[machine_id].zone for machine_id in state.capacity_index.machines(provider.name))
    return sorted(provider.zones, key=lambda zone: (counts[zone], zone))


def has_connected(state: ClusterState, machine: Machine) -> bool:
    """Whether its agent has registered and connected, so that tasks could be placed there."""
    instances = (state.instances[instance_id] for instance_id in state.instances_by_ec2_id[machine.id])
    return any(instance.agent_connected or instance.disconnected_at is not None for instance in instances)
