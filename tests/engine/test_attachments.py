"""Clusters' copies of their capacity providers follow the registry: through crashes, failing stores and an EC2 that
does not answer, and whoever changes what at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from awsorch.core.events import CreateCluster, OpenGate, SetTags
from awsorch.core.events_capacity import CreateCapacityProvider, DeleteCapacityProvider, SetClusterCapacity
from awsorch.core.model_capacity import GROUP, MANAGED, CapacityProvider
from awsorch.engine.controller import SWEEP_S, Controller
from awsorch.engine.partition import Unavailable
from awsorch.engine.ports import CloudFailure
from awsorch.store.memory import Faults, MemoryStore
from tests.support.builders import arn
from tests.support.cloud import Cloud, group_arn
from tests.support.virtual_time import VirtualTimeLoop, run

ZONES = {"us-east-1a": "subnet-a"}


def of_group(name: str) -> CapacityProvider:
    """The provider of an Auto Scaling group."""
    provider = CapacityProvider(name=name, arn=arn(f"capacity-provider/{name}"), type=GROUP, created_at=1.0)
    return replace(provider, group=group_arn(name))


def with_machines(name: str = "mi") -> CapacityProvider:
    """A Managed Instances provider of cluster c."""
    managed = {"instanceLaunchTemplate": {"networkConfiguration": {"subnets": ["subnet-a"]}}}
    provider = CapacityProvider(name=name, arn=arn(f"capacity-provider/{name}"), type=MANAGED, created_at=1.0)
    return replace(provider, managed=managed, cluster="c")


async def started(loop: VirtualTimeLoop, store: MemoryStore, cloud: Cloud) -> Controller:
    """A controller with cluster c."""
    controller = Controller(store, lambda name, command: None, loop.clock, catalogue=cloud, subnets=cloud)
    await controller.start()
    await controller.registry.submit(CreateCluster(name="c", arn=arn("cluster/c"), settings={}))
    await (await controller.open_cluster("c")).submit(OpenGate())
    return controller


def copies(controller: Controller) -> dict[str, Any]:
    """The providers in cluster c's partition."""
    return dict(controller.clusters["c"].state.providers)


def put(*providers: str) -> SetClusterCapacity:
    """PutClusterCapacityProviders on cluster c."""
    return SetClusterCapacity(cluster="c", providers=providers, default_strategy=())


def test_what_a_crash_left_undone_is_done_at_start() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        store, cloud = MemoryStore(), Cloud()
        first = await started(loop, store, cloud)
        await first.registry.submit(CreateCapacityProvider(provider=with_machines()))
        await first.registry.submit(CreateCapacityProvider(provider=of_group("g")))
        await first.registry.submit(put("g"))
        assert copies(first) == {}
        await first.stop()
        second = await started(loop, store, cloud)
        assert list(copies(second)) == ["g", "mi"]
        assert copies(second)["mi"].zones == ZONES
        assert len(copies(second)["mi"].offers) == 1
        await second.stop()

    run(scenario)


def test_known_zones_are_not_asked_for_at_start() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        store, cloud = MemoryStore(), Cloud()
        first = await started(loop, store, cloud)
        await first.attachments.create(CreateCapacityProvider(provider=with_machines()))
        await first.stop()
        cloud.failure = CloudFailure("RequestLimitExceeded", "slower")
        second = await started(loop, store, cloud)
        assert copies(second)["mi"].zones == ZONES
        await second.stop()

    run(scenario)


def test_changed_tags_reach_the_cluster() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        controller = await started(loop, MemoryStore(), Cloud())
        await controller.attachments.create(CreateCapacityProvider(provider=replace(with_machines(), tags={"a": "1"})))
        assert copies(controller)["mi"].tags == {"a": "1"}
        await controller.attachments.set_tags(
            SetTags(kind="capacity-provider", key="mi", put={"b": "2"}, remove=("a",))
        )
        assert copies(controller)["mi"].tags == {"b": "2"}
        await controller.stop()

    run(scenario)


def test_zones_that_ec2_does_not_tell_are_asked_for_again() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        cloud = Cloud()
        controller = await started(loop, MemoryStore(), cloud)
        await controller.registry.submit(CreateCapacityProvider(provider=with_machines()))
        cloud.failure = CloudFailure("RequestLimitExceeded", "slower")
        await controller.attachments.attach("c")
        assert copies(controller)["mi"].zones == {}
        cloud.failure = None
        await asyncio.sleep(SWEEP_S + 1)
        assert copies(controller)["mi"].zones == ZONES
        await controller.stop()

    run(scenario)


def test_a_registry_that_cannot_store_is_followed_at_the_next_sweep() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        faults = Faults()
        controller = await started(loop, MemoryStore(faults), Cloud())
        for name in ("a", "b"):
            await controller.registry.submit(CreateCapacityProvider(provider=of_group(name)))
        faults.commits = lambda partition: "before" if partition == "registry" else None
        with pytest.raises(Unavailable):
            await controller.attachments.put(put("a"))
        assert list(copies(controller)) == ["a"]
        faults.commits = None
        await asyncio.sleep(SWEEP_S + 1)
        assert copies(controller) == {}
        await controller.stop()

    run(scenario)


def test_changes_at_the_same_time_end_alike_in_both_partitions() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        controller = await started(loop, MemoryStore(Faults(delay=0.5)), Cloud())
        for name in ("a", "b"):
            provider = replace(of_group(name), draining=False)
            await controller.registry.submit(CreateCapacityProvider(provider=provider))
        attachments = controller.attachments
        await asyncio.gather(
            attachments.put(put("a")),
            attachments.create(CreateCapacityProvider(provider=with_machines())),
            attachments.put(put("b", "a")),
            attachments.put(put("b")),
        )
        assert controller.registry.state.clusters["c"].capacity_providers == ("b", "mi")
        assert sorted(copies(controller)) == ["b", "mi"]
        await controller.stop()

    run(scenario)


def test_a_deletion_goes_on_after_a_restart() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        store, cloud = MemoryStore(), Cloud()
        first = await started(loop, store, cloud)
        await first.attachments.create(CreateCapacityProvider(provider=with_machines()))
        await first.registry.submit(DeleteCapacityProvider(name="mi", has_machines=True))
        await first.stop()
        second = await started(loop, store, cloud)
        assert second.registry.state.providers["mi"].status == "DEPROVISIONING"
        await asyncio.sleep(second.pace.poll_seconds + 1)
        assert second.registry.state.providers["mi"].status == "INACTIVE"
        assert copies(second) == {}
        await second.stop()

    run(scenario)


def test_a_deleted_provider_is_forgotten_after_an_hour() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        controller = await started(loop, MemoryStore(), Cloud())
        providers = controller.registry.state.providers
        for name in ("old", "again"):
            await controller.registry.submit(CreateCapacityProvider(provider=of_group(name)))
            await controller.attachments.delete(DeleteCapacityProvider(name=name))
        await asyncio.sleep(3500)
        assert providers["old"].status == "INACTIVE"
        await controller.registry.submit(CreateCapacityProvider(provider=of_group("again")))
        await asyncio.sleep(100 + SWEEP_S)
        assert list(providers) == ["again"]
        await controller.stop()

    run(scenario)
