"""What will be decided of a capacity provider unless something changes, and how tasks that wait for it stand.

Every answer comes from the functions that decide; nothing is decided or changed here. Prices are US dollars an hour,
times seconds since the epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from awsorch.core.capacity.coming import Imagination, Line, lines_of
from awsorch.core.capacity.failures import is_failing
from awsorch.core.capacity.group_size import STEP_S, census, expected_size, instances_needed, smallest, wished_size
from awsorch.core.capacity.orders import machines_for, machines_missing, on_the_way
from awsorch.core.model import ContainerInstance, Demand, Task
from awsorch.core.model_capacity import GOING, Machine, Offer, Provider
from awsorch.core.planners.end_machines import SPARE, idle_delay, idle_ends, is_growing
from awsorch.core.state import ClusterState

View = dict[str, Any]

#: How tasks that wait stand.
COMING, LAUNCHES, FAILING, AT_MAXIMUM = "COMING", "LAUNCHES", "FAILING", "AT_MAXIMUM"
SCALING_OFF, NONE_LEFT, NO_TYPES, NO_TYPE_FITS = "SCALING_OFF", "NONE_LEFT", "NO_TYPES", "NO_TYPE_FITS"


def waiting_for(state: ClusterState, provider: Provider) -> list[Task]:
    """The provider's tasks in PROVISIONING, the oldest first."""
    return [state.tasks[task_id] for task_id in state.capacity_index.waiting(provider.name)]


def is_over(machine: Machine) -> bool:
    """Whether EC2 has ended it, or is about to, and nothing is left to decide."""
    return machine.state.startswith(GOING)


# --- decisions ---------------------------------------------------------------------------------------------------


def decisions(state: ClusterState, provider: Provider, now: float) -> list[View]:
    """What will be done, soonest first: ``{what, count, at, hourlyPrice}`` with ``what`` "launch" (and
    ``instanceType``, ``spot``) or "end" (and ``machines``, ``reason``, the ``tasks`` that go elsewhere first)."""
    if not provider.scales:
        return []
    found = [*_launches(state, provider, now), *_ends(state, provider, now)]
    return sorted(found, key=lambda each: float(each["at"]))


def _launches(state: ClusterState, provider: Provider, now: float) -> Iterator[View]:
    waiting = waiting_for(state, provider)
    failure = provider.failure
    at = failure.until if failure is not None and is_failing(provider, now) else now
    for (offer, _), count in Counter(_missing(state, provider, lines_of(waiting), now)).items():
        yield {
            "what": "launch",
            "count": count,
            "instanceType": offer.instance_type,
            "spot": offer.spot,
            "at": max(at, _next_step(provider, now)),
            "hourlyPrice": offer.price * count,
        }


def _missing(
    state: ClusterState, provider: Provider, lines: Sequence[Line], now: float
) -> list[tuple[Offer, str | None]]:
    """What has to be launched beyond what is on its way; the zones of a group are its own choice."""
    if not provider.is_group:
        return [(offer, None) for offer, _ in machines_missing(state, provider, lines, now)]
    if provider.maximum is None or not provider.offers:
        return []
    more = min(wished_size(state, provider, lines), provider.maximum) - expected_size(provider)
    return [(preferred(provider), None)] * max(more, 0)


def _next_step(provider: Provider, now: float) -> float:
    """When the group's step size allows for more instances."""
    if provider.decided_at is None or provider.stepped < provider.scaling.maximum_step:
        return now
    return max(now, provider.decided_at + STEP_S)


def preferred(provider: Provider) -> Offer:
    """The type that a group launches first."""
    return provider.offers[0]


def _ends(state: ClusterState, provider: Provider, now: float) -> Iterator[View]:
    machines = [state.machines[machine_id] for machine_id in state.capacity_index.machines(provider.name)]
    for machine in machines:
        if machine.ending is not None and not is_over(machine):
            yield _end(state, machine, now, machine.ending)
    if is_growing(state, provider):
        return
    for machine, due in idle_ends(state, provider):
        yield _end(state, machine, max(due, now), "idle")
    delay = idle_delay(state, provider)
    for machine in machines:
        if delay is not None and machine.spare_since is not None and not machine.is_leaving:
            yield _end(state, machine, max(machine.spare_since + delay, now), SPARE)


def _end(state: ClusterState, machine: Machine, at: float, reason: str) -> View:
    tasks = sum(len(state.fleet.tasks_on(instance_id)) for instance_id in state.instances_by_ec2_id[machine.id])
    return {
        "what": "end",
        "count": 1,
        "machines": [machine.id],
        "reason": reason,
        "tasks": tasks,
        "at": at,
        "hourlyPrice": -machine.price,
    }


# --- how tasks stand ---------------------------------------------------------------------------------------------


def machines_coming(state: ClusterState, provider: Provider, thought: Imagination) -> list[ContainerInstance]:
    """The machines that were asked for and take no tasks yet, as they will be."""
    if not provider.is_group:
        return on_the_way(state, provider, thought)
    if not provider.offers:
        return []
    return [thought.machine(smallest(provider), number) for number in range(census(state, provider).coming)]


def outlooks(state: ClusterState, provider: Provider, lines: Sequence[Line], now: float) -> list[str]:
    """How the tasks of each line stand, in the order of the lines: room for them is COMING or is to be launched
    (LAUNCHES), or why not."""
    thought = Imagination(state, provider)
    left = thought.left_over(machines_coming(state, provider, thought), lines)
    return [
        why_no_room(state, provider, line, now) if count else COMING for line, count in zip(lines, left, strict=True)
    ]


def why_no_room(state: ClusterState, provider: Provider, line: Line, now: float) -> str:
    """Why there is no room for these tasks on what the provider has and awaits; LAUNCHES: there will be."""
    if not provider.offers:
        return NO_TYPES
    one = replace(line, count=1)
    if not _fits(state, replace(provider, refused={}), one, now):
        return NO_TYPE_FITS
    if is_failing(provider, now):
        return FAILING
    if not provider.is_group:
        return LAUNCHES if _fits(state, provider, one, now) else NONE_LEFT
    if not provider.scaling.enabled:
        return SCALING_OFF
    return AT_MAXIMUM if expected_size(provider) >= (provider.maximum or 0) else LAUNCHES


def _fits(state: ClusterState, provider: Provider, line: Line, now: float) -> bool:
    """Whether a new machine of the provider would have room for one task of the line."""
    if provider.is_group:
        return instances_needed(state, provider, [line]) > 0
    return bool(machines_for(state, provider, [line], now))


def lacking(provider: Provider, demand: Demand) -> list[View]:
    """What a task asks for that no type of the provider has so much of: ``{resource, wanted, most}``."""
    wished = {"cpu": demand.cpu, "memory": demand.memory, "gpus": max(demand.gpus, int(demand.all_gpus))}
    most = {name: max((getattr(offer, name) for offer in provider.offers), default=0) for name in wished}
    return [
        {"resource": name, "wanted": wanted, "most": most[name]}
        for name, wanted in wished.items()
        if wanted > most[name]
    ]
