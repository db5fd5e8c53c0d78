"""The controller over several partitions: start-up, leases, and the sweep of deleted task definitions."""

from __future__ import annotations

import asyncio

from awsorch.core.arn import Scope
from awsorch.core.events import CloseGate, CreateCluster, DeleteCluster, OpenGate
from awsorch.core.events_registry import DeleteTaskDefinitions, DeregisterTaskDefinition, RegisterTaskDefinition
from awsorch.engine.controller import SWEEP_S, Controller
from awsorch.store.memory import MemoryStore
from tests.support.builders import arn
from tests.support.virtual_time import VirtualTimeLoop, run

SCOPE = Scope(region="us-east-1", account="123456789012")


def test_a_controller_that_comes_back_has_its_clusters_open() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        store = MemoryStore()
        first = Controller(store, lambda name, command: None, loop.clock)
        await first.start()
        await first.registry.submit(CreateCluster(name="c", arn=arn("cluster/c"), settings={}))
        await (await first.open_cluster("c")).submit(OpenGate())
        await first.stop()
        second = Controller(store, lambda name, command: None, loop.clock)
        await second.start()
        assert await second.clusters["c"].read(lambda state: state.is_open)
        await second.stop()

    run(scenario)


def test_deleted_task_definitions_that_nobody_uses_are_forgotten_after_an_hour() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        controller = Controller(MemoryStore(), lambda name, command: None, loop.clock)
        await controller.start()
        registry = controller.registry
        document = {"family": "web", "containerDefinitions": []}
        await registry.submit(RegisterTaskDefinition(document=document, registered_by="me", scope=SCOPE))
        await registry.submit(DeregisterTaskDefinition(family="web", revision=1))
        await registry.submit(DeleteTaskDefinitions(keys=("web:1",)))
        await asyncio.sleep(3500)
        assert "web:1" in registry.state.definitions
        await asyncio.sleep(100 + SWEEP_S)
        assert "web:1" not in registry.state.definitions
        again = await registry.submit(RegisterTaskDefinition(document=document, registered_by="me", scope=SCOPE))
        assert again.revision == 2
        await controller.stop()

    run(scenario)


def test_a_deleted_cluster_is_forgotten_after_an_hour_and_its_name_is_free() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        controller = Controller(MemoryStore(), lambda name, command: None, loop.clock)
        await controller.start()
        for name in ("old", "new"):
            await controller.registry.submit(CreateCluster(name=name, arn=arn(f"cluster/{name}"), settings={}))
            await (await controller.open_cluster(name)).submit(OpenGate())
        await (await controller.open_cluster("old")).submit(CloseGate())
        await controller.registry.submit(DeleteCluster(name="old"))
        await asyncio.sleep(3000)
        assert controller.registry.state.clusters["old"].status == "INACTIVE"
        await asyncio.sleep(600 + SWEEP_S)
        assert list(controller.registry.state.clusters) == ["new"] == list(controller.clusters)
        await controller.registry.submit(CreateCluster(name="old", arn=arn("cluster/old"), settings={}))
        await (await controller.open_cluster("old")).submit(OpenGate())
        assert controller.clusters["old"].state.is_open
        await controller.stop()

    run(scenario)
