"""UpdateService: which members change the service at once, and which make a deployment.

Source: ECS API, UpdateService; developer guide, "Updating an Amazon ECS service".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.operations.launches import find_definition, read_constraints, read_strategies
from awsorch.api.operations.service_load_balancers import check_target_groups
from awsorch.api.operations.service_revisions import DEPLOYING, derive_wish, is_same
from awsorch.api.operations.service_settings import (
    check_controller,
    check_daemon,
    daemon_strategy,
    read_configuration,
    read_count,
    read_grace,
    zone_obstacle,
)
from awsorch.api.operations.services import described
from awsorch.api.operations.strategies import check_usable, parse_strategy
from awsorch.core.errors import client_error, invalid_parameter
from awsorch.core.events_services import RevisionWish, UpdateService
from awsorch.core.model import Cluster, StrategyItem, TaskDefinition
from awsorch.core.model_services import Service, ServiceRevision
from awsorch.core.rules.services import Outdated, active_service
from awsorch.core.services.deployments import revision_of
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Unavailable

#: An update that others overtake is derived again this often.
TRIES = 5
_Current = tuple[Service, ServiceRevision, TaskDefinition]


@operation("UpdateService")
async def update_service(call: Call) -> Answer:
    """Change the service; a deployment begins where what its tasks run changes, or is to be run anew."""
    check_controller(call.request)
    cluster, partition = await call.cluster_partition()
    name = call.resource_id(call.request["service"], "service", cluster)
    for attempt in range(TRIES):
        event = await _derive(call, cluster, *await partition.read(lambda state: _current(state, name)))
        try:
            await partition.submit(event)
            break
        except Outdated as outdated:
            if attempt == TRIES - 1:
                raise Unavailable(outdated.message) from outdated
    return {"service": await described(partition, cluster, name)}


def _current(state: ClusterState, name: str) -> _Current:
    """The service, what it runs, and the partition's copy of that task definition."""
    service = active_service(state, name)
    revision = revision_of(state, service)
    assert revision is not None, service
    return service, revision, state.definitions[revision.definition]


async def _derive(
    call: Call, cluster: Cluster, service: Service, revision: ServiceRevision, definition: TaskDefinition
) -> UpdateService:
    """The event that this request comes to, the service being as it is."""
    changes = _changes(call.request, service)
    strategy = await _strategy(call, cluster, service, revision)
    wish = await _wish(call, revision, definition, strategy)
    _check_zones(call.request, service, changes, wish or revision)
    return UpdateService(
        cause=call.cause,
        name=service.name,
        changes=changes,
        revision=wish,
        expected=service.deployment if wish is not None else None,
    )


def _changes(request: Mapping[str, Any], service: Service) -> dict[str, Any]:
    """Members of the service that change without a deployment, by the names of its fields."""
    daemon = service.is_daemon
    if daemon:
        check_daemon(request)
    changes: dict[str, Any] = {
        field: request[member]
        for member, field in (
            ("availabilityZoneRebalancing", "zone_rebalancing"),
            ("propagateTags", "propagate_tags"),
            ("enableECSManagedTags", "managed_tags"),
            ("enableExecuteCommand", "enable_execute_command"),
        )
        if member in request
    }
    desired = read_count(request, "Task count can not be lesser than 0")
    if desired is not None:
        changes["desired_count"] = desired
    if "deploymentConfiguration" in request:
        changes["configuration"] = read_configuration(
            request["deploymentConfiguration"], service.configuration, daemon=daemon
        )
    if "placementConstraints" in request:
        changes["constraints"] = read_constraints(request)
    if "placementStrategy" in request:
        changes["strategies"] = read_strategies(request)
    if "healthCheckGracePeriodSeconds" in request:
        changes["grace_seconds"] = read_grace(request)
    return changes


async def _strategy(
    call: Call, cluster: Cluster, service: Service, revision: ServiceRevision
) -> tuple[StrategyItem, ...]:
    """The capacity provider strategy from now on; () goes back to the launch type. Another one needs a deployment."""
    items = call.request.get("capacityProviderStrategy")
    if items is None:
        return revision.capacity_provider_strategy
    strategy = parse_strategy(items, call.scope)
    if strategy and service.is_daemon:
        raise daemon_strategy()
    if strategy != revision.capacity_provider_strategy:
        await check_usable(call, cluster, strategy)
        if not call.request.get("forceNewDeployment", False):
            raise invalid_parameter(
                "When switching from launch type to capacity provider strategy on an existing service, or making a "
                "change to a capacity provider strategy on a service that is already using one, you must force a new "
                "deployment."
            )
    return strategy


async def _wish(
    call: Call, revision: ServiceRevision, definition: TaskDefinition, strategy: tuple[StrategyItem, ...]
) -> RevisionWish | None:
    """What the deployment is to run that this update makes; None where it makes none."""
    request = call.request
    forced = request.get("forceNewDeployment", False)
    if not forced and not any(member in request for member in DEPLOYING):
        return None
    named = request.get("taskDefinition")
    if named:
        definition = await find_definition(call, named, client_error)
    wish = await derive_wish(call, revision, definition, strategy)
    same = is_same(revision, wish)
    if same and not forced:
        return None
    if not named:
        # The copy in the partition does not tell whether the definition was deregistered since.
        await find_definition(call, definition.arn, client_error)
    if not same:
        await check_target_groups(call, wish.load_balancers, wish.definition.definition)
    return wish


def _check_zones(
    request: Mapping[str, Any], service: Service, changes: Mapping[str, Any], revision: ServiceRevision | RevisionWish
) -> None:
    """Refuses rebalancing across Availability Zones together with what it does not go with."""
    if changes.get("zone_rebalancing", service.zone_rebalancing) != "ENABLED":
        return
    obstacle = zone_obstacle(
        daemon=service.is_daemon,
        launch_type=revision.launch_type,
        configuration=changes.get("configuration", service.configuration),
        load_balancers=revision.load_balancers,
        constraints=changes.get("constraints", service.constraints),
        strategies=changes.get("strategies", service.strategies),
    )
    if obstacle is not None:
        raise invalid_parameter(obstacle)
