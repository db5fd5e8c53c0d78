"""Keeps clusters' copies of their capacity providers equal to the registry, which is the truth.

A change touches two partitions that share no transaction. Where something is taken away the cluster's partition agrees
first, then the registry decides; what a crash leaves undone in between is done at start and at every sweep. One change
at a time, so that no older list overtakes a newer one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from awsorch.core.capacity.associations import FARGATE, check_associations, clusters_with
from awsorch.core.capacity.attachments import require_settled
from awsorch.core.errors import Refusal, client_error
from awsorch.core.events import SetTags
from awsorch.core.events_capacity import (
    Attached,
    AttachProviders,
    CreateCapacityProvider,
    DeleteCapacityProvider,
    SetClusterCapacity,
    UpdateCapacityProvider,
)
from awsorch.core.model import Cluster
from awsorch.core.model_capacity import MANAGED, CapacityProvider
from awsorch.core.rules.capacity import IN_USE, is_needed
from awsorch.core.rules.capacity_providers import check_removable
from awsorch.core.rules.clusters import active_cluster
from awsorch.core.state import ClusterState, RegistryState
from awsorch.engine.partition import Partition, Unavailable
from awsorch.engine.ports import Catalogue, CloudFailure, Subnets

logger = logging.getLogger(__name__)

OpenCluster = Callable[[str], Awaitable[Partition[ClusterState]]]
Managed = Mapping[str, Any]

#: How a Managed Instances provider is set while its machines end.
_ENDING = {"infrastructureOptimization": {"scaleInAfter": 0}}


class Attachments:
    """The changes of providers and of which cluster has which. ``catalogue`` and ``subnets`` tell what Managed
    Instances providers may launch and where; without them they launch nothing."""

    def __init__(
        self,
        registry: Partition[RegistryState],
        open_cluster: OpenCluster,
        poll_seconds: float,
        catalogue: Catalogue | None = None,
        subnets: Subnets | None = None,
    ) -> None:
        self._registry = registry
        self._open_cluster = open_cluster
        self._poll_seconds = poll_seconds
        self._catalogue = catalogue
        self._subnets = subnets
        self._turn = asyncio.Lock()
        self._finishing: asyncio.Task[None] | None = None

    async def create(self, event: CreateCapacityProvider) -> CapacityProvider:
        """Record a provider; a Managed Instances one is attached to its cluster. Raises Refusal, and CloudFailure where
        its subnets can't be found."""
        async with self._turn:
            await self._check_launchable(event.provider.managed)
            provider: CapacityProvider = await self._registry.submit(event)
            await self._attach_everywhere(provider.name)
            return provider

    async def update(self, derive: Callable[[RegistryState], UpdateCapacityProvider]) -> CapacityProvider:
        """Change a provider by what ``derive`` makes of the providers as they are. Raises like ``create``."""
        async with self._turn:
            event = await self._registry.read(derive)
            await self._check_launchable(event.managed)
            provider: CapacityProvider = await self._registry.submit(event)
            await self._attach_everywhere(provider.name)
            return provider

    async def set_tags(self, event: SetTags) -> None:
        """Change a provider's tags: machines that are launched later have them. Raises Refusal."""
        async with self._turn:
            await self._registry.submit(event)
            await self._attach_everywhere(event.key)

    async def delete(self, event: DeleteCapacityProvider) -> CapacityProvider:
        """Delete a provider that nothing needs: at once, or once the machines that it launched have ended. Answers it
        as it was. Raises Refusal."""
        async with self._turn:
            known = await self._registry.read(lambda state: state.providers.get(event.name))
            if known is not None and known.status == "INACTIVE":
                return known
            provider = await self._registry.read(lambda state: check_removable(state, event.name))
            if provider.type != MANAGED:
                await self._registry.submit(event)
            else:
                await self._delete_managed(provider, event)
            return provider

    async def put(self, event: SetClusterCapacity) -> Cluster:
        """Give a cluster these providers and this default strategy. Raises Refusal."""
        async with self._turn:
            await self._registry.read(lambda state: _check(state, event))
            partition = await self._open_cluster(event.cluster)
            await partition.read(lambda state: require_settled(state.providers.values()))
            attached = await self._attached(partition, event.cluster, event.providers)
            await partition.submit(AttachProviders(cause=event.cause, cluster=event.cluster, attached=attached))
            cluster: Cluster = await self._registry.submit(event)
            return cluster

    async def attach(self, cluster: str) -> None:
        """Bring one cluster's copies to what the registry has."""
        async with self._turn:
            await self._attach(cluster)

    async def attach_all(self) -> None:
        """Bring every cluster's copies to what the registry has, and go on with deletions. Raises Unavailable."""
        async with self._turn:
            for name in await self._registry.read(lambda state: list(state.clusters)):
                await self._attach(name)
        if await self._registry.read(_leaving):
            self._finish_later()

    async def close(self) -> None:
        """Wait for no machines any more; that goes on at the next start."""
        if self._finishing is not None:
            self._finishing.cancel()
            await asyncio.gather(self._finishing, return_exceptions=True)

    async def _check_launchable(self, managed: Managed | None) -> None:
        """Refuse what a Managed Instances provider could never launch, before it is recorded."""
        if managed is None:
            return
        await self._zones(managed)
        if self._catalogue is not None and not self._catalogue.offers(managed):
            raise client_error(
                "No instance type meets the specified instanceRequirements. Specify less narrow requirements and try "
                "again."
            )

    async def _delete_managed(self, provider: CapacityProvider, event: DeleteCapacityProvider) -> None:
        assert provider.cluster is not None
        partition = await self._open_cluster(provider.cluster)
        if await partition.read(lambda state: is_needed(state, provider.name)):
            raise client_error(IN_USE)
        if await partition.read(lambda state: _has_machines(state, provider.name)):
            await self._registry.submit(replace(event, has_machines=True))
            await self._attach(provider.cluster)
            self._finish_later()
        else:
            await self._drop(partition, provider.cluster, event)

    async def _drop(self, partition: Partition[ClusterState], cluster: str, event: DeleteCapacityProvider) -> None:
        """Take a Managed Instances provider from its cluster, then from the registry."""
        names = await self._registry.read(lambda state: _names_of(state, cluster))
        attached = await self._attached(partition, cluster, names)
        attached = tuple(each for each in attached if each.provider.name != event.name)
        try:
            await partition.submit(AttachProviders(cause=event.cause, cluster=cluster, attached=attached))
        except Refusal:
            raise client_error(IN_USE) from None
        await self._registry.submit(event)

    def _finish_later(self) -> None:
        if self._finishing is None or self._finishing.done():
            self._finishing = asyncio.create_task(self._finish_deletions(), name="deletions of capacity providers")

    async def _finish_deletions(self) -> None:
        """Delete providers whose machines have ended, until none is left."""
        while leaving := await self._registry.read(_leaving):
            await asyncio.sleep(self._poll_seconds)
            for provider in leaving:
                try:
                    async with self._turn:
                        await self._finish(provider)
                except (Unavailable, Refusal) as failure:
                    logger.warning("%s is not deleted yet: %s", provider.arn, failure)

    async def _finish(self, provider: CapacityProvider) -> None:
        assert provider.cluster is not None
        partition = await self._open_cluster(provider.cluster)
        if not await partition.read(lambda state: _has_machines(state, provider.name)):
            event = DeleteCapacityProvider(cause="its machines have ended", name=provider.name)
            await self._drop(partition, provider.cluster, event)

    async def _attach_everywhere(self, provider: str) -> None:
        """Tell every cluster that has the provider."""
        for name in await self._registry.read(lambda state: [c.name for c in clusters_with(state, provider)]):
            await self._attach(name)

    async def _attach(self, cluster: str) -> None:
        names = await self._registry.read(lambda state: _names_of(state, cluster))
        partition = await self._open_cluster(cluster)
        attached = await self._attached(partition, cluster, names)
        if attached or partition.state.providers:
            event = AttachProviders(cause="capacity providers", cluster=cluster, attached=attached, force=True)
            await partition.submit(event)

    async def _attached(
        self, partition: Partition[ClusterState], cluster: str, names: Collection[str]
    ) -> tuple[Attached, ...]:
        """What the partition is told of these providers and of the cluster's Managed Instances ones."""
        providers = await self._registry.read(lambda state: _records(state, cluster, names))
        return tuple([await self._described(partition, provider) for provider in providers])

    async def _described(self, partition: Partition[ClusterState], provider: CapacityProvider) -> Attached:
        managed = provider.managed
        if managed is None:
            return Attached(provider=provider)
        if provider.status == "DEPROVISIONING":
            # It launches nothing any more, and what it has is to go as soon as it is idle.
            return Attached(provider=replace(provider, managed={**managed, **_ENDING}))
        known = partition.state.providers.get(provider.name)
        offers = self._catalogue.offers(managed) if self._catalogue is not None else ()
        if known is not None and known.zones and _subnets_of(known.managed or {}) == _subnets_of(managed):
            return Attached(provider=provider, offers=offers, zones=known.zones)
        try:
            return Attached(provider=provider, offers=offers, zones=await self._zones(managed))
        except CloudFailure as failure:
            logger.warning("%s can launch nothing until its subnets are found: %s", provider.arn, failure)
            return Attached(provider=provider, offers=offers)

    async def _zones(self, managed: Managed) -> Mapping[str, str]:
        return await self._subnets.zones(_subnets_of(managed)) if self._subnets is not None else {}


def _check(state: RegistryState, event: SetClusterCapacity) -> None:
    cluster = active_cluster(state, event.cluster)
    check_associations(state, cluster.name, event.providers, event.default_strategy)


def _names_of(state: RegistryState, cluster: str) -> tuple[str, ...]:
    record = state.clusters.get(cluster)
    return record.capacity_providers if record is not None else ()


def _records(state: RegistryState, cluster: str, names: Collection[str]) -> list[CapacityProvider]:
    """Those of these providers that have instances, and all that were made for the cluster and are not gone."""
    named = [state.providers[name] for name in names if name not in FARGATE]
    own = [p for p in state.providers.values() if p.cluster == cluster and p.name not in names]
    return [provider for provider in (*named, *own) if provider.status != "INACTIVE"]


def _leaving(state: RegistryState) -> list[CapacityProvider]:
    return [provider for provider in state.providers.values() if provider.status == "DEPROVISIONING"]


def _has_machines(state: ClusterState, provider: str) -> bool:
    return bool(state.capacity_index.machines(provider) or state.capacity_index.launches(provider))


def _subnets_of(managed: Managed) -> Sequence[str]:
    template: Managed = managed.get("instanceLaunchTemplate", {})
    subnets: Sequence[str] = template.get("networkConfiguration", {}).get("subnets", ())
    return subnets
