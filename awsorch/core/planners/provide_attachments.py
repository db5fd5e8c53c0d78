"""See that a placed task gets its interfaces and volumes, and that EC2 gets them back.

This is where a lost command is derived again. Both are asked for again and again, since asking twice does no harm: a
task waits for them for a while and is given up then; what is to go is asked to go for as long as it is there, though
its task counts as STOPPED after a while. Subject: a task's id.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.commands import ProvideAttachment, ReleaseAttachment, SendTasks
from awsorch.core.lifecycle import is_final
from awsorch.core.model import Task
from awsorch.core.model_attachments import ATTACHING, DELETED, DETACHING, INTERFACE, PRECREATED, VOLUME, Attachment
from awsorch.core.rules.attachments import settle, stopped, with_attachment, with_reason
from awsorch.core.rules.stop_tasks import finish
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RESEND_AFTER_S

#: EC2 is asked again after this long. Seconds.
ASK_AGAIN_S = 5.0
#: A task is given up that has not got its attachments by then. Seconds.
PATIENCE_S = 180.0
#: A task counts as STOPPED after this long even if something of it is not gone yet. Seconds.
FAREWELL_S = 300.0
_TIMEOUTS = {
    INTERFACE: "Timeout waiting for network interface provisioning to complete.",
    VOLUME: "Timeout waiting for EBS volume attachment to complete.",
}


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One task with attachments."""
    task = tx.state.tasks.get(subject)
    if task is None:
        return
    if is_final(task.last_status):
        if not task.held:
            _release(tx, task)
    elif task.last_status == "PROVISIONING" and task.instance_id is not None:
        _provide(tx, task)


def _provide(tx: Transaction[ClusterState], task: Task) -> None:
    instance = tx.state.instances.get(task.instance_id or "")
    machine = instance.ec2_instance_id if instance is not None else None
    due = min(each.since or tx.now for each in task.attachments) + PATIENCE_S
    missing = [each for each in task.attachments if each.status in (PRECREATED, ATTACHING)]
    if machine is None or due <= tx.now:
        reason = _TIMEOUTS[missing[0].type] if missing else ""
        finish(tx, with_reason(task, reason), "TaskFailedToStart", reason)
        return
    for attachment in missing:
        if attachment.status == PRECREATED:
            if not attachment.asked:
                task = with_attachment(task, replace(attachment, asked=True))
                tx.put(task)
            tx.send(_wish(task, attachment, machine))
    if any(each.status == ATTACHING for each in missing):
        tx.send(SendTasks(instance_id=task.instance_id or "", task_ids=(task.id,)))
    pause = ASK_AGAIN_S if any(each.status == PRECREATED for each in missing) else RESEND_AFTER_S
    tx.wake(("provide_attachments", task.id), min(due, tx.now + pause))


def _wish(task: Task, attachment: Attachment, machine: str) -> ProvideAttachment:
    return ProvideAttachment(
        task_id=task.id,
        task_arn=task.arn,
        attachment_id=attachment.id,
        type=attachment.type,
        machine=machine,
        subnet=attachment.details.get("subnetId", ""),
        security_groups=task.network.security_groups if task.network is not None else (),
        ipv6=task.network is not None and task.network.ipv6,
        zone=task.zone or "",
        volume=task.volume if attachment.type == VOLUME else None,
    )


def _release(tx: Transaction[ClusterState], task: Task) -> None:
    for attachment in task.attachments:
        if attachment.status == DELETED:
            continue
        if attachment.since is None:  # its task never had an instance, so EC2 was never asked
            task = with_attachment(task, replace(attachment, status=DELETED))
            continue
        if attachment.released_at is None:
            task = with_attachment(task, replace(attachment, status=DETACHING, released_at=tx.now))
        keep = attachment.type == VOLUME and task.volume is not None and not task.volume.deletes
        named = {"task_id": task.id, "attachment_id": attachment.id, "type": attachment.type}
        tx.send(ReleaseAttachment(**named, keep=keep, doubtful=attachment.asked and not attachment.is_made))
    tx.put(task)
    settle(tx, task)
    left = [each for each in task.attachments if each.status != DELETED]
    if not left:
        return
    late = min(each.released_at or tx.now for each in left) + FAREWELL_S
    if task.last_status == "DEPROVISIONING" and late <= tx.now:
        tx.put(stopped(tx, task))
    tx.wake(("provide_attachments", task.id), tx.now + ASK_AGAIN_S * (1 if tx.now < late else 12))
