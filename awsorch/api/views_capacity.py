"""Capacity providers, strategies and what clusters make of them as ECS shows them: pure functions from records to
shapes.

Source: ECS API reference, data types CapacityProvider, CapacityProviderStrategyItem, Attachment, Cluster.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from awsorch.core.arn import Scope
from awsorch.core.capacity.attachments import attachment_status, attachments_status
from awsorch.core.model import Cluster, StrategyItem
from awsorch.core.model_capacity import CapacityProvider, ManagedScaling, Provider
from awsorch.core.state import ClusterState
from awsorch.core.tags import tag_list

#: The lifecycle hook by which ECS drains instances before an Auto Scaling group terminates them.
DRAINING_HOOK = "ecs-managed-draining-termination-hook"
View = dict[str, Any]


def strategy_view(strategy: Iterable[StrategyItem]) -> list[View]:
    """A capacity provider strategy."""
    return [{"capacityProvider": item.provider, "weight": item.weight, "base": item.base} for item in strategy]


def capacity_provider_view(provider: CapacityProvider, *, tags: bool) -> View:
    """A CapacityProvider; ``tags`` where they are to be shown."""
    return {
        "capacityProviderArn": provider.arn,
        "name": provider.name,
        "cluster": provider.cluster,
        "status": provider.status,
        "autoScalingGroupProvider": _group_view(provider) if provider.group is not None else None,
        "managedInstancesProvider": provider.managed,
        "updateStatus": provider.update_status,
        "updateStatusReason": provider.update_status_reason,
        "tags": tag_list(provider.tags) if tags else [],
        "type": provider.type,
    }


def fargate_view(name: str, scope: Scope) -> View:
    """FARGATE or FARGATE_SPOT, which every account has."""
    return {
        "capacityProviderArn": scope.capacity_provider(name),
        "name": name,
        "status": "ACTIVE",
        "tags": [],
        "type": name,
    }


def _group_view(provider: CapacityProvider) -> View:
    return {
        "autoScalingGroupArn": provider.group,
        "managedScaling": _scaling_view(provider.scaling),
        "managedTerminationProtection": _switch(on=provider.termination_protection),
        "managedDraining": _switch(on=provider.draining),
    }


def _scaling_view(scaling: ManagedScaling) -> View:
    if not scaling.enabled:
        return {"status": "DISABLED"}
    return {
        "status": "ENABLED",
        "targetCapacity": scaling.target,
        "minimumScalingStepSize": scaling.minimum_step,
        "maximumScalingStepSize": scaling.maximum_step,
        "instanceWarmupPeriod": scaling.warmup_seconds,
    }


def _switch(*, on: bool) -> str:
    return "ENABLED" if on else "DISABLED"


def attachments_view(cluster: Cluster, state: ClusterState | None) -> View:
    """The members of a Cluster that tell what ECS keeps for its capacity providers, and how far that has come."""
    if not cluster.capacity_providers:
        return {"attachments": []}
    providers = list(state.providers.values()) if state is not None else []
    return {
        "attachments": [each for provider in providers for each in _attachments(cluster, provider)],
        "attachmentsStatus": attachments_status(providers),
    }


def _attachments(cluster: Cluster, provider: Provider) -> Iterator[View]:
    if not provider.is_group:
        return
    if provider.scaling.enabled:
        policy = f"ECSManagedAutoScalingPolicy-{_stable_id(cluster, provider, 'policy')}"
        yield _attachment(cluster, provider, "as_policy", "scalingPolicyName", policy)
    if provider.draining:
        yield _attachment(cluster, provider, "managed_draining", "autoScalingLifecycleHookName", DRAINING_HOOK)


def _attachment(cluster: Cluster, provider: Provider, kind: str, member: str, value: str) -> View:
    return {
        "id": _stable_id(cluster, provider, kind),
        "type": kind,
        "status": attachment_status(provider),
        "details": [{"name": "capacityProviderName", "value": provider.name}, {"name": member, "value": value}],
    }


def _stable_id(cluster: Cluster, provider: Provider, what: str) -> str:
    """The same UUID whenever it is asked for."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{cluster.arn}/{provider.name}/{what}"))
