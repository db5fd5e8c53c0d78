"""What a machine's agent may do: what agents do, for its own instance and the tasks on it; an external one in its own
cluster only.

Everything else is refused, what is added later included. Source: ECS developer guide, "Amazon ECS Anywhere IAM role"
(whose policy, AmazonEC2ContainerServiceforEC2Role, is wider); IAM's words for a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from awsorch.api.calls import Call, cluster_name
from awsorch.core.errors import Refusal
from awsorch.core.model_access import KeyHolder
from awsorch.core.state import ClusterState

Check = Callable[[Call, KeyHolder], Awaitable[bool]]


async def require_permission(call: Call) -> None:
    """Raises AccessDeniedException for what the calling machine may not do."""
    instance = call.holder
    if instance is None:
        return
    check = _CHECKS.get(call.operation)
    cluster = cluster_name(call.request.get("cluster"), call.scope)
    if check is None or instance.cluster not in (None, cluster):
        raise _denied(call, f"because no identity-based policy allows the ecs:{call.operation} action")
    if not await check(call, instance):
        raise _denied(call, "because the request names what is not the instance's own")


async def _anything(call: Call, instance: KeyHolder) -> bool:
    return True


async def _own_instances(call: Call, instance: KeyHolder) -> bool:
    cluster, partition = await call.cluster_partition()
    ids = call.resource_ids(call.request.get("containerInstances", ()), "container-instance", cluster)

    def look(state: ClusterState) -> bool:
        own = state.instances_by_ec2_id[instance.id]
        return all(each in own for each in ids.values())

    return await partition.read(look)


async def _own_task(call: Call, instance: KeyHolder) -> bool:
    task = call.request.get("task")
    return await _has_tasks(call, instance, (task,) if task else ())


async def _own_tasks(call: Call, instance: KeyHolder) -> bool:
    """Protection of named tasks: without names it would be all of the cluster's."""
    tasks = call.request.get("tasks", ())
    return bool(tasks) and await _has_tasks(call, instance, tasks)


async def _has_tasks(call: Call, instance: KeyHolder, tasks: Iterable[str]) -> bool:
    """Whether all of these are the instance's, or nobody's: what is reported of forgotten tasks is acknowledged."""
    cluster, partition = await call.cluster_partition()
    ids = call.resource_ids(tasks, "task", cluster)

    def look(state: ClusterState) -> bool:
        for task_id in ids.values():
            task = state.tasks.get(task_id or "")
            host = state.instances.get(task.instance_id or "") if task is not None else None
            if task is not None and (host is None or host.ec2_instance_id != instance.id):
                return False
        return True

    return await partition.read(look)


_CHECKS: Mapping[str, Check] = {
    "DiscoverPollEndpoint": _anything,
    # Which instance an agent brings up to date is minded by the rule that does it: core/rules/instances.py.
    "RegisterContainerInstance": _anything,
    "SubmitAttachmentStateChanges": _anything,
    "SubmitContainerStateChange": _own_task,
    "SubmitTaskStateChange": _own_task,
    "UpdateContainerInstancesState": _own_instances,
    # Containers ask their agent for these.
    "GetTaskProtection": _own_tasks,
    "UpdateTaskProtection": _own_tasks,
}


def _denied(call: Call, why: str) -> Refusal:
    resource = call.scope.cluster(str(call.request.get("cluster") or "default").rpartition("/")[2])
    return Refusal(
        "AccessDeniedException",
        f"User: {call.caller_arn} is not authorized to perform: ecs:{call.operation} on resource: {resource} {why}",
    )
