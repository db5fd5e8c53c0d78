"""How many instances an Auto Scaling group should have for the tasks that wait, by placing them on imagined ones.

Source: ECS developer guide, "Automatically manage Amazon ECS capacity with cluster auto scaling"; the metric that ECS
publishes once a minute is here what is decided at each change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from awsorch.core.capacity.coming import Imagination, Line, has_connected, lines_of
from awsorch.core.commands import SetGroupSize
from awsorch.core.model import ContainerInstance, Demand, Task
from awsorch.core.model_capacity import GOING, Offer, Provider
from awsorch.core.services.speech import clear, complain
from awsorch.core.state import ClusterState, Transaction

#: ``maximumScalingStepSize`` is for so long (ECS: the minute of its metric). Seconds.
STEP_S = 60.0
#: A size that was asked for and has not been seen is asked for again after this long. Seconds.
ASK_AGAIN_S = 10.0


def size_group(tx: Transaction[ClusterState], provider: Provider, waiting: list[Task]) -> None:
    """Grow the group where tasks wait for more than what is coming; ask again for what was not seen."""
    assert provider.group is not None
    assert provider.maximum is not None
    maximum = provider.maximum
    if provider.wanted is not None and provider.wanted > maximum:  # it was lowered since
        provider = replace(provider, wanted=maximum)
        tx.put(provider)
    size = expected_size(provider)
    goal = wished_size(tx.state, provider, lines_of(waiting))
    _say_limit(tx, provider, waiting, limited=goal > maximum <= size)
    if goal <= size:
        _ask_again(tx, provider)
        return
    allowed = _step(tx, provider, goal - size)
    new = min(size + allowed, maximum)
    if new <= size:
        _ask_again(tx, provider)
        return
    fresh = provider.decided_at is None or provider.decided_at + STEP_S <= tx.now
    provider = replace(
        provider,
        wanted=new,
        decided_at=tx.now if fresh else provider.decided_at,
        stepped=new - size + (0 if fresh else provider.stepped),
    )
    tx.put(provider)
    tx.send(SetGroupSize(provider=provider.name, group=provider.group or "", size=new))
    tx.wake(("size_groups", provider.name), tx.now + ASK_AGAIN_S)


def expected_size(provider: Provider) -> int:
    """The size that the group will have when all that was asked for has come."""
    return provider.wanted if provider.wanted is not None else provider.desired or 0


@dataclass(frozen=True, slots=True)
class Census:
    """A group's instances: ``busy`` and ``idle`` ones have an agent that has connected, ``leaving`` ones still count in
    the group's size, ``coming`` ones do so before they can take a task."""

    busy: int
    idle: int
    leaving: int
    coming: int


def census(state: ClusterState, provider: Provider) -> Census:
    """Count."""
    busy = idle = leaving = 0
    for machine_id in state.capacity_index.machines(provider.name):
        machine = state.machines[machine_id]
        if machine.state.startswith(GOING):
            continue
        if machine.ending is not None:
            leaving += 1
        elif has_connected(state, machine):
            busy += machine.idle_since is None
            idle += machine.idle_since is not None
    return Census(busy, idle, leaving, max(expected_size(provider) - busy - idle - leaving, 0))


def wished_size(state: ClusterState, provider: Provider, lines: Sequence[Line]) -> int:
    """The size at which all these tasks find a place, with the spare instances that ``targetCapacity`` asks for."""
    count = census(state, provider)
    needed = instances_needed(state, provider, lines)
    present = count.busy + count.idle + needed
    with_spare = ceil((count.busy + needed) * 100 / provider.scaling.target)
    return count.leaving + max(present, with_spare)


def instances_needed(state: ClusterState, provider: Provider, lines: Sequence[Line]) -> int:
    """How many instances beside those that are there these tasks need, whether they are coming already or not."""
    if not provider.offers or not lines:
        return 0
    # The group chooses among its types itself: what the smallest has room for is sure.
    offer = smallest(provider)
    thought = Imagination(state, provider)
    each = [thought.machine(offer, number, zone) for number, zone in enumerate(provider.zones)]
    fitting = [line for line in lines if thought.left_over(each, [replace(line, count=1)]) == [0]]
    sure = [line for line in fitting if thought.knows(line)]
    # Whether the others may run there the first machine will tell.
    return _fewest(thought, offer, sure) if sure else int(bool(fitting))


def smallest(provider: Provider) -> Offer:
    """The smallest type of the group."""
    return min(provider.offers, key=lambda each: (each.cpu, each.memory))


def _fewest(thought: Imagination, offer: Offer, lines: list[Line]) -> int:
    """The least number of machines on which as many tasks fit as can, the largest first: what is small finds room
    beside what is large, where small ones spread over all machines would leave none for a large one."""
    lines = sorted(lines, key=lambda line: share_of(offer, line.demand), reverse=True)
    machines: list[ContainerInstance] = []

    def fit(number: int) -> bool:
        while len(machines) < number:
            machines.append(thought.machine(offer, len(machines)))
        return not any(thought.left_over(machines[:number], lines))

    high = _by_sums(offer, lines)
    low, most = high - 1, sum(line.count for line in lines)
    while not fit(high):
        if high >= most:
            return most  # one machine for each task would not do: what is left needs something else
        low, high = high, min(high * 2, most)
    while high - low > 1:
        middle = (low + high) // 2
        if fit(middle):
            high = middle
        else:
            low = middle
    return high


def share_of(offer: Offer, demand: Demand) -> float:
    """The part of such a machine that a task takes of what it takes most of."""
    gpus = offer.gpus if demand.all_gpus else demand.gpus
    return max(demand.cpu / max(offer.cpu, 1), demand.memory / max(offer.memory, 1), gpus / max(offer.gpus, 1))


def _by_sums(offer: Offer, lines: list[Line]) -> int:
    """How many machines it takes at least: one, or what the sums of CPU and memory say."""
    cpu = sum(line.demand.cpu * line.count for line in lines)
    memory = sum(line.demand.memory * line.count for line in lines)
    return max(1, ceil(cpu / max(offer.cpu, 1)), ceil(memory / max(offer.memory, 1)))


def _step(tx: Transaction[ClusterState], provider: Provider, missing: int) -> int:
    """How many may be added now: the step sizes hold for all decisions of a minute together."""
    since = provider.decided_at
    if since is None or since + STEP_S <= tx.now:
        since, taken = tx.now, 0
    else:
        taken = provider.stepped
    step = missing if taken else max(missing, provider.scaling.minimum_step)
    allowed = max(min(step, provider.scaling.maximum_step - taken), 0)
    if allowed < missing:
        tx.wake(("size_groups", provider.name), since + STEP_S)
    return allowed


def _ask_again(tx: Transaction[ClusterState], provider: Provider) -> None:
    """What was decided and has not been seen may have got lost."""
    if provider.wanted is not None and provider.group is not None:
        tx.send(SetGroupSize(provider=provider.name, group=provider.group, size=provider.wanted))
        tx.wake(("size_groups", provider.name), tx.now + ASK_AGAIN_S)


def _say_limit(tx: Transaction[ClusterState], provider: Provider, waiting: list[Task], *, limited: bool) -> None:
    names = dict.fromkeys(task.service.name for task in waiting if task.service is not None)
    for name in names:
        if name not in tx.state.services:
            continue
        if limited:
            text = (
                f"is waiting for capacity: the Auto Scaling group of capacity provider {provider.name} has reached its "
                f"maximum size of {provider.maximum}."
            )
            complain(tx, name, f"limit {provider.name}", text)
        else:
            clear(tx, name, f"limit {provider.name}")
