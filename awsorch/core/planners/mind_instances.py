"""See that instances do what they were told, and end the tasks of those that are no more.

This is where a lost SendTasks is derived again: whatever has not settled in time is sent once more.
"""

from __future__ import annotations

from awsorch.core.commands import CloseSession, SendTasks
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.rules.stop_tasks import finish
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RESEND_AFTER_S, RETENTION_S

BATCH = 50


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


def _end_tasks(tx: Transaction[ClusterState], instance: ContainerInstance) -> None:
    key = ("mind_instances", instance.id)
    orphans = sorted(tx.state.fleet.tasks_on(instance.id))
    reason = instance.status_reason or "Container instance was deregistered."
    code = "UserInitiated" if reason.startswith("Container instance") else "TerminationNotice"
    for task_id in orphans[:BATCH]:
        finish(tx, tx.state.tasks[task_id], code, reason)
    if len(orphans) > BATCH:
        tx.wake(key)
        return
    forget_at = (instance.deregistered_at or tx.now) + RETENTION_S
    if tx.now < forget_at:
        tx.wake(key, forget_at)
    else:
        tx.remove(instance)


def _send_unsettled(tx: Transaction[ClusterState], instance: ContainerInstance) -> None:
    late = []
    for task_id in tx.state.fleet.tasks_on(instance.id):
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
