"""awsorch's own operations on capacity: DescribeCapacity, what there is and what will be decided next; PlanCapacity,
what more tasks would take. Neither changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from awsorch.api.calls import Answer, Call, extension
from awsorch.api.operations.launches import find_definition, read_template
from awsorch.api.operations.strategies import check_usable, parse_strategy, read_strategy
from awsorch.core.capacity.additions import Addition, plan
from awsorch.core.capacity.report import overview
from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.model import Cluster, StrategyItem
from awsorch.core.rules.new_tasks import definition_constraints
from awsorch.core.services.deployments import primary_of
from awsorch.core.services.tasks import providers_of, template_of
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Partition

#: So many instances are told one by one where nothing else is asked for, and at most.
USUAL_INSTANCES, MOST_INSTANCES = 100, 10_000
MOST_ADDITIONS = 10
#: So many tasks may be thought of at once, ECS's quota of a service's tasks.
MOST_TASKS = 5000
STRATEGY = "capacityProviderStrategy"


@extension("DescribeCapacity")
async def describe_capacity(call: Call) -> Answer:
    """``{"cluster"?, "maxInstances"?}`` → ``{"cluster", "at", "hourlyPrice", "unpriced", "totals", "groups",
    "instances", "machines", "waiting", "providers"}``, see ``core.capacity.report``; of ``instances`` and ``machines``
    the first ``maxInstances`` (100)."""
    most = _whole(call.request, "maxInstances", 0, MOST_INSTANCES, USUAL_INSTANCES)
    cluster, partition = await _partition(call)
    now = call.controller.now
    found = await partition.read(lambda state: overview(state, now, most))
    return {"cluster": cluster.name, "at": now, **found}


@extension("PlanCapacity")
async def plan_capacity(call: Call) -> Answer:
    """``{"cluster"?, "additions": [{"name", "count", "capacityProviderStrategy"?}]}`` → ``{"cluster", "additions",
    "launches", "failures", "hourlyPrice"}``, see ``core.capacity.additions``.

    ``name``: a service (its tasks are as its PRIMARY deployment has them), or a task definition by family,
    family:revision or ARN. Raises InvalidParameterException, ServiceNotActiveException, and what RunTask refuses.
    """
    items = call.request.get("additions")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise invalid_parameter('additions should be a list such as [{"name": "web", "count": 20}].')
    if len(items) > MOST_ADDITIONS:
        raise invalid_parameter(f"additions can have at most {MOST_ADDITIONS} items.")
    cluster, partition = await _partition(call)
    additions = [await _addition(call, cluster, item) for item in items]
    if sum(addition.count for addition in additions) > MOST_TASKS:
        raise invalid_parameter(f"additions can have at most {MOST_TASKS} tasks together.")
    now = call.controller.now
    return {"cluster": cluster.name, **await partition.read(lambda state: plan(state, additions, now))}


async def _partition(call: Call) -> tuple[Cluster, Partition[ClusterState]]:
    """The cluster and its partition. Its name has not been through ECS's model."""
    if not isinstance(call.request.get("cluster", ""), str):
        raise invalid_parameter("cluster should be the name or the ARN of a cluster.")
    return await call.cluster_partition()


async def _addition(call: Call, cluster: Cluster, item: Mapping[str, Any]) -> Addition:
    """The tasks that one item of the request speaks of."""
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise invalid_parameter("name should name a service or a task definition.")
    count = _whole(item, "count", 1, MOST_TASKS)
    strategy = parse_strategy(_strategy_items(item), call.scope)
    await check_usable(call, cluster, strategy)
    arn = name.startswith("arn:")
    if not arn or ":service/" in name:
        key = call.resource_id(name, "service", cluster)
        _, partition = await call.cluster_partition()
        found = await partition.read(lambda state: _of_service(state, key, count, strategy))
        if found is not None:
            return found
    if ":service/" in name:
        raise Refusal("ServiceNotFoundException", "Service not found.")
    request = {STRATEGY: item.get(STRATEGY, ())}
    alike = replace(call, operation="RunTask", request=request)
    try:
        definition = await find_definition(call, name)
    except Refusal as refusal:
        if arn:
            raise
        message = f"{name} is neither a service of cluster {cluster.name} nor an ACTIVE task definition."
        raise client_error(message) from refusal
    strategy = await read_strategy(alike, cluster)
    template = read_template(alike, cluster, definition, strategy)
    return Addition(
        name=name,
        template=template,
        count=count,
        strategy=strategy,
        constraints=definition_constraints(template),
    )


def _of_service(state: ClusterState, name: str, count: int, strategy: tuple[StrategyItem, ...]) -> Addition | None:
    """More replicas of a service; None where there is none of this name."""
    service = state.services.get(name)
    if service is None:
        return None
    if service.status != "ACTIVE":
        raise Refusal("ServiceNotActiveException", "Service was not ACTIVE.")
    if service.is_daemon:
        raise invalid_parameter(f"Service {name} has a task on every instance (DAEMON): its count is not chosen.")
    deployment = primary_of(state, service)
    template = template_of(state, service, deployment)
    own = state.service_revisions[f"{name}/{deployment.revision}"].capacity_provider_strategy
    return Addition(
        name=name,
        template=template,
        count=count,
        strategy=strategy or own,
        there=providers_of(state, service),
        constraints=service.constraints + definition_constraints(template),
        strategies=service.strategies,
    )


def _strategy_items(item: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    items = item.get(STRATEGY, [])
    if not isinstance(items, list) or not all(
        isinstance(each, dict) and isinstance(each.get("capacityProvider"), str) for each in items
    ):
        raise invalid_parameter(f'{STRATEGY} should be a list such as [{{"capacityProvider": "fleet", "weight": 1}}].')
    for each in items:
        _whole(each, "base", 0, 100_000, 0)
        _whole(each, "weight", 0, 1000, 0)
    return items


def _whole(members: Mapping[str, Any], name: str, least: int, most: int, usual: int | None = None) -> int:
    """A whole number of a request that ECS's model knows nothing of."""
    value = members.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise invalid_parameter(f"{name} should be a whole number from {least} to {most}.")
    return value
