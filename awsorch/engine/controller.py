"""The partitions of one controller: the registry, and one partition a cluster, with their leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from awsorch.core.commands import Command
from awsorch.core.errors import Refusal
from awsorch.core.events import ForgetClusters, OpenGate
from awsorch.core.events_capacity import ForgetCapacityProviders
from awsorch.core.events_registry import ForgetTaskDefinitions
from awsorch.core.model import DEFAULT_PACE, Pace
from awsorch.core.state import ClusterState, RegistryState
from awsorch.core.wakes import RETENTION_S, all_keys
from awsorch.engine.attachments import Attachments
from awsorch.engine.leases import Leases
from awsorch.engine.partition import Partition, Ports, Unavailable
from awsorch.engine.ports import Catalogue, Store, Subnets

logger = logging.getLogger(__name__)

REGISTRY = "registry"
#: Every key is looked at this often even when nothing woke it, so that no lost command stays lost. Seconds.
SWEEP_S = 300.0


def partition_name(cluster: str) -> str:
    """The partition that holds a cluster's instances and tasks."""
    return f"cluster/{cluster}"


class Controller:
    """Starts, finds and stops partitions. ``send`` carries commands out; ``clock`` gives seconds since the epoch;
    ``pace`` is that of every cluster. ``catalogue`` knows instance types, ``subnets`` where EC2 has networks."""

    def __init__(
        self,
        store: Store,
        send: Callable[[str, Command], None],
        clock: Callable[[], float],
        pace: Pace = DEFAULT_PACE,
        catalogue: Catalogue | None = None,
        subnets: Subnets | None = None,
    ) -> None:
        self.pace = pace
        self.catalogue = catalogue
        self.subnets = subnets
        self.leases = Leases(store, clock)
        self._clock = clock
        self._ports = Ports(store, send, clock)
        self._clusters: dict[str, Partition[ClusterState]] = {}
        self._opening = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None
        self.registry: Partition[RegistryState] = Partition(REGISTRY, RegistryState, self._ports)
        self.attachments = Attachments(self.registry, self.open_cluster, pace.poll_seconds, catalogue, subnets)

    @property
    def clusters(self) -> dict[str, Partition[ClusterState]]:
        """Partitions that are running, by cluster name."""
        return self._clusters

    @property
    def now(self) -> float:
        """Seconds since the epoch, as every event of this controller is stamped."""
        return self._clock()

    async def start(self) -> None:
        """Start the registry and the partition of every cluster in it; a controller of several waits here until it
        leads. Raises StoreFailure, LeaseLost."""
        await self._start_partition(self.registry)
        for cluster in list(self.registry.state.clusters.values()):
            partition = await self.open_cluster(cluster.name)
            if cluster.status == "ACTIVE":
                await partition.submit(OpenGate(cause="start", pace=self.pace))
        await self.attachments.attach_all()
        self._sweeper = asyncio.create_task(self._sweep_for_ever(), name="sweeper")

    async def stop(self) -> None:
        """Stop every partition. The store stays open."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
        await self.attachments.close()
        for partition in self._clusters.values():
            await partition.stop()
        await self.registry.stop()
        self._clusters.clear()
        await self.leases.close()

    async def open_cluster(self, name: str) -> Partition[ClusterState]:
        """The running partition of a cluster, started if it was not."""
        async with self._opening:
            partition = self._clusters.get(name)
            if partition is None:
                partition = Partition(partition_name(name), ClusterState, self._ports)
                await self._start_partition(partition)
                self._clusters[name] = partition
            return partition

    async def _start_partition(self, partition: Partition[ClusterState] | Partition[RegistryState]) -> None:
        lease = await self.leases.take(partition.name)
        await partition.start(lease.epoch)

    async def _forget_definitions(self) -> None:
        """Let go of deleted task definitions that no cluster uses any more: two kinds of partition, so no planner's."""
        since = self._clock() - RETENTION_S

        def unused(state: RegistryState) -> tuple[str, ...]:
            return tuple(
                key
                for key in state.revisions.keys("DELETE_IN_PROGRESS")
                if (state.definitions[key].delete_requested_at or 0.0) <= since
                and not any(key in partition.state.definitions for partition in self._clusters.values())
            )

        due = await self.registry.read(unused)
        if due:
            await self.registry.submit(ForgetTaskDefinitions(cause="sweep", keys=due))

    async def _forget_clusters(self) -> None:
        """Let go of clusters that were deleted an hour ago and have nothing left to show."""
        since = self._clock() - RETENTION_S

        def over(state: RegistryState) -> tuple[str, ...]:
            return tuple(
                cluster.name
                for cluster in state.clusters.values()
                if cluster.status == "INACTIVE"
                and (cluster.deleted_at or 0.0) <= since
                and (cluster.name not in self._clusters or self._clusters[cluster.name].state.is_empty)
            )

        due = await self.registry.read(over)
        if not due:
            return
        async with self._opening:
            for name in await self.registry.submit(ForgetClusters(cause="sweep", names=due)):
                partition = self._clusters.pop(name, None)
                if partition is not None:
                    await partition.stop()
                    self.leases.let_go(partition.name)

    async def _forget_providers(self) -> None:
        """Let go of capacity providers that were deleted an hour ago."""
        since = self._clock() - RETENTION_S

        def over(state: RegistryState) -> tuple[str, ...]:
            return tuple(
                provider.name
                for provider in state.providers.values()
                if provider.status == "INACTIVE" and (provider.deleted_at or 0.0) <= since
            )

        due = await self.registry.read(over)
        if due:
            await self.registry.submit(ForgetCapacityProviders(cause="sweep", names=due))

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._forget_definitions()
                await self._forget_clusters()
                await self._forget_providers()
                await self.attachments.attach_all()
            except (Unavailable, Refusal) as failure:
                logger.warning("not all that was due at this sweep is done, the next one will do it: %s", failure)
            for partition in list(self._clusters.values()):
                now = self._clock()
                keys = list(all_keys(partition.state))
                # Spread over the period, so that a sweep of ten thousand instances is no burst.
                partition.reconciler.mark({k: now + SWEEP_S * i / len(keys) for i, k in enumerate(keys)})
