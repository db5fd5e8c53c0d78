"""Capacity providers in the registry, and which of them clusters have.

The registry is the truth. A cluster's partition has copies (``rules/capacity``): it agrees before a provider is taken
from it, and is told again at start.
Source: ECS API, CreateCapacityProvider, UpdateCapacityProvider, DeleteCapacityProvider, PutClusterCapacityProviders.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from awsorch.core.capacity.associations import (
    FARGATE,
    MOST_PROVIDERS,
    check_associations,
    clusters_with,
    find_provider,
    managed_of,
    unknown_provider,
)
from awsorch.core.errors import client_error, invalid_parameter
from awsorch.core.events_capacity import (
    CreateCapacityProvider,
    DeleteCapacityProvider,
    ForgetCapacityProviders,
    SetClusterCapacity,
    UpdateCapacityProvider,
)
from awsorch.core.model import Cluster
from awsorch.core.model_capacity import MANAGED, CapacityProvider
from awsorch.core.rules.capacity import IN_USE
from awsorch.core.rules.clusters import active_cluster
from awsorch.core.state import RegistryState, Transaction


def create_capacity_provider(tx: Transaction[RegistryState], event: CreateCapacityProvider) -> CapacityProvider:
    """A new provider, or the one there if it is as asked for. A name is free again once its provider is INACTIVE."""
    wished = event.provider
    known = find_provider(tx.state, wished.name)
    if known is not None:
        if known.status == "ACTIVE" and _settings(known) == _settings(wished):
            return known
        raise client_error(
            "The specified capacity provider already exists. To change the configuration of an existing capacity "
            "provider, update the capacity provider."
        )
    check_settings(wished)
    if wished.group is not None and any(
        other.group == wished.group and other.status != "INACTIVE" for other in tx.state.providers.values()
    ):
        raise client_error(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a "
            "unique Auto Scaling group ARN and try again."
        )
    tx.put(wished)
    if wished.type == MANAGED:
        assert wished.cluster is not None
        _associate(tx, active_cluster(tx.state, wished.cluster), wished.name)
    return wished


def update_capacity_provider(tx: Transaction[RegistryState], event: UpdateCapacityProvider) -> CapacityProvider:
    """Change what is given. Takes effect in the clusters that have it once they are told."""
    old = changeable(tx.state, event.name, "updated")
    given: dict[str, Any] = {
        "scaling": event.scaling,
        "termination_protection": event.termination_protection,
        "draining": event.draining,
        "managed": event.managed,
    }
    provider = replace(old, **{member: value for member, value in given.items() if value is not None})
    check_settings(provider)
    if provider.scaling.enabled and len(clusters := clusters_with(tx.state, old.name)) > 1:
        names = ", ".join(cluster.name for cluster in clusters)
        raise client_error(
            f"A capacity provider with managed scaling can be associated with one cluster only, and '{old.name}' is "
            f"associated with {names}. Disassociate it from the others and try again."
        )
    provider = replace(provider, update_status="UPDATE_COMPLETE", update_status_reason=None)
    tx.put(provider)
    return provider


def delete_capacity_provider(tx: Transaction[RegistryState], event: DeleteCapacityProvider) -> CapacityProvider:
    """The provider becomes INACTIVE, DEPROVISIONING before that while it has machines to end. Deleting one that is
    INACTIVE answers it as it is."""
    known = tx.state.providers.get(event.name)
    if known is not None and known.status == "INACTIVE":
        return known
    provider = check_removable(tx.state, event.name)
    if event.has_machines:
        provider = replace(provider, status="DEPROVISIONING", update_status="DELETE_IN_PROGRESS")
    else:
        provider = replace(provider, status="INACTIVE", update_status="DELETE_COMPLETE", deleted_at=tx.now)
    tx.put(provider)
    for cluster in clusters_with(tx.state, provider.name):
        names = tuple(name for name in cluster.capacity_providers if name != provider.name)
        tx.put(replace(cluster, capacity_providers=names))
    return provider


def forget_capacity_providers(tx: Transaction[RegistryState], event: ForgetCapacityProviders) -> None:
    """Take out providers that are INACTIVE; one that was made anew stays."""
    for name in event.names:
        provider = tx.state.providers.get(name)
        if provider is not None and provider.status == "INACTIVE":
            tx.remove(provider)


def set_cluster_capacity(tx: Transaction[RegistryState], event: SetClusterCapacity) -> Cluster:
    """The cluster has these providers, beside its own Managed Instances ones, and this default strategy."""
    cluster = active_cluster(tx.state, event.cluster)
    check_associations(tx.state, cluster.name, event.providers, event.default_strategy)
    names = (*event.providers, *managed_of(tx.state, cluster.name))
    cluster = replace(cluster, capacity_providers=names, default_strategy=event.default_strategy)
    tx.put(cluster)
    return cluster


def changeable(state: RegistryState, name: str, done: str) -> CapacityProvider:
    """The provider of this name if a caller may change it. ``done``: what was asked for, as a participle."""
    if name in FARGATE:
        raise client_error(f"The capacity provider '{name}' is reserved by Amazon ECS and cannot be {done}.")
    provider = find_provider(state, name)
    if provider is None:
        raise unknown_provider(name)
    if provider.status != "ACTIVE":
        raise client_error(f"The capacity provider '{name}' is being deleted and cannot be {done}.")
    return provider


def check_removable(state: RegistryState, name: str) -> CapacityProvider:
    """The provider of this name if the registry knows nothing that needs it. A Managed Instances provider is its
    cluster's; only the default strategy there holds it."""
    provider = find_provider(state, name)
    if provider is None or name in FARGATE:
        return changeable(state, name, "deleted")
    clusters = clusters_with(state, name)
    if provider.type == MANAGED:
        clusters = [cluster for cluster in clusters if any(item.provider == name for item in cluster.default_strategy)]
    if clusters:
        raise client_error(IN_USE)
    return provider


def check_settings(provider: CapacityProvider) -> None:
    """Refuse settings that contradict each other."""
    if provider.scaling.minimum_step > provider.scaling.maximum_step:
        raise client_error(
            "The minimum or maximum scaling step size value is invalid. The minimum scaling step size must not be "
            "greater than the maximum scaling step size. Specify valid values from 1 to 10000 and try again."
        )
    if provider.termination_protection and not provider.scaling.enabled:
        raise client_error(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed "
            "termination protection for a capacity provider, managed scaling must be enabled."
        )


def _associate(tx: Transaction[RegistryState], cluster: Cluster, name: str) -> None:
    names = (*cluster.capacity_providers, name)
    if len(names) > MOST_PROVIDERS:
        raise invalid_parameter("The maximum number of capacity providers per cluster has been exceeded.")
    tx.put(replace(cluster, capacity_providers=names))


def _settings(provider: CapacityProvider) -> CapacityProvider:
    """The provider as its creation asked for it."""
    return replace(provider, status="ACTIVE", update_status=None, update_status_reason=None, created_at=0.0)
