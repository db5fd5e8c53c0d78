"""Controllers that share a store: one leads, another follows it, and who lost the lead changes nothing more."""

from __future__ import annotations

import asyncio

import pytest

from awsorch.core.events import CreateCluster, OpenGate
from awsorch.engine.controller import Controller
from awsorch.engine.leases import Leases, Owner
from awsorch.engine.partition import Unavailable
from awsorch.engine.ports import Lease, LeaseLost, StoreFailure
from awsorch.store.memory import MemoryStore
from tests.support.builders import arn
from tests.support.virtual_time import VirtualTimeLoop, run

TTL = 15.0


def controller(store: MemoryStore, loop: VirtualTimeLoop, name: str) -> Controller:
    made = Controller(store, lambda name, command: None, loop.clock)
    made.leases.owner = Owner(name=name, address=f"http://{name}", seconds=TTL, patient=True)
    return made


class CutOff(MemoryStore):
    """A store that one controller, whose view this is, may be cut off from."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._partitions = store._partitions
        self.away = False

    async def take_lease(self, partition: str, owner: str, address: str, now: float, ttl: float) -> Lease:
        if self.away:
            raise StoreFailure("cut off")
        return await super().take_lease(partition, owner, address, now, ttl)


def test_the_second_waits_and_follows_at_once_when_the_first_ends() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        store = MemoryStore()
        first, second = controller(store, loop, "a"), controller(store, loop, "b")
        await first.start()
        await first.registry.submit(CreateCluster(name="c", arn=arn("cluster/c"), settings={}))
        await (await first.open_cluster("c")).submit(OpenGate())
        following = asyncio.create_task(second.start())
        await asyncio.sleep(10 * TTL)
        assert not following.done()
        assert not first.leases.lost.is_set()
        await first.stop()
        before = loop.clock()
        await following
        assert loop.clock() - before <= 2.0
        assert await second.clusters["c"].read(lambda state: state.is_open)
        await second.stop()

    run(scenario)


def test_who_is_cut_off_is_followed_when_its_lease_expires_and_knows_it() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        shared = MemoryStore()
        view = CutOff(shared)
        first, second = controller(view, loop, "a"), controller(shared, loop, "b")
        await first.start()
        await first.registry.submit(CreateCluster(name="c", arn=arn("cluster/c"), settings={}))
        await (await first.open_cluster("c")).submit(OpenGate())
        view.away = True
        before = loop.clock()
        await second.start()
        assert TTL * 2 / 3 <= loop.clock() - before <= TTL + 3.0
        # It believes that it leads, and can commit nothing.
        with pytest.raises(Unavailable):
            await first.registry.submit(CreateCluster(name="d", arn=arn("cluster/d"), settings={}))
        await first.leases.lost.wait()
        assert loop.clock() - before <= 2 * TTL
        assert list(second.registry.state.clusters) == ["c"]
        await first.stop()
        await second.registry.submit(CreateCluster(name="e", arn=arn("cluster/e"), settings={}))
        await second.stop()

    run(scenario)


def test_a_store_that_is_away_for_less_than_a_lease_costs_no_lead() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        view = CutOff(MemoryStore())
        first = controller(view, loop, "a")
        await first.start()
        for _ in range(5):
            view.away = True
            await asyncio.sleep(TTL / 2)
            view.away = False
            await asyncio.sleep(TTL / 2)
        assert not first.leases.lost.is_set()
        view.away = True
        await asyncio.sleep(2 * TTL)
        assert first.leases.lost.is_set()
        await first.stop()

    run(scenario)


def test_who_is_alone_says_at_once_what_keeps_it_from_starting() -> None:
    async def scenario(loop: VirtualTimeLoop) -> None:
        store = MemoryStore()
        await store.take_lease("c", "other", "http://other", loop.clock(), 1e6)
        leases = Leases(store, loop.clock)
        with pytest.raises(LeaseLost, match="owned by other at http://other"):
            await leases.take("c")

    run(scenario)
