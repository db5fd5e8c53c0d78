"""CreateCapacityProvider, UpdateCapacityProvider, DeleteCapacityProvider, DescribeCapacityProviders,
PutClusterCapacityProviders.

Source: ECS API of the same names; developer guide, "Amazon ECS capacity providers for EC2 workloads".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from awsorch.api.calls import Answer, Call, cluster_name, operation
from awsorch.api.operations.managed_instances import change_managed, read_managed
from awsorch.api.operations.strategies import parse_strategy, provider_name
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import cluster_view, failure_view
from awsorch.api.views_capacity import capacity_provider_view, fargate_view
from awsorch.core.capacity.associations import FARGATE
from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.events_capacity import (
    CreateCapacityProvider,
    DeleteCapacityProvider,
    SetClusterCapacity,
    UpdateCapacityProvider,
)
from awsorch.core.model_capacity import GROUP, MANAGED, CapacityProvider, ManagedScaling
from awsorch.core.rules.capacity_providers import changeable
from awsorch.core.rules.clusters import active_cluster
from awsorch.core.state import RegistryState
from awsorch.core.tags import parse_tags
from awsorch.engine.ports import CloudFailure

Members = Mapping[str, Any]

MOST_DESCRIBED = 100
PAGE = 10
#: What answers to operations that change a cluster's providers tell of it.
_EVERYTHING = frozenset(("SETTINGS", "TAGS", "CONFIGURATIONS", "ATTACHMENTS"))
_NAME = re.compile(r"(?!(?i:aws|ecs|fargate))[A-Za-z0-9_-]{1,255}")
_GROUP_ARN = re.compile(r"arn:[a-z-]+:autoscaling:[a-z0-9-]+:[0-9]{12}:autoScalingGroup:[^:]+:autoScalingGroupName/.+")
_GROUP_NAME = re.compile(r"[^:]{1,255}")
_SCALING = {
    "targetCapacity": "target",
    "minimumScalingStepSize": "minimum_step",
    "maximumScalingStepSize": "maximum_step",
    "instanceWarmupPeriod": "warmup_seconds",
}


@operation("CreateCapacityProvider")
async def create_capacity_provider(call: Call) -> Answer:
    """A provider for an Auto Scaling group, or one whose machines the control plane launches itself."""
    request = call.request
    name = request["name"]
    if not _NAME.fullmatch(name):
        raise client_error(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters "
            "(upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with "
            '"aws", "ecs", or "fargate". Specify a valid name and try again.'
        )
    if ("autoScalingGroupProvider" in request) == ("managedInstancesProvider" in request):
        raise client_error("Specify either autoScalingGroupProvider or managedInstancesProvider and try again.")
    provider = CapacityProvider(
        name=name,
        arn=call.scope.capacity_provider(name),
        type=GROUP,
        tags=parse_tags(request.get("tags", ())),
        created_at=call.controller.now,
    )
    if "autoScalingGroupProvider" in request:
        provider = await _of_group(call, provider, request["autoScalingGroupProvider"])
    else:
        provider = await _of_managed(call, provider, request["managedInstancesProvider"])
    event = CreateCapacityProvider(cause=call.cause, provider=provider)
    try:
        made = await call.controller.attachments.create(event)
    except CloudFailure as failure:
        raise _no_subnets(provider.managed or {}, failure) from failure
    return {"capacityProvider": capacity_provider_view(made, tags=True)}


@operation("UpdateCapacityProvider")
async def update_capacity_provider(call: Call) -> Answer:
    """Change how a provider scales, protects and drains, or what its machines are; what is not named stays."""
    name = provider_name(call.request["name"], call.scope)
    known = await call.registry.read(lambda state: _updated(state, call, name))
    given = call.request.get("autoScalingGroupProvider", {})
    if given.get("managedTerminationProtection") == "ENABLED" and not known.termination_protection:
        await _find_group(call, known.group or "", protected=True)

    def derive(state: RegistryState) -> UpdateCapacityProvider:
        provider = _updated(state, call, name)
        managed = call.request.get("managedInstancesProvider")
        return UpdateCapacityProvider(
            cause=call.cause,
            name=name,
            scaling=_scaling(given["managedScaling"], provider.scaling) if "managedScaling" in given else None,
            termination_protection=_is_on(given, "managedTerminationProtection"),
            draining=_is_on(given, "managedDraining"),
            managed=change_managed(provider.managed or {}, managed) if managed is not None else None,
        )

    try:
        changed = await call.controller.attachments.update(derive)
    except CloudFailure as failure:
        raise _no_subnets(call.request["managedInstancesProvider"], failure) from failure
    return {"capacityProvider": capacity_provider_view(changed, tags=True)}


@operation("DeleteCapacityProvider")
async def delete_capacity_provider(call: Call) -> Answer:
    """Refused while a cluster or a service has it; the answer shows it as it was."""
    name = provider_name(call.request["capacityProvider"], call.scope)
    await call.registry.read(lambda state: _check_cluster(state, call, name))
    provider = await call.controller.attachments.delete(DeleteCapacityProvider(cause=call.cause, name=name))
    if provider.status != "INACTIVE":
        provider = replace(provider, update_status="DELETE_IN_PROGRESS")
    return {"capacityProvider": capacity_provider_view(provider, tags=True)}


@operation("DescribeCapacityProviders")
async def describe_capacity_providers(call: Call) -> Answer:
    """Providers by name or ARN, or all that there are (of a cluster); unknown ones are failures."""
    request = call.request
    size, after = page_size(request, default=PAGE, limit=PAGE), start_after(request)
    given = request.get("capacityProviders", ())
    if len(given) > MOST_DESCRIBED:
        raise invalid_parameter(f"Capacity providers can have at most {MOST_DESCRIBED} items.")
    asked = {provider_name(text, call.scope) for text in given}
    associated = (await call.find_cluster()).capacity_providers if request.get("cluster") else None
    tags = "TAGS" in request.get("include", ())

    def look(state: RegistryState) -> Answer:
        names = asked or {*FARGATE, *(p.name for p in state.providers.values() if p.status != "INACTIVE")}
        if associated is not None and not asked:
            names &= set(associated)
        page, token = take_page((name for name in sorted(names) if after is None or name > after), size)
        found, failures = [], []
        for name in page:
            if associated is not None and name not in associated:
                failures.append(failure_view(call.scope.capacity_provider(name), "MISSING"))
            elif name in FARGATE:
                found.append(fargate_view(name, call.scope))
            elif name in state.providers:
                found.append(capacity_provider_view(state.providers[name], tags=tags))
            else:
                failures.append(failure_view(call.scope.capacity_provider(name), "MISSING"))
        return {"capacityProviders": found, "failures": failures, "nextToken": token}

    return await call.registry.read(look)


@operation("PutClusterCapacityProviders")
async def put_cluster_capacity_providers(call: Call) -> Answer:
    """Replace all of a cluster's providers and its default strategy."""
    request = call.request
    event = SetClusterCapacity(
        cause=call.cause,
        cluster=cluster_name(request["cluster"], call.scope),
        providers=tuple(dict.fromkeys(provider_name(text, call.scope) for text in request["capacityProviders"])),
        default_strategy=parse_strategy(request["defaultCapacityProviderStrategy"], call.scope),
    )
    cluster = await call.controller.attachments.put(event)
    partition = await call.controller.open_cluster(cluster.name)
    return {"cluster": await partition.read(lambda state: cluster_view(cluster, state, _EVERYTHING))}


async def _of_group(call: Call, provider: CapacityProvider, given: Members) -> CapacityProvider:
    """The provider as an Auto Scaling group's."""
    if call.request.get("cluster"):
        raise client_error(
            "A cluster can only be specified for a capacity provider that uses Managed Instances. Use "
            "PutClusterCapacityProviders to associate one that uses an Auto Scaling group."
        )
    protected = bool(_is_on(given, "managedTerminationProtection"))
    draining = _is_on(given, "managedDraining")
    return replace(
        provider,
        group=await _find_group(call, given["autoScalingGroupArn"], protected=protected),
        scaling=_scaling(given.get("managedScaling", {}), ManagedScaling()),
        termination_protection=protected,
        draining=True if draining is None else draining,
    )


async def _of_managed(call: Call, provider: CapacityProvider, given: Members) -> CapacityProvider:
    """The provider as one with Managed Instances, which there is in one cluster."""
    if not call.request.get("cluster"):
        raise client_error(
            "A cluster must be specified for a capacity provider that uses Managed Instances. Specify a cluster and "
            "try again."
        )
    cluster = await call.registry.read(
        lambda state: active_cluster(state, cluster_name(call.request["cluster"], call.scope))
    )
    return replace(
        provider,
        type=MANAGED,
        managed=read_managed(given),
        cluster=cluster.name,
        update_status="CREATE_COMPLETE",
    )


async def _find_group(call: Call, text: str, *, protected: bool) -> str:
    """ARN of the group that a request names by ARN or name; where AWS can't be asked, the text as it is."""
    if not (_GROUP_ARN.fullmatch(text) or _GROUP_NAME.fullmatch(text)):
        raise _no_group(text)
    if call.auto_scaling is None:
        return text
    try:
        group = await call.auto_scaling.find_group(text)
    except CloudFailure as failure:
        raise client_error(f"The Auto Scaling group '{text}' can't be described: {failure}") from failure
    if group is None:
        raise _no_group(text)
    if protected and not group.protected:
        raise client_error(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed "
            "termination protection for a capacity provider, the Auto Scaling group must have instance protection "
            "from scale in enabled."
        )
    return group.arn


def _scaling(given: Members, known: ManagedScaling) -> ManagedScaling:
    """``known`` with the given members in their place."""
    changes: dict[str, Any] = {field: given[member] for member, field in _SCALING.items() if member in given}
    if "status" in given:
        changes["enabled"] = given["status"] == "ENABLED"
    return replace(known, **changes)


def _is_on(given: Members, member: str) -> bool | None:
    return given[member] == "ENABLED" if member in given else None


def _updated(state: RegistryState, call: Call, name: str) -> CapacityProvider:
    """The provider that an update is for, if it is of the kind that the request says."""
    provider = changeable(state, name, "updated")
    _check_cluster(state, call, name)
    given = [m for m in ("autoScalingGroupProvider", "managedInstancesProvider") if m in call.request]
    wanted = "autoScalingGroupProvider" if provider.group is not None else "managedInstancesProvider"
    if given != [wanted]:
        raise client_error(f"Specify {wanted}, and nothing else, to update the capacity provider '{name}'.")
    return provider


def _check_cluster(state: RegistryState, call: Call, name: str) -> None:
    """A request that names a cluster is for that cluster's Managed Instances providers."""
    if not call.request.get("cluster"):
        return
    cluster = active_cluster(state, cluster_name(call.request["cluster"], call.scope))
    provider = state.providers.get(name)
    if provider is not None and provider.cluster != cluster.name:
        raise client_error(
            f"The specified capacity provider '{name}' is not a Managed Instances capacity provider of cluster "
            f"{cluster.name}. Specify a valid cluster and try again."
        )


def _no_group(text: str) -> Refusal:
    return client_error(
        f"The specified Auto Scaling group ARN '{text}' was not found. Specify a valid Auto Scaling group ARN and try "
        "again."
    )


def _no_subnets(managed: Members, failure: CloudFailure) -> Refusal:
    subnets = managed.get("instanceLaunchTemplate", {}).get("networkConfiguration", {}).get("subnets", ())
    return invalid_parameter(
        f"Error retrieving subnet information for [{', '.join(subnets)}]: {failure.message} (ErrorCode: {failure.code})"
    )
