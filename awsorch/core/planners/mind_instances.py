"""See that instances do what they were told, and end the tasks of those that are no more.

This is where a lost SendTasks is derived again: whatever has not settled in time is sent once more.
"""

from __future__ import annotations

from itertools import chain

from awsorch.core.capacity.losses import SPOT, stop_tasks_on
from awsorch.core.commands import CloseSession, SendTasks, WatchMachines
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.model_access import is_external
from awsorch.core.rules.stop_tasks import finish, let_go
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RESEND_AFTER_S, RETENTION_S

BATCH = 50
#: What EC2 makes of a machine whose agent is away is asked this often. Seconds.
ASK_AGAIN_S = 15.0
#: With more than this share of the agents away nothing is replaced at first, but after this long it is. Seconds.
MOST_AWAY = 0.55
LONGEST_DOUBT_S = 300.0
_CODES = {SPOT: "SpotInterruption"}


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One instance: stop its orphans if it is INACTIVE (50 a step), else send again what has not settled."""
    instance = tx.state.instances.get(subject)
    if instance is None:
        return
    if instance.status == "INACTIVE":
        # Again at each look: were the one that deregistering gave lost, the agent would stay connected for ever.
        tx.send(CloseSession(instance_id=instance.id, reason="InactiveInstanceException"))
        _end_tasks(tx, instance)
    elif instance.agent_connected:
        _send_unsettled(tx, instance)
    else:
        _mind_silence(tx, instance)


def _end_tasks(tx: Transaction[ClusterState], instance: ContainerInstance) -> None:
    key = ("mind_instances", instance.id)
    orphans = sorted(tx.state.fleet.tasks_on(instance.id))
    reason = instance.status_reason or "Container instance was deregistered."
    code = _CODES.get(reason, "UserInitiated" if reason.startswith("Container instance") else "TerminationNotice")
    for task_id in orphans[:BATCH]:
        finish(tx, tx.state.tasks[task_id], code, reason)
    held = sorted(tx.state.fleet.held_on(instance.id))
    for task_id in held[:BATCH]:
        let_go(tx, tx.state.tasks[task_id])
    if max(len(orphans), len(held)) > BATCH:
        tx.wake(key)
        return
    forget_at = (instance.deregistered_at or tx.now) + RETENTION_S
    if tx.now < forget_at:
        tx.wake(key, forget_at)
    else:
        tx.remove(instance)


def _mind_silence(tx: Transaction[ClusterState], instance: ContainerInstance) -> None:
    """An agent is away. EC2 is asked what became of its machine; services do not wait for the answer longer than
    ``silence_seconds``: they replace their tasks there. Other tasks are left: they may well go on."""
    key = ("mind_instances", instance.id)
    if instance.ec2_instance_id is not None and not is_external(instance.ec2_instance_id):
        tx.send(WatchMachines(provider=instance.capacity_provider, machines=(instance.ec2_instance_id,)))
    since = instance.disconnected_at
    if since is None:
        return  # it has not connected yet
    patience = tx.state.gate.pace.silence_seconds
    if tx.now < since + patience:
        tx.wake(key, since + patience)
        return
    tx.wake(key, tx.now + ASK_AGAIN_S)
    if _is_us(tx.state) and tx.now < since + LONGEST_DOUBT_S:
        return
    reason = f"The agent of container instance {instance.id} is disconnected."
    stop_tasks_on(tx, instance, "InfrastructureHealth", reason, held=True)


def _is_us(state: ClusterState) -> bool:
    """Whether so many agents are away at once that the fault is likelier to be on this side."""
    total = len(state.instances_by_status["ACTIVE"]) + len(state.instances_by_status["DRAINING"])
    away = len(state.silent_instances["silent"])
    return away > 1 and away > MOST_AWAY * total


def _send_unsettled(tx: Transaction[ClusterState], instance: ContainerInstance) -> None:
    late = []
    for task_id in chain(tx.state.fleet.tasks_on(instance.id), tx.state.fleet.held_on(instance.id)):
        since = _unsettled_since(tx.state.tasks[task_id])
        if since is None:
            continue
        if since + RESEND_AFTER_S <= tx.now:
            late.append(task_id)
        tx.wake(("mind_instances", instance.id), max(since, tx.now) + RESEND_AFTER_S)
    if late:
        tx.send(SendTasks(instance_id=instance.id, task_ids=tuple(sorted(late))))


def _unsettled_since(task: Task) -> float | None:
    """When the agent should have begun to act on what it has not yet reported; None where there is nothing."""
    if task.told_status == "STOPPED":
        return task.stopping_at
    return task.created_at if task.last_status in ("PENDING", "ACTIVATING") else None
