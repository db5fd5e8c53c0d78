"""The writer's promises: answers only after the commit, one commit for what waited, recovery as at start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from awsorch.core.commands import Command
from awsorch.core.errors import Refusal
from awsorch.core.events import CreateCluster, Look
from awsorch.core.planners import expire_tasks
from awsorch.core.state import ClusterState, RegistryState
from awsorch.core.step import PLANNERS
from awsorch.engine.partition import Partition, Ports, Unavailable
from awsorch.engine.ports import Change, LeaseLost
from awsorch.store.memory import MemoryStore
from tests.support.builders import arn
from tests.support.virtual_time import VirtualTimeLoop, run


class CountingStore(MemoryStore):
    """A memory store that knows how many changes each commit had."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[int] = []

    async def commit(self, partition: str, epoch: int, revision: int, changes: Any) -> None:
        self.commits.append(len(changes))
        await super().commit(partition, epoch, revision, changes)


def create(name: str, **settings: str) -> CreateCluster:
    return CreateCluster(name=name, arn=arn(f"cluster/{name}"), settings=settings)


def with_registry(test: Callable[[Partition[RegistryState], CountingStore], Awaitable[None]]) -> None:
    """Run a test on a started registry partition in virtual time."""

    async def scenario(loop: VirtualTimeLoop) -> None:
        store = CountingStore()
        sent: list[tuple[str, Command]] = []
        ports = Ports(store, lambda name, command: sent.append((name, command)), loop.clock)
        partition = Partition("registry", RegistryState, ports)
        lease = await store.take_lease("registry", "me", "", loop.clock(), 60)
        await partition.start(lease.epoch)
        try:
            await test(partition, store)
        finally:
            await partition.stop()

    run(scenario)


def test_what_waits_during_a_commit_is_committed_as_one() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        store.faults.delay = 1.0
        first = asyncio.create_task(partition.submit(create("first")))
        await asyncio.sleep(0.5)
        rest = [asyncio.create_task(partition.submit(create(f"c{n}"))) for n in range(20)]
        await asyncio.gather(first, *rest)
        assert store.commits == [1, 20]

    with_registry(test)


def test_reads_and_replies_wait_until_what_they_saw_is_durable() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        store.faults.delay = 1.0
        writing = asyncio.create_task(partition.submit(create("c")))
        await asyncio.sleep(0.5)
        assert "c" in partition.state.clusters
        reading = asyncio.create_task(partition.read(lambda state: set(state.clusters)))
        await asyncio.sleep(0.25)
        assert not writing.done()
        assert not reading.done()
        assert await reading == {"c"}
        assert writing.done() or (await writing).name == "c"

    with_registry(test)


def test_a_refusal_undoes_its_event_and_no_other() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        good = asyncio.create_task(partition.submit(create("a", containerInsights="disabled")))
        bad = asyncio.create_task(partition.submit(create("a", containerInsights="enabled")))
        other = asyncio.create_task(partition.submit(create("b")))
        assert (await good).name == "a"
        with pytest.raises(Refusal, match="inconsistent"):
            await bad
        assert (await other).name == "b"
        assert store.commits == [2]

    with_registry(test)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_failed_commit_answers_unavailable_and_loads_again(moment: str) -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        await partition.submit(create("kept"))
        store.faults.next_commits = [moment]
        with pytest.raises(Unavailable):
            await partition.submit(create("lost"))
        names = await partition.read(lambda state: set(state.clusters))
        assert names == ({"kept"} if moment == "before" else {"kept", "lost"})
        await partition.submit(create("next"))

    with_registry(test)


def test_a_full_store_refuses_writes_and_lets_reads_go_on() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        await partition.submit(create("kept"))
        store.faults.full = True
        for _ in range(3):
            with pytest.raises(Unavailable):
                await partition.submit(create("more"))
            assert await partition.read(lambda state: set(state.clusters)) == {"kept"}
        store.faults.full = False
        await partition.submit(create("more"))

    with_registry(test)


def test_a_lost_lease_stops_the_partition() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        async def lost(partition: str, epoch: int, revision: int, changes: list[Change]) -> None:
            raise LeaseLost("another controller has it")

        store.commit = lost  # type: ignore[assignment]
        with pytest.raises(Unavailable):
            await partition.submit(create("c"))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="not running"):
            await partition.submit(create("d"))

    with_registry(test)


def test_a_bug_in_a_planner_is_undone_and_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    async def scenario(loop: VirtualTimeLoop) -> None:
        def faulty(tx: Any, subject: str) -> None:
            calls.append(loop.time())
            if len(calls) < 4:
                raise RuntimeError("a bug")
            expire_tasks.look(tx, subject)

        monkeypatch.setitem(PLANNERS, "expire_tasks", faulty)  # type: ignore[arg-type]
        store = MemoryStore()
        partition = Partition("cluster/c", ClusterState, Ports(store, lambda name, command: None, loop.clock))
        lease = await store.take_lease("cluster/c", "me", "", loop.clock(), 60)
        await partition.start(lease.epoch)
        await asyncio.sleep(60)
        with pytest.raises(KeyError):
            await partition.submit(Look(planner="no such planner"))
        await partition.stop()
        assert partition.bugs == 4

    run(scenario)
    assert calls == pytest.approx([0, 1, 3, 7], abs=0.1)


def test_a_refusal_waits_for_the_commit_that_it_rests_on() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        store.faults.next_commits = ["before"]
        good = asyncio.create_task(partition.submit(create("a", containerInsights="disabled")))
        bad = asyncio.create_task(partition.submit(create("a", containerInsights="enabled")))
        for waiting in (good, bad):
            with pytest.raises(Unavailable):
                await waiting
        assert (await partition.submit(create("a", containerInsights="enabled"))).name == "a"

    with_registry(test)


def test_a_commit_that_fails_in_no_known_way_does_not_end_the_writer() -> None:
    async def test(partition: Partition[RegistryState], store: CountingStore) -> None:
        commit = store.commit

        async def faulty(*arguments: Any) -> None:
            store.commit = commit  # type: ignore[method-assign]
            raise TypeError("a record that can't be encoded")

        store.commit = faulty  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="can't be encoded"):
            await partition.submit(create("a"))
        assert partition.bugs == 1
        assert (await partition.submit(create("b"))).name == "b"
        assert set(partition.state.clusters) == {"b"}

    with_registry(test)


def test_a_key_is_looked_at_when_its_time_has_come_for_its_planner_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are stamped in milliseconds: a key that is due between two of them is not looked at again and again."""
    looks: list[float] = []

    async def scenario(loop: VirtualTimeLoop) -> None:
        due = loop.clock() + 1.0004

        def look(tx: Any, subject: str) -> None:
            looks.append(tx.now)
            if tx.now < due:
                tx.wake(expire_tasks.KEY, due)

        monkeypatch.setitem(PLANNERS, "expire_tasks", look)  # type: ignore[arg-type]
        store = MemoryStore()
        partition = Partition("cluster/c", ClusterState, Ports(store, lambda name, command: None, loop.clock))
        lease = await store.take_lease("cluster/c", "me", "", loop.clock(), 60)
        await partition.start(lease.epoch)
        await asyncio.sleep(5)
        assert len(looks) == 2
        assert looks[-1] >= due
        await partition.stop()

    run(scenario)
