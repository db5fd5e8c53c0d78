"""Which capacity providers a cluster may have, and what a capacity provider strategy may say of them. Reads the
registry's records; changes nothing.

Source: ECS API, PutClusterCapacityProviders, CapacityProviderStrategyItem; developer guide, "Amazon ECS capacity
providers".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.model import Cluster, StrategyItem
from awsorch.core.model_capacity import GROUP, MANAGED, CapacityProvider
from awsorch.core.state import RegistryState

#: Capacity providers that every account has. Clusters and default strategies may name them; nothing runs there.
FARGATE = ("FARGATE", "FARGATE_SPOT")
#: A cluster has, and a strategy names, no more than this.
MOST_PROVIDERS = 20
#: What a strategy may not mix, in ECS's words.
_BACKING = {GROUP: "Auto Scaling groups", **dict.fromkeys(FARGATE, "Fargate providers"), MANAGED: "Managed Instances"}


def provider_type(state: RegistryState, name: str) -> str:
    """The ``type`` of a provider that there is."""
    return name if name in FARGATE else state.providers[name].type


def find_provider(state: RegistryState, name: str) -> CapacityProvider | None:
    """The provider of this name that was not deleted."""
    provider = state.providers.get(name)
    return provider if provider is not None and provider.status != "INACTIVE" else None


def clusters_with(state: RegistryState, provider: str) -> list[Cluster]:
    """The clusters that the provider is associated with."""
    return [cluster for cluster in state.clusters.values() if provider in cluster.capacity_providers]


def managed_of(state: RegistryState, cluster: str) -> tuple[str, ...]:
    """Names of the cluster's Managed Instances providers: they belong to it from their creation to their end."""
    return tuple(
        provider.name
        for provider in state.providers.values()
        if provider.type == MANAGED and provider.cluster == cluster and provider.status == "ACTIVE"
    )


def unknown_provider(name: str, refuse: Callable[[str], Refusal] = client_error) -> Refusal:
    """There is no such provider."""
    return refuse(f"The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again.")


def check_associations(
    state: RegistryState,
    cluster: str,
    providers: Collection[str],
    strategy: Sequence[StrategyItem],
    unknown: Callable[[str], Refusal] = invalid_parameter,
) -> None:
    """Refuse what the cluster of this name, made or yet to be made, can't have as its providers and default strategy.
    ``unknown`` makes the refusal of providers that there are not."""
    for name in providers:
        if name not in FARGATE:
            _check_association(state, cluster, name, unknown)
    names = (*providers, *managed_of(state, cluster))
    if len(names) > MOST_PROVIDERS:
        raise invalid_parameter("The maximum number of capacity providers per cluster has been exceeded.")
    check_strategy(state, names, strategy)


def _check_association(state: RegistryState, cluster: str, name: str, unknown: Callable[[str], Refusal]) -> None:
    provider = find_provider(state, name)
    if provider is None:
        raise unknown_provider(name, unknown)
    if provider.type == MANAGED:
        raise invalid_parameter(
            "Cannot associate Managed Instances capacity provider to clusters using this API. Managed Instances "
            "capacity providers are already associated with the cluster that they were created for."
        )
    if provider.status != "ACTIVE":
        raise not_active(name)
    others = [other.name for other in clusters_with(state, name) if other.name != cluster]
    if provider.scaling.enabled and others:
        raise invalid_parameter(
            f"The specified capacity provider '{name}' uses managed scaling and is already associated with cluster "
            f"{others[0]}. A capacity provider with managed scaling can be associated with one cluster only."
        )


def not_active(name: str) -> Refusal:
    """The provider is being deleted."""
    return invalid_parameter(
        f"The specified capacity provider '{name}' is not in an ACTIVE state. Specify a valid capacity provider and "
        "try again."
    )


def check_strategy(state: RegistryState, associated: Collection[str], strategy: Sequence[StrategyItem]) -> None:
    """Refuse a strategy that a cluster with these providers can't use: every one ACTIVE, and all of one kind."""
    for item in strategy:
        if item.provider not in associated:
            raise invalid_parameter(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated "
                "with the cluster. Associate the capacity provider with the cluster and try again."
            )
        if item.provider not in FARGATE and state.providers[item.provider].status != "ACTIVE":
            raise not_active(item.provider)
    kinds = {_BACKING[provider_type(state, item.provider)] for item in strategy}
    if len(kinds) > 1:
        mixed = " and ".join(kind for kind in dict.fromkeys(_BACKING.values()) if kind in kinds)
        raise invalid_parameter(
            f"A capacity provider strategy cannot contain a mix of capacity providers using {mixed}. Specify one or "
            "the other and try again."
        )
