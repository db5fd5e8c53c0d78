"""What a task has from EC2 for itself: wished for when it is made, asked for once it has its instance, given back when
its containers have ended. ``planners/provide_attachments`` sees to what is lost on the way.

Source: ECS API, Attachment; developer guide, "Task networking with the awsvpc network mode", "Amazon ECS task
lifecycle" (PROVISIONING, DEPROVISIONING).
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.commands import SendTasks
from awsorch.core.events_attachments import (
    AttachmentProvided,
    AttachmentRefused,
    AttachmentReleased,
    AttachmentsReported,
)
from awsorch.core.lifecycle import is_final
from awsorch.core.model import Task
from awsorch.core.model_attachments import (
    ATTACHED,
    ATTACHING,
    DELETED,
    PRECREATED,
    VOLUME,
    Attachment,
)
from awsorch.core.rules.stop_tasks import finish, note
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RESEND_AFTER_S


def attachment_provided(tx: Transaction[ClusterState], event: AttachmentProvided) -> None:
    """EC2 has attached it to the instance, whose agent is told of it."""
    task = tx.state.tasks.get(event.task_id)
    known = _attachment(task, event.attachment_id)
    if task is None or known is None or known.status != PRECREATED:
        return
    changed = replace(known, status=ATTACHING, details={**known.details, **event.details}, facts=event.facts)
    task = note(tx, with_attachment(task, changed), f"{known.type} {known.id} is attached to the instance")
    tx.put(task)
    if not is_final(task.last_status):
        tx.send(SendTasks(instance_id=task.instance_id or "", task_ids=(task.id,)))


def attachments_reported(tx: Transaction[ClusterState], event: AttachmentsReported) -> None:
    """An agent has found what was attached. With the last of them the task goes on: PENDING, and its agent gets it."""
    for attachment_id in event.attached:
        task = _owner(tx.state, event.task_id, attachment_id)
        known = _attachment(task, attachment_id)
        if task is None or known is None or known.status != ATTACHING:
            continue
        task = with_attachment(task, replace(known, status=ATTACHED))
        if task.last_status == "PROVISIONING" and all(each.status == ATTACHED for each in task.attachments):
            task = note(tx, replace(task, last_status="PENDING", version=task.version + 1), "PENDING")
            tx.send(SendTasks(instance_id=task.instance_id or "", task_ids=(task.id,)))
            tx.wake(("mind_instances", task.instance_id or ""), tx.now + RESEND_AFTER_S)
        tx.put(task)


def _owner(state: ClusterState, task_id: str | None, attachment_id: str) -> Task | None:
    """The task that has the attachment. Volumes alone are reported without their tasks, and that is seldom."""
    tasks = state.tasks.values() if task_id is None else filter(None, (state.tasks.get(task_id),))
    return next((task for task in tasks if _attachment(task, attachment_id) is not None), None)


def attachment_refused(tx: Transaction[ClusterState], event: AttachmentRefused) -> None:
    """EC2 will not give it: the task ends. What there is of it all the same, goes."""
    task = tx.state.tasks.get(event.task_id)
    if task is not None and not is_final(task.last_status) and _attachment(task, event.attachment_id) is not None:
        finish(tx, with_reason(task, event.reason), "TaskFailedToStart", event.reason)


def attachment_released(tx: Transaction[ClusterState], event: AttachmentReleased) -> None:
    """EC2 has it no more. With the last one the task has STOPPED."""
    task = tx.state.tasks.get(event.task_id)
    known = _attachment(task, event.attachment_id)
    if task is None or known is None or known.status == DELETED:
        return
    task = with_attachment(task, replace(known, status=DELETED))
    tx.put(task)
    settle(tx, task)


def settle(tx: Transaction[ClusterState], task: Task) -> None:
    """STOPPED, where DEPROVISIONING has nothing left to give back."""
    if task.last_status == "DEPROVISIONING" and all(each.status == DELETED for each in task.attachments):
        tx.put(stopped(tx, task))


def stopped(tx: Transaction[ClusterState], task: Task) -> Task:
    """A task in DEPROVISIONING as it has STOPPED."""
    done = replace(task, last_status="STOPPED", stopped_at=tx.now, version=task.version + 1)
    return note(tx, done, f"STOPPED: {task.stopped_reason}")


def with_attachment(task: Task, changed: Attachment) -> Task:
    """The task with one of its attachments changed."""
    return replace(task, attachments=tuple(changed if each.id == changed.id else each for each in task.attachments))


def with_reason(task: Task, reason: str) -> Task:
    """The task with the reason at those of its volumes that it has not got (ECS shows none at interfaces)."""
    for each in task.attachments:
        if each.type == VOLUME and each.status in (PRECREATED, ATTACHING):
            task = with_attachment(task, replace(each, details={**each.details, "statusReason": reason}))
    return task


def _attachment(task: Task | None, attachment_id: str) -> Attachment | None:
    return next((each for each in task.attachments if each.id == attachment_id), None) if task is not None else None
