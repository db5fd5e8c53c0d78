"""RunTask, StartTask, StopTask, DescribeTasks, ListTasks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.operations.launches import (
    check_roles,
    find_definition,
    read_constraints,
    read_strategies,
    read_template,
)
from awsorch.api.operations.networks import read_network
from awsorch.api.operations.strategies import read_strategy
from awsorch.api.operations.task_volumes import read_volume
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import failure_view, stopped_task_view, task_view
from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.events import NewTask, RunTasks, StartTasks, StopTask, TaskTemplate
from awsorch.core.model import Cluster, TaskDefinition
from awsorch.core.placement.filters import REASONS
from awsorch.core.placement.lacking import lacking
from awsorch.core.rules.new_tasks import PlacedTasks
from awsorch.core.rules.run_tasks import repeated_tasks
from awsorch.core.state import ClusterState, fingerprint
from awsorch.engine.partition import Partition

MAX_COUNT = 10
MAX_REASON = 1024
_TAGS = frozenset(("TAGS",))


@operation("RunTask")
async def run_task(call: Call) -> Answer:
    """Place up to ten tasks; what does not fit is a failure with its reason, at HTTP 200, or with a capacity provider
    strategy waits in PROVISIONING."""
    request = call.request
    count = request.get("count", 1)
    if count < 1:
        raise invalid_parameter("Count can not be less than 1")
    if count > MAX_COUNT:
        raise invalid_parameter(f"count should be less than or equal to {MAX_COUNT}.")
    cluster, partition = await call.cluster_partition()
    token = _token(request)
    asked = fingerprint({k: v for k, v in request.items() if k not in ("clientToken", "cluster")})
    try:
        definition = await find_definition(call, request["taskDefinition"])
    except Refusal:
        # A request that is repeated because its answer was lost may find the revision deregistered by now.
        again = await partition.read(lambda state: repeated_tasks(state, token, asked))
        if again is None:
            raise
        return await _placed(call, cluster, partition, again)
    strategy = await read_strategy(call, cluster)
    template = read_template(call, cluster, definition, strategy)
    template = await _with_attachments(call, definition, template)
    await check_roles(call, template)
    event = RunTasks(
        cause=call.cause,
        ids=tuple(_new_task(definition) for _ in range(count)),
        template=template,
        strategy=strategy,
        constraints=read_constraints(request),
        strategies=read_strategies(request),
        token=token,
        fingerprint=asked,
    )
    wanted = template.demand.attributes
    return await _placed(call, cluster, partition, await partition.submit(event), wanted)


@operation("StartTask")
async def start_task(call: Call) -> Answer:
    """One task on each of up to ten named instances."""
    request = call.request
    cluster, partition = await call.cluster_partition()
    names: Sequence[str] = request.get("containerInstances", ())
    if not names:
        raise client_error("Container Instances cannot be empty.")
    if len(names) > MAX_COUNT:
        raise invalid_parameter(f"Container instances can have at most {MAX_COUNT} items.")
    definition = await find_definition(call, request["taskDefinition"])
    template = read_template(call, cluster, definition)
    template = await _with_attachments(call, definition, template)
    await check_roles(call, template)
    event = StartTasks(
        cause=call.cause,
        ids=tuple(_new_task(definition) for _ in names),
        template=template,
        instance_ids=tuple(call.resource_id(name, "container-instance", cluster) for name in names),
    )
    wanted = template.demand.attributes
    return await _placed(call, cluster, partition, await partition.submit(event), wanted)


async def _with_attachments(call: Call, definition: TaskDefinition, template: TaskTemplate) -> TaskTemplate:
    """With the network and the volume that the request configures for each of its tasks."""
    volume = read_volume(call.request, definition)
    return replace(template, volume=volume, network=await read_network(call, call.request, definition))


@operation("StopTask")
async def stop_task(call: Call) -> Answer:
    """Wish a task stopped; the answer comes at once, with lastStatus as it was."""
    request = call.request
    cluster, partition = await call.cluster_partition()
    reason = request.get("reason")
    if reason is not None and len(reason) > MAX_REASON:
        raise invalid_parameter(f"reason can have at most {MAX_REASON} characters.")
    task_id = call.resource_id(request["task"], "task", cluster)
    task = await partition.submit(StopTask(cause=call.cause, task_id=task_id, reason=reason))
    return {"task": await partition.read(lambda state: task_view(task, cluster, state, _TAGS))}


@operation("DescribeTasks")
async def describe_tasks(call: Call) -> Answer:
    """Tasks by id or ARN; unknown ones are failures."""
    cluster, partition = await call.cluster_partition()
    names: Sequence[str] = call.request.get("tasks", ())
    if not names:
        raise invalid_parameter("Tasks cannot be empty.")
    if len(names) > 100:
        raise invalid_parameter("Tasks can have at most 100 items.")
    ids = call.resource_ids(names, "task", cluster)
    include = frozenset(call.request.get("include", ()))

    def look(state: ClusterState) -> Answer:
        found, failures = [], []
        for arn, task_id in ids.items():
            task = state.tasks.get(task_id or "")
            if task is None:
                failures.append(failure_view(arn, "MISSING"))
            else:
                found.append(task_view(task, cluster, state, include))
        return {"tasks": found, "failures": failures}

    return await partition.read(look)


@operation("ListTasks")
async def list_tasks(call: Call) -> Answer:
    """ARNs by id; RUNNING ones unless asked otherwise. ``startedBy`` goes with no other filter."""
    request = call.request
    cluster, partition = await call.cluster_partition()
    size, after = page_size(request), start_after(request)
    desired = request.get("desiredStatus", "RUNNING")
    instance = request.get("containerInstance")
    instance_id = call.resource_id(instance, "container-instance", cluster) if instance else None
    service = call.resource_id(request["serviceName"], "service", cluster) if request.get("serviceName") else None
    given = [m for m in ("containerInstance", "family", "serviceName", "startedBy", "launchType") if request.get(m)]
    if "startedBy" in given and len(given) > 1:
        raise invalid_parameter("startedBy cannot be combined with other filters.")

    def look(state: ClusterState) -> Answer:
        if service is not None and service not in state.services:
            raise Refusal("ServiceNotFoundException", "Service not found.")
        if not given:
            page = state.task_index.by_desired[desired].after(after, size + 1)
            page, token = take_page(page, size)
        else:
            page, token = take_page(_filtered(state, request, instance_id, service, after, desired), size)
        return {"taskArns": [state.tasks[key].arn for key in page], "nextToken": token}

    return await partition.read(look)


def _filtered(
    state: ClusterState,
    request: Mapping[str, Any],
    instance_id: str | None,
    service: str | None,
    after: str | None,
    desired: str,
) -> Iterable[str]:
    """Ids that pass every filter, in order; the smallest index is walked and the others are asked."""
    index = state.task_index
    groups: list[Any] = []
    if instance_id is not None:
        groups.append(index.by_instance[instance_id])
    if family := request.get("family"):
        groups.append(index.by_family[family])
    if service is not None:
        groups.append(index.by_group[state.services[service].group])
    if starter := request.get("startedBy"):
        groups.append(index.by_starter[starter])
    groups.sort(key=len)
    launch_type = request.get("launchType")
    keys = groups[0] if groups else list(index.by_desired[desired])
    return sorted(
        key
        for key in keys
        if (after is None or key > after)
        and state.tasks[key].desired_status == desired
        and all(key in group for group in groups[1:])
        and launch_type in (None, state.tasks[key].launch_type)
    )


async def _placed(
    call: Call,
    cluster: Cluster,
    partition: Partition[ClusterState],
    placed: PlacedTasks,
    wanted: tuple[tuple[str, str | None], ...] = (),
) -> Answer:
    """``wanted``: the attributes that the tasks ask of an instance."""

    def look(state: ClusterState) -> Answer:
        return {
            "tasks": [
                stopped_task_view(task)
                if placed.repeated and task.last_status == "STOPPED"
                else task_view(task, cluster, state, _TAGS)
                for task in placed.tasks
            ],
            "failures": [
                failure_view(
                    _refusing_arn(call, cluster, state, refusing), reason, _detail(state, refusing, reason, wanted)
                )
                for refusing, reason in placed.failures
            ],
        }

    return await partition.read(look)


def _detail(state: ClusterState, refusing: str, reason: str, wanted: tuple[tuple[str, str | None], ...]) -> str | None:
    instance = state.instances.get(refusing) if reason == REASONS["attributes"] else None
    return lacking(instance, wanted) or None if instance is not None else None


def _refusing_arn(call: Call, cluster: Cluster, state: ClusterState, refusing: str) -> str:
    """ARN of what had no place: a container instance, or a capacity provider without any."""
    provider = state.providers.get(refusing)
    if provider is not None and refusing not in state.instances:
        return provider.arn
    return call.scope.container_instance(cluster.name, refusing)


def _new_task(definition: TaskDefinition) -> NewTask:
    count = len(definition.definition["containerDefinitions"])
    return NewTask(id=uuid.uuid4().hex, container_ids=tuple(str(uuid.uuid4()) for _ in range(count)))


def _token(request: Mapping[str, Any]) -> str | None:
    token: str | None = request.get("clientToken")
    if token is not None and not (1 <= len(token) <= 64 and all(33 <= ord(c) <= 126 for c in token)):
        raise invalid_parameter("clientToken should be 1 to 64 ASCII characters in the range of 33-126.")
    return token
