"""Give tasks in PROVISIONING a place as soon as their capacity provider has one; give up in the end.

The largest go first, as they did when the size of the group was thought out (``capacity/group_size``): small ones find
room beside them. What has waited for long goes before all of them, the oldest first, so that nothing starves.

Source: ECS developer guide, "Automatically manage Amazon ECS capacity with cluster auto scaling", PROVISIONING tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from awsorch.core.capacity.group_size import share_of, smallest
from awsorch.core.commands import SendTasks
from awsorch.core.model import Container, Demand, Task, Waiting
from awsorch.core.model_story import Placement
from awsorch.core.placement.place import Decision, Request, place
from awsorch.core.rules.new_tasks import EMPTY_PROVIDER, gpus_by_container, waiting_reason
from awsorch.core.rules.stop_tasks import finish, note
from awsorch.core.rules.wished_attachments import at_its_instance
from awsorch.core.state import ClusterState, Transaction

BATCH = 50
#: A task that has waited this long goes before larger ones. Seconds.
LONG_WAIT_S = 300.0
#: A task that has waited this long is given up; ECS does so after 10 to 30 minutes. Seconds.
PATIENCE_S = 30 * 60.0


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """The tasks that wait for one capacity provider: about 50 of them placed or given up."""
    if settle(tx, subject):
        _give_up(tx, subject)
    else:
        tx.wake(("place_tasks", subject))


def settle(tx: Transaction[ClusterState], provider: str) -> bool:
    """Place up to 50 tasks that there is room for. False: there may be room for more of them."""
    left = BATCH
    for alike in _in_turn(tx, provider):
        if not left:
            return False
        left -= _place(tx, provider, alike[:left])
    return left > 0


def _in_turn(tx: Transaction[ClusterState], provider: str) -> list[list[Task]]:
    """The waiting tasks, those alike together: such as have waited for long, then the largest first."""
    groups = _alike(tx.state, provider)
    known = tx.state.providers.get(provider)
    if known is None or not known.offers:
        return groups
    offer = smallest(known)

    def turn(group: list[Task]) -> tuple[bool, float]:
        assert group[0].waiting is not None
        if group[0].waiting.since + LONG_WAIT_S <= tx.now:
            return False, 0.0
        return True, -share_of(offer, group[0].demand)

    return sorted(groups, key=turn)


def _alike(state: ClusterState, provider: str) -> list[list[Task]]:
    """The waiting tasks, those together that differ in nothing that placing looks at; the oldest group first."""
    groups: dict[tuple[str, str, Demand, Waiting], list[Task]] = {}
    for task_id in state.capacity_index.waiting(provider):
        task = state.tasks[task_id]
        assert task.waiting is not None
        wish = replace(task.waiting, since=0.0, reason=None, strategy=())
        groups.setdefault((task.definition, task.group, task.demand, wish), []).append(task)
    return list(groups.values())


def _place(tx: Transaction[ClusterState], provider: str, tasks: Sequence[Task]) -> int:
    """Place as many of these identical tasks as there is room for; answers how many. The others remember why not."""
    first = tasks[0]
    assert first.waiting is not None
    request = Request(
        demand=first.demand,
        count=len(tasks),
        group=first.group,
        constraints=first.waiting.constraints,
        strategies=first.waiting.strategies,
        seed=int(first.id[:15], 16),
        capacity_provider=provider,
    )
    decision = place(tx.state.fleet, request)
    by_instance: dict[str, list[str]] = {}
    for task, instance_id, gpus in zip(tasks, decision.placed, decision.gpus, strict=False):
        tx.put(_settled(tx, task, instance_id, gpus, decision))
        by_instance.setdefault(instance_id, []).append(task.id)
    for instance_id, ids in by_instance.items():
        tx.send(SendTasks(instance_id=instance_id, task_ids=tuple(ids)))
    left = tasks[len(decision.placed) :]
    reason = waiting_reason(tx.state, provider, decision.failures) if left else None
    for task in left:
        assert task.waiting is not None
        if task.waiting.reason != reason:
            tx.put(replace(task, waiting=replace(task.waiting, reason=reason)))
    return len(decision.placed)


def _settled(
    tx: Transaction[ClusterState], task: Task, instance_id: str, gpus: tuple[str, ...], decision: Decision
) -> Task:
    """The task on its instance."""
    instance = tx.state.instances[instance_id]
    definition = tx.state.definitions[task.definition].definition
    shares = gpus_by_container(definition, task.overrides, gpus)
    containers: tuple[Container, ...] = tuple(
        replace(container, gpu_ids=share) for container, share in zip(task.containers, shares, strict=True)
    )
    placed = replace(
        task,
        instance_id=instance_id,
        zone=instance.zone,
        gpu_ids=gpus,
        containers=containers,
        waiting=None,
        placement=Placement(considered=decision.considered, refused=decision.refused, chosen=instance.arn),
        version=task.version + 1,
    )
    return note(tx, at_its_instance(tx, placed), f"placed on {instance.arn}")


def _give_up(tx: Transaction[ClusterState], provider: str) -> None:
    """Stop the tasks that have waited too long, or whose provider is no more: 50 of them at most."""
    waiting = tx.state.capacity_index.waiting(provider)
    gone = provider not in tx.state.providers
    for task_id in waiting[:BATCH]:
        task = tx.state.tasks[task_id]
        assert task.waiting is not None
        due = task.waiting.since + PATIENCE_S
        if gone or due <= tx.now:
            reason = EMPTY_PROVIDER if gone else (task.waiting.reason or EMPTY_PROVIDER)
            finish(tx, task, "TaskFailedToStart", f"TaskFailedToStart: {reason.rstrip('.')}")
        else:
            tx.wake(("place_tasks", provider), due)
            return
    if len(waiting) > BATCH:
        tx.wake(("place_tasks", provider))
