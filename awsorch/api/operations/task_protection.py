"""GetTaskProtection, UpdateTaskProtection: tasks of services that scale-in and deployments leave alone for a while."""

from __future__ import annotations

from collections.abc import Sequence

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.views import failure_view
from awsorch.api.views_services import protection_view
from awsorch.core.errors import invalid_parameter
from awsorch.core.events_services import ProtectTasks
from awsorch.core.model import Cluster
from awsorch.core.state import ClusterState

DEFAULT_MINUTES = 120
LONGEST_MINUTES = 2880


@operation("GetTaskProtection")
async def get_task_protection(call: Call) -> Answer:
    """The protection of tasks by id or ARN."""
    cluster, partition = await call.cluster_partition()
    ids = _ids(call, cluster, limit=100)
    now = call.controller.now

    def look(state: ClusterState) -> Answer:
        found, failures = [], []
        for arn, task_id in ids.items():
            task = state.tasks.get(task_id or "")
            if task is None:
                failures.append(failure_view(arn, "MISSING"))
            elif task.service is None:
                failures.append(failure_view(arn, "TASK_NOT_VALID"))
            else:
                found.append(protection_view(task, now))
        return {"protectedTasks": found, "failures": failures}

    return await partition.read(look)


@operation("UpdateTaskProtection")
async def update_task_protection(call: Call) -> Answer:
    """Protect tasks for so many minutes from now, or no longer."""
    request = call.request
    cluster, partition = await call.cluster_partition()
    ids = _ids(call, cluster, limit=10)
    minutes = request.get("expiresInMinutes", DEFAULT_MINUTES)
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise invalid_parameter(f"expiresInMinutes must be between 1 and {LONGEST_MINUTES}.")
    now = call.controller.now
    replies = await partition.submit(
        ProtectTasks(
            cause=call.cause,
            task_ids=tuple(task_id for task_id in ids.values() if task_id is not None),
            until=now + minutes * 60.0 if request["protectionEnabled"] else None,
        )
    )
    found, failures = [], []
    for arn, task_id in ids.items():
        reply = replies.get(task_id, "MISSING")
        if isinstance(reply, str):
            failures.append(failure_view(arn, reply))
        else:
            found.append(protection_view(reply, now))
    return {"protectedTasks": found, "failures": failures}


def _ids(call: Call, cluster: Cluster, limit: int) -> dict[str, str | None]:
    """The tasks that the request names: ids by ARN."""
    names: Sequence[str] = call.request.get("tasks", ())
    if not names:
        raise invalid_parameter("Tasks cannot be empty.")
    if len(names) > limit:
        raise invalid_parameter(f"Tasks can have at most {limit} items.")
    return call.resource_ids(names, "task", cluster)
