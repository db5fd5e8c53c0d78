"""Task scale-in protection. Source: ECS API, UpdateTaskProtection; developer guide, "Protect your Amazon ECS tasks from
being terminated by scale-in events"."""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.events_services import ProtectTasks
from awsorch.core.model import Task
from awsorch.core.state import ClusterState, Transaction


def protect_tasks(tx: Transaction[ClusterState], event: ProtectTasks) -> dict[str, Task | str]:
    """Protect each task until then, or no longer; what can't be is answered with the reason of ECS's failure."""
    return {task_id: _protect(tx, task_id, event.until) for task_id in event.task_ids}


def _protect(tx: Transaction[ClusterState], task_id: str, until: float | None) -> Task | str:
    task = tx.state.tasks.get(task_id)
    if task is None:
        return "MISSING"
    service = tx.state.services.get(task.service.name) if task.service is not None else None
    if task.service is None or service is None or service.is_daemon or task.desired_status != "RUNNING":
        return "TASK_NOT_VALID"
    if until is not None and service.deployment != task.service.deployment and "protection" in service.problems:
        return "DEPLOYMENT_BLOCKED"
    task = replace(task, service=replace(task.service, protected_until=until))
    tx.put(task)
    # What waited for the end of a protection may go on.
    tx.wake(("keep_services", service.name))
    return task
