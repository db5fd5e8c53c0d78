"""Placing: which instances take a group of identical tasks, and why the others do not.

``place`` decides and changes nothing: the caller writes Task records, which the fleet follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from awsorch.core.model import Constraint, Demand, Refused, Strategy
from awsorch.core.placement.expression import compile_expression
from awsorch.core.placement.filters import REASONS, Needs, needs_of
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.slot import Slot
from awsorch.core.placement.strategies import COUNT, CPU, MEMORY, Chain, chain_of

MOST_FAILURES = 100
_IDS_TOLD = 5


@dataclass(frozen=True, slots=True)
class Request:
    """``count`` identical tasks of one group. ``constraints``: the request's and the task definition's together.
    ``seed`` decides what ``random`` chooses. ``only``: place on these instances (StartTask). ``capacity_provider``:
    place on its instances."""

    demand: Demand
    count: int
    group: str
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    seed: int = 0
    only: frozenset[str] | None = None
    capacity_provider: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """``placed``: an instance id per placed task; ``gpus``: the GPU ids of each. ``considered``: instances looked
    at. When some task found no place: ``refused`` counts the instances by filter, and ``failures`` has (instance id,
    ECS's reason) of each, the first 100 at most."""

    placed: tuple[str, ...]
    gpus: tuple[tuple[str, ...], ...]
    refused: tuple[Refused, ...]
    considered: int
    failures: tuple[tuple[str, str], ...]


def place(fleet: Fleet, request: Request) -> Decision:
    """Decide where the tasks go. Raises InvalidParameterException for an expression that is none."""
    needs = needs_of(request.demand, request.group, request.constraints)
    chain = chain_of(request.strategies)
    pool = _pool(fleet, request)
    taken: Counter[str] = Counter()
    placed: list[str] = []
    gpus: list[tuple[str, ...]] = []
    for ordinal in range(request.count):
        fit = [slot for slot in pool if needs.why_not(slot, taken[slot.id]) is None]
        if not fit:
            break
        slot = _choose(fleet, fit, chain, request, taken, ordinal)
        n = request.demand.gpus
        gpus.append(slot.free_gpus()[taken[slot.id] * n : (taken[slot.id] + 1) * n])
        placed.append(slot.id)
        taken[slot.id] += 1
    refused: tuple[Refused, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    if len(placed) < request.count:
        refused, failures = _explain(needs, pool, taken)
    return Decision(tuple(placed), tuple(gpus), refused, len(pool), failures)


def _pool(fleet: Fleet, request: Request) -> list[Slot]:
    if request.only is not None:
        return [fleet.slot(i) or Slot(i) for i in sorted(request.only)]
    return sorted(
        (
            slot
            for slot in fleet.slots()
            if slot.instance is not None
            and slot.instance.status == "ACTIVE"
            and request.capacity_provider in (None, slot.instance.capacity_provider)
        ),
        key=lambda slot: slot.id,
    )


def _choose(fleet: Fleet, fit: list[Slot], chain: Chain, request: Request, taken: Counter[str], ordinal: int) -> Slot:
    counts = []
    for attribute in chain.attributes:
        table = Counter(fleet.spread_counts(attribute, request.group))
        for instance_id, n in taken.items():
            slot = fleet.slot(instance_id)
            if slot is not None and slot.instance is not None:
                table[slot.instance.attributes.get(attribute)] += n
        counts.append(table)

    def score(slot: Slot) -> tuple[int, ...]:
        assert slot.instance is not None
        n = taken[slot.id]
        parts = []
        for step in chain.steps:
            if isinstance(step, int):
                parts.append(counts[step][slot.instance.attributes.get(chain.attributes[step])])
            elif step == COUNT:
                parts.append(slot.groups.get(request.group, 0) + n)
            elif step == CPU:
                parts.append(slot.cpu - n * request.demand.cpu)
            else:
                left = slot.memory - n * request.demand.memory
                parts.append(left if step == MEMORY else -left)
        return tuple(parts)

    best = min(map(score, fit))
    ties = [slot for slot in fit if score(slot) == best]
    if chain.random:
        return ties[(request.seed * 6364136223846793005 + ordinal * 1442695040888963407 >> 11) % len(ties)]
    return min(ties, key=lambda slot: slot.order)


def _explain(
    needs: Needs, pool: Iterable[Slot], taken: Counter[str]
) -> tuple[tuple[Refused, ...], tuple[tuple[str, str], ...]]:
    by_filter: dict[str, list[str]] = {}
    failures: list[tuple[str, str]] = []
    for slot in pool:
        why = needs.why_not(slot, taken[slot.id])
        if why is not None:
            by_filter.setdefault(why, []).append(slot.id)
            if len(failures) < MOST_FAILURES:
                failures.append((slot.id, REASONS[why]))
    refused = tuple(
        Refused(filter=name, reason=REASONS[name], instances=len(ids), instance_ids=tuple(ids[:_IDS_TOLD]))
        for name, ids in by_filter.items()
    )
    return refused, tuple(failures)


def matches(fleet: Fleet, instance_id: str, expression: str) -> bool:
    """Whether an instance that the fleet knows satisfies a cluster query (ListContainerInstances' filter)."""
    slot = fleet.slot(instance_id)
    if slot is None or slot.instance is None:
        return False
    return compile_expression(expression).holds(slot.instance, slot.running, slot.groups.keys())
