"""What agents report of tasks and containers. Late, doubled and backward reports change nothing.

Source: ECS API, SubmitTaskStateChange; developer guide, "Amazon ECS task lifecycle", "Stopped tasks error codes".
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.errors import invalid_parameter
from awsorch.core.events import ContainerReport, HealthReported, TaskReported
from awsorch.core.lifecycle import (
    REPORTED_CONTAINER,
    REPORTED_TASK,
    container_moves_forward,
    is_final,
    task_moves_forward,
)
from awsorch.core.model import Container, Task
from awsorch.core.rules.attachments import with_reason
from awsorch.core.rules.stop_tasks import finish, let_go, note, wish_stop
from awsorch.core.services.health import judge
from awsorch.core.services.images import record_digests
from awsorch.core.state import ClusterState, Transaction

ESSENTIAL_EXITED = "Essential container in task exited"


def task_reported(tx: Transaction[ClusterState], event: TaskReported) -> None:
    """Apply container entries in their order, then the task's own status; never backwards, STOPPED is final."""
    task = tx.state.tasks.get(event.task_id)
    if task is None:
        return
    status = _reported_status(event)
    if is_final(task.last_status):
        if task.held and status == "STOPPED":
            let_go(tx, task)
        return
    before = task
    for report in event.containers:
        task = _apply_container(task, report)
    task = _apply_times(task, event)
    if task.connectivity is None:
        task = replace(task, connectivity="CONNECTED", connectivity_at=tx.now)
    if status == "STOPPED":
        code, reason = _why_stopped(task, event.reason)
        finish(tx, with_reason(task, reason), code, reason)
        return
    if _essential_ended(task):
        task = wish_stop(tx, task, "EssentialContainerExited", ESSENTIAL_EXITED)
    if status is not None and task_moves_forward(task.last_status, status):
        task = replace(task, last_status=status)
        if status == "RUNNING":
            task = replace(task, started_at=tx.now)
        task = note(tx, task, status)
    if task != before:
        version = before.version + (_statuses(task) != _statuses(before))
        task = replace(task, health_status=_task_health(task), version=version)
        tx.put(task)
        if _digests(task) != _digests(before):
            record_digests(tx, task)
        judge(tx, task)


def _digests(task: Task) -> tuple[str | None, ...]:
    return tuple(container.image_digest for container in task.containers)


def _statuses(task: Task) -> tuple[str, ...]:
    """What makes a new version of a task when it changes: its statuses and those of its containers."""
    return (task.last_status, task.desired_status, *(container.last_status for container in task.containers))


def _reported_status(event: TaskReported) -> str | None:
    if event.status is None:
        return None
    status = REPORTED_TASK.get(event.status)
    if status is None:
        raise invalid_parameter(f"Invalid task status {event.status}: it should be one of {sorted(REPORTED_TASK)}")
    return status


def _apply_container(task: Task, report: ContainerReport) -> Task:
    for at, container in enumerate(task.containers):
        if container.name == report.name:
            changed = _changed_container(container, report)
            if changed == container:
                return task
            containers = (*task.containers[:at], changed, *task.containers[at + 1 :])
            return replace(task, containers=containers)
    return task


def _changed_container(container: Container, report: ContainerReport) -> Container:
    status = REPORTED_CONTAINER.get(report.status or container.last_status)
    if status is None:
        raise invalid_parameter(
            f"Invalid container status {report.status}: it should be one of {sorted(REPORTED_CONTAINER)}"
        )
    if container.last_status == "STOPPED":
        return container
    forward = container_moves_forward(container.last_status, status)
    return replace(
        container,
        last_status=status if forward else container.last_status,
        exit_code=container.exit_code if report.exit_code is None else report.exit_code,
        reason=report.reason or container.reason,
        runtime_id=report.runtime_id or container.runtime_id,
        image_digest=report.image_digest or container.image_digest,
        network_bindings=container.network_bindings if report.network_bindings is None else report.network_bindings,
        health_status="UNKNOWN" if status == "STOPPED" else container.health_status,
    )


def _apply_times(task: Task, event: TaskReported) -> Task:
    """The agent's own times; the first one said counts."""
    return replace(
        task,
        pull_started_at=task.pull_started_at or event.pull_started_at,
        pull_stopped_at=task.pull_stopped_at or event.pull_stopped_at,
        execution_stopped_at=task.execution_stopped_at or event.execution_stopped_at,
    )


def _essential_ended(task: Task) -> bool:
    return task.desired_status == "RUNNING" and any(c.essential and c.last_status == "STOPPED" for c in task.containers)


def _why_stopped(task: Task, reported: str | None) -> tuple[str, str]:
    """Stop code and reason of a task that its agent says has stopped, where nothing else stopped it."""
    started = task.started_at is not None or any(c.exit_code is not None for c in task.containers)
    if started and not reported:
        return "EssentialContainerExited", ESSENTIAL_EXITED
    for container in task.containers:
        if not reported and container.reason:
            reported = container.reason
    return "EssentialContainerExited" if started else "TaskFailedToStart", reported or "Task failed to start"


def health_reported(tx: Transaction[ClusterState], event: HealthReported) -> None:
    """Health of containers with a health check, and what follows for the task."""
    task = tx.state.tasks.get(event.task_id)
    if task is None or is_final(task.last_status):
        return
    containers = tuple(
        replace(c, health_status=event.health[c.name])
        if c.has_health_check and c.name in event.health and c.last_status != "STOPPED"
        else c
        for c in task.containers
    )
    if containers == task.containers:
        return
    changed = replace(task, containers=containers, version=task.version + 1)
    health = _task_health(changed)
    if health != task.health_status:
        changed = note(tx, replace(changed, health_status=health), f"health {health}")
    tx.put(changed)
    judge(tx, changed)


def _task_health(task: Task) -> str:
    """Over essential containers with checks: any UNHEALTHY, else any UNKNOWN, else HEALTHY; UNKNOWN with none."""
    checked = {c.health_status for c in task.containers if c.essential and c.has_health_check}
    for status in ("UNHEALTHY", "UNKNOWN", "HEALTHY"):
        if status in checked:
            return status
    return "UNKNOWN"
