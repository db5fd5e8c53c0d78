"""Have the capacity that waiting tasks need: one look at one capacity provider.

It sees how the group is, as often as something moves there; grows it, or orders machines for a managed provider; moves
tasks to another provider of their strategy while this one cannot launch; publishes CapacityProviderReservation.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.capacity.coming import lines_of
from awsorch.core.capacity.failures import is_failing, worked
from awsorch.core.capacity.group_size import census, expected_size, instances_needed, size_group
from awsorch.core.capacity.orders import order_machines
from awsorch.core.commands import PublishReservation, SetGroupSize, WatchGroup, WatchMachines
from awsorch.core.model import Task
from awsorch.core.model_capacity import Machine, Provider
from awsorch.core.planners import place_tasks
from awsorch.core.rules.stop_tasks import note
from awsorch.core.state import ClusterState, Transaction

BATCH = 50
#: A group where nothing moves is looked at so many times more seldom than one where something does.
QUIET = 15.0
#: CapacityProviderReservation has a value a minute. Seconds.
PUBLISH_S = 60.0


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One provider."""
    provider = tx.state.providers.get(subject)
    if provider is None:
        return
    _watch(tx, provider)
    if not place_tasks.settle(tx, subject):
        tx.wake(("size_groups", subject))  # what fits on the instances there are needs no others
        return
    waiting = [tx.state.tasks[task_id] for task_id in tx.state.capacity_index.waiting(subject)]
    if provider.is_group and (provider.seen_at is None or not provider.scaling.enabled):
        return
    if is_failing(provider, tx.now):
        _wait_out(tx, provider, waiting)
    else:
        if provider.failure is not None and not waiting:
            provider = worked(tx, provider)
            tx.put(provider)
        if provider.is_group:
            size_group(tx, provider, waiting)
        else:
            order_machines(tx, provider, waiting)
    if provider.is_group:
        _publish(tx, tx.state.providers[subject], waiting)


def _watch(tx: Transaction[ClusterState], provider: Provider) -> None:
    """Ask how the group, or its machines that are not as they are to be, are now."""
    machines = [tx.state.machines[machine_id] for machine_id in tx.state.capacity_index.machines(provider.name)]
    odd = tuple(m.id for m in machines if m.state == "Detached" or (not provider.is_group and _is_moving(m)))
    if odd:
        tx.send(WatchMachines(provider=provider.name, machines=odd[:BATCH]))
    pace = tx.state.gate.pace.poll_seconds
    if provider.is_group:
        assert provider.group is not None
        leaving = any(machine.is_leaving for machine in machines)
        moving = odd or leaving or provider.wanted is not None or provider.seen_at is None
        moving = moving or census(tx.state, provider).coming > 0
        interval = pace if moving else pace * QUIET
        if provider.seen_at is None or provider.seen_at + interval <= tx.now:
            tx.send(WatchGroup(provider=provider.name, group=provider.group, hook=provider.draining))
            tx.wake(("size_groups", provider.name), tx.now + interval)
        else:
            tx.wake(("size_groups", provider.name), provider.seen_at + interval)
    elif odd:
        tx.wake(("size_groups", provider.name), tx.now + pace)


def _is_moving(machine: Machine) -> bool:
    """Whether EC2 takes an instance from one state to another; one that it said it will take may have no agent whose
    silence would tell that it did."""
    return machine.state in ("pending", "shutting-down", "stopping") or machine.interrupted_at is not None


def _wait_out(tx: Transaction[ClusterState], provider: Provider, waiting: list[Task]) -> None:
    """The provider cannot launch now: its tasks go to another of their strategy that can, if there is one, and what was
    asked for in vain is not asked for any longer, so that no need is met twice."""
    assert provider.failure is not None
    tx.wake(("size_groups", provider.name), provider.failure.until)
    moved = 0
    for task in waiting:
        other = _other(tx, provider, task)
        if other is not None and moved < BATCH:
            moved += 1
            why = f"{provider.name} cannot launch ({provider.failure.code}): waits for {other}"
            tx.put(note(tx, replace(task, capacity_provider=other, version=task.version + 1), why))
    if moved == BATCH:
        tx.wake(("size_groups", provider.name))
    if not provider.is_group or provider.group is None or not provider.failure.activity:
        return
    wished, most = expected_size(provider), provider.maximum or 0
    size = min(max(wished - census(tx.state, provider).coming, provider.minimum or 0), most)
    if size < wished and moved:
        tx.put(replace(provider, wanted=size))
        tx.send(SetGroupSize(provider=provider.name, group=provider.group, size=size))


def _other(tx: Transaction[ClusterState], provider: Provider, task: Task) -> str | None:
    """The next provider of the task's strategy that may have room for it."""
    assert task.waiting is not None
    for item in task.waiting.strategy:
        other = tx.state.providers.get(item.provider)
        if other is not None and other.name != provider.name and other.scales and not is_failing(other, tx.now):
            return other.name
    return None


def _publish(tx: Transaction[ClusterState], provider: Provider, waiting: list[Task]) -> None:
    """CapacityProviderReservation, once a minute."""
    if provider.published_at is not None and tx.now < provider.published_at + PUBLISH_S:
        tx.wake(("size_groups", provider.name), provider.published_at + PUBLISH_S)
        return
    tx.put(replace(provider, published_at=tx.now))
    tx.send(PublishReservation(provider=provider.name, value=reservation(tx.state, provider, waiting)))
    tx.wake(("size_groups", provider.name), tx.now + PUBLISH_S)


def reservation(state: ClusterState, provider: Provider, waiting: list[Task]) -> float:
    """The metric's value in percent, by ECS's definition: instances needed of instances there."""
    count = census(state, provider)
    there = count.busy + count.idle
    if not there:
        return 200.0 if waiting else 100.0
    needed = count.busy
    if waiting:
        extra = instances_needed(state, provider, lines_of(waiting))
        needed = there + min(max(extra, provider.scaling.minimum_step), provider.scaling.maximum_step)
    return needed / there * 100.0
