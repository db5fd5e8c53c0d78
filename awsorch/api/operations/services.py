"""CreateService, DeleteService, DescribeServices, ListServices, ListServicesByNamespace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.operations.launches import find_definition, read_constraints, read_strategies
from awsorch.api.operations.service_load_balancers import check_target_groups, read_role
from awsorch.api.operations.service_revisions import read_wish
from awsorch.api.operations.service_settings import (
    check_controller,
    check_daemon,
    daemon_strategy,
    default_configuration,
    read_configuration,
    read_count,
    read_grace,
    read_scheduling,
    zone_obstacle,
)
from awsorch.api.operations.strategies import read_strategy
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import failure_view
from awsorch.api.views_services import service_view
from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.events_services import CreateService, DeleteService, RevisionWish
from awsorch.core.model import Cluster
from awsorch.core.services.deployments import revision_of
from awsorch.core.state import ClusterState, fingerprint
from awsorch.core.tags import parse_tags
from awsorch.engine.partition import Partition

MOST_DESCRIBED = 10
MOST_TOKEN = 36
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TAGS = frozenset(("TAGS",))
#: So many keys are looked at in one go while a page of services is filled.
_STRIDE = 100


@operation("CreateService")
async def create_service(call: Call) -> Answer:
    """Record the service and its first deployment; the scheduler does the rest."""
    request = call.request
    name = request["serviceName"]
    if not _NAME.fullmatch(name):
        raise invalid_parameter(
            "Invalid service name. Up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens "
            "are allowed."
        )
    token = _token(request)
    asked = fingerprint({k: v for k, v in request.items() if k not in ("clientToken", "cluster")})
    cluster, partition = await call.cluster_partition()
    # A request that is repeated because its answer was lost need not be valid any more.
    if not await partition.read(lambda state: _is_repeated(state, name, token, asked)):
        await partition.submit(await _creation(call, cluster, token, asked))
    return {"service": await described(partition, cluster, name)}


@operation("DeleteService")
async def delete_service(call: Call) -> Answer:
    """The service is DRAINING until its tasks are stopped, then INACTIVE."""
    cluster, partition = await call.cluster_partition()
    name = call.resource_id(call.request["service"], "service", cluster)
    force = call.request.get("force", False)
    await partition.submit(DeleteService(cause=call.cause, name=name, force=force))
    return {"service": await described(partition, cluster, name)}


@operation("DescribeServices")
async def describe_services(call: Call) -> Answer:
    """Services by name or ARN; unknown ones are failures."""
    cluster, partition = await call.cluster_partition()
    names: Sequence[str] = call.request["services"]
    if not names:
        raise invalid_parameter("Services cannot be empty.")
    if len(names) > MOST_DESCRIBED:
        raise invalid_parameter(f"Services can have at most {MOST_DESCRIBED} items.")
    wanted = call.resource_ids(names, "service", cluster)
    include = frozenset(call.request.get("include", ()))

    def look(state: ClusterState) -> Answer:
        found, failures = [], []
        for arn, name in wanted.items():
            service = state.services.get(name or "")
            revision = revision_of(state, service) if service is not None else None
            if service is None or revision is None:
                failures.append(failure_view(arn, "MISSING"))
            else:
                found.append(service_view(service, revision, cluster, state, include))
        return {"services": found, "failures": failures}

    return await partition.read(look)


@operation("ListServices")
async def list_services(call: Call) -> Answer:
    """ARNs of ACTIVE services, by name."""
    request = call.request
    _, partition = await call.cluster_partition()
    size, after = page_size(request, default=10), start_after(request)

    def look(state: ClusterState) -> Answer:
        page, token = take_page(_listed(state, request, after), size)
        return {"serviceArns": [state.services[name].arn for name in page], "nextToken": token}

    return await partition.read(look)


@operation("ListServicesByNamespace")
async def list_services_by_namespace(call: Call) -> Answer:
    """ARNs of the services in a namespace: none, because Service Connect is not there to put them into one."""
    page_size(call.request, default=10)
    start_after(call.request)
    namespace = call.request["namespace"]
    defaults = await call.registry.read(
        lambda state: {c.service_connect_defaults.get("namespace") for c in state.clusters.values()}
    )
    if namespace not in defaults:
        raise Refusal("NamespaceNotFoundException", "Namespace not found.")
    return {"serviceArns": []}


async def described(partition: Partition[ClusterState], cluster: Cluster, name: str) -> Mapping[str, Any]:
    """The Service, as the answers of the operations that change it show it."""

    def look(state: ClusterState) -> Mapping[str, Any]:
        service = state.services[name]
        revision = revision_of(state, service)
        assert revision is not None, service
        return service_view(service, revision, cluster, state, _TAGS)

    return await partition.read(look)


def _is_repeated(state: ClusterState, name: str, token: str | None, asked: str) -> bool:
    """Whether the same request made the service that there is."""
    known = state.services.get(name)
    if known is None or token is None or known.status != "ACTIVE":
        return False
    return (known.client_token, known.fingerprint) == (token, asked)


async def _creation(call: Call, cluster: Cluster, token: str | None, asked: str) -> CreateService:
    """The event, with everything that the request says checked and every default filled in."""
    request = call.request
    daemon = read_scheduling(request) == "DAEMON"
    check_controller(request)
    if daemon:
        check_daemon(request)
    desired = 0 if daemon else _desired_count(request)
    configuration = read_configuration(
        request.get("deploymentConfiguration", {}), default_configuration(daemon=daemon), daemon=daemon
    )
    constraints, strategies = read_constraints(request), read_strategies(request)
    wish = await _first_wish(call, cluster)
    obstacle = zone_obstacle(
        daemon=daemon,
        launch_type=wish.launch_type,
        configuration=configuration,
        load_balancers=wish.load_balancers,
        constraints=constraints,
        strategies=strategies,
    )
    if obstacle is not None and request.get("availabilityZoneRebalancing") == "ENABLED":
        raise invalid_parameter(obstacle)
    return CreateService(
        cause=call.cause,
        name=request["serviceName"],
        arn=call.scope.service(cluster.name, request["serviceName"]),
        revision=wish,
        scheduling_strategy="DAEMON" if daemon else "REPLICA",
        desired_count=desired,
        configuration=configuration,
        constraints=constraints,
        strategies=strategies,
        grace_seconds=read_grace(request),
        zone_rebalancing=request.get("availabilityZoneRebalancing", "DISABLED" if obstacle else "ENABLED"),
        propagate_tags=request.get("propagateTags", "NONE"),
        managed_tags=request.get("enableECSManagedTags", False),
        enable_execute_command=request.get("enableExecuteCommand", False),
        role_arn=read_role(request.get("role"), wish.load_balancers, call.scope),
        created_by=call.caller_arn,
        tags=parse_tags(request.get("tags", ())),
        client_token=token,
        fingerprint=asked,
    )


async def _first_wish(call: Call, cluster: Cluster) -> RevisionWish:
    name = call.request.get("taskDefinition")
    if not name:
        raise invalid_parameter("TaskDefinition can not be blank.")
    definition = await find_definition(call, name, client_error)
    strategy = await read_strategy(call, cluster)
    if strategy and call.request.get("schedulingStrategy") == "DAEMON":
        raise daemon_strategy()
    wish = await read_wish(call, call.request, definition, strategy)
    await check_target_groups(call, wish.load_balancers, definition.definition)
    return wish


def _desired_count(request: Mapping[str, Any]) -> int:
    count = read_count(request, "DesiredCount can not be lesser than 0")
    if count is None:
        raise invalid_parameter("DesiredCount is missing")
    return count


def _token(request: Mapping[str, Any]) -> str | None:
    token: str | None = request.get("clientToken")
    if token is not None and len(token) > MOST_TOKEN:
        raise invalid_parameter(f"idempotency token longer than {MOST_TOKEN}.")
    return token or None


def _listed(state: ClusterState, request: Mapping[str, Any], after: str | None) -> Iterator[str]:
    """Names of the services that pass the filters, in order."""
    strategy, launch_type = read_scheduling(request), request.get("launchType")
    if request.get("resourceManagementType") == "ECS":
        return
    while names := state.service_keys.after(after, _STRIDE):
        for name in names:
            service = state.services[name]
            revision = revision_of(state, service)
            if (
                service.status == "ACTIVE"
                and strategy in (None, service.scheduling_strategy)
                and (launch_type is None or (revision is not None and revision.launch_type == launch_type))
            ):
                yield name
        after = names[-1]
