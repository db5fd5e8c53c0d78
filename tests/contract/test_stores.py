"""What every store promises. One suite, run on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awsorch.core.model import Gate, Task
from awsorch.engine.ports import Change, LeaseLost, Store, StoreFailure
from tests.contract.stores import Bench, MemoryBench, PostgresqlBench, SqliteBench
from tests.support.builders import a_task, an_instance, one_of_each

Scenario = Callable[[Store], Awaitable[None]]
OPEN = Gate(open=True)


@pytest.fixture(params=["memory", "postgresql", "sqlite"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "memory":
        return MemoryBench(tmp_path)
    return SqliteBench(tmp_path) if request.param == "sqlite" else PostgresqlBench(request.getfixturevalue("server"))


def run(bench: Bench, *scenarios: Scenario) -> None:
    """Each scenario with a store of its own, closed afterwards, over the same data."""
    for scenario in scenarios:

        async def opened(scenario: Scenario = scenario) -> None:
            store = bench.open()
            try:
                await scenario(store)
            finally:
                await store.close()

        asyncio.run(opened())


def put(*records: Any) -> list[Change]:
    return [Change(kind=type(record), key=record.key, record=record) for record in records]


def gone(*records: Any) -> list[Change]:
    return [Change(kind=type(record), key=record.key, record=None) for record in records]


def by_key(records: Sequence[Any]) -> dict[tuple[type[Any], str], Any]:
    found = {(type(record), record.key): record for record in records}
    assert len(found) == len(records)
    return found


async def lease(store: Store, partition: str = "c", owner: str = "me", now: float = 0.0) -> int:
    taken = await store.take_lease(partition, owner, f"http://{owner}", now, 10.0)
    return taken.epoch


def test_a_new_partition_is_empty_and_keeps_its_seed(bench: Bench) -> None:
    seeds = []

    async def look(store: Store) -> None:
        snapshot = await store.load("c")
        assert (snapshot.revision, list(snapshot.records)) == (0, [])
        seeds.append(snapshot.seed)
        assert (await store.load("d")).seed != snapshot.seed

    run(bench, look, look)
    assert len(set(seeds)) == 1
    assert len(seeds[0]) >= 16


def test_what_was_committed_is_there_after_reopening(bench: Bench) -> None:
    async def write(store: Store) -> None:
        await store.commit("c", await lease(store), 7, put(*one_of_each()))

    async def read(store: Store) -> None:
        snapshot = await store.load("c")
        assert snapshot.revision == 7
        assert by_key(snapshot.records) == by_key(one_of_each())

    run(bench, write, read, read)


def test_records_are_replaced_and_removed(bench: Bench) -> None:
    first, second, third = a_task("1"), a_task("2"), a_task("3")
    later = replace(second, last_status="RUNNING", started_at=5.0)

    async def write(store: Store) -> None:
        epoch = await lease(store)
        await store.commit("c", epoch, 1, put(first, second, OPEN))
        await store.commit("c", epoch, 2, [*put(later, third), *gone(first)])
        await store.commit("c", epoch, 3, gone(first, a_task("never there")))

    async def read(store: Store) -> None:
        snapshot = await store.load("c")
        assert snapshot.revision == 3
        assert by_key(snapshot.records) == by_key([later, third, OPEN])

    run(bench, write, read)


def test_one_commit_may_touch_a_record_twice(bench: Bench) -> None:
    task = a_task("1")
    back = replace(task, last_status="STOPPED")

    async def work(store: Store) -> None:
        await store.commit("c", await lease(store), 1, [*put(task), *gone(task), *put(back)])
        assert list((await store.load("c")).records) == [back]

    run(bench, work)


def test_partitions_do_not_see_each_other(bench: Bench) -> None:
    async def work(store: Store) -> None:
        mine = await lease(store, "c")
        await store.commit("c", mine, 1, put(a_task("1")))
        other = await lease(store, "d")
        await store.commit("d", other, 5, put(an_instance("1")))
        assert [type(r) for r in (await store.load("c")).records] == [Task]
        assert (await store.load("c")).revision == 1
        assert (await store.load("d")).revision == 5

    run(bench, work)


def test_partitions_lists_those_that_hold_records(bench: Bench) -> None:
    async def work(store: Store) -> None:
        assert list(await store.partitions()) == []
        await store.load("empty")
        for name in ("b", "a"):
            await store.commit(name, await lease(store, name), 1, put(OPEN))
        await store.commit("b", await lease(store, "b"), 2, gone(OPEN))
        assert list(await store.partitions()) == ["a"]

    run(bench, work)


def test_a_commit_without_changes_sets_the_revision(bench: Bench) -> None:
    async def work(store: Store) -> None:
        await store.commit("c", await lease(store), 4, [])
        assert (await store.load("c")).revision == 4

    run(bench, work)


def test_a_lease_is_free_then_held_then_expired(bench: Bench) -> None:
    async def work(store: Store) -> None:
        assert await store.find_lease("c") is None
        first = await store.take_lease("c", "a", "http://a", 100.0, 10.0)
        assert (first.partition, first.owner, first.address) == ("c", "a", "http://a")
        assert first.expires_at == 110.0
        assert await store.find_lease("c") == first
        with pytest.raises(LeaseLost, match="owned by a at http://a"):
            await store.take_lease("c", "b", "http://b", 109.0, 10.0)
        renewed = await store.take_lease("c", "a", "http://a2", 109.0, 10.0)
        assert (renewed.epoch, renewed.expires_at, renewed.address) == (first.epoch, 119.0, "http://a2")
        with pytest.raises(LeaseLost):
            await store.take_lease("c", "b", "http://b", 118.0, 10.0)
        second = await store.take_lease("c", "b", "http://b", 119.0, 10.0)
        assert second.epoch > first.epoch
        assert await store.find_lease("c") == second

    run(bench, work)


def test_a_commit_under_another_epoch_is_refused_whole(bench: Bench) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(LeaseLost):
            await store.commit("c", 1, 1, put(OPEN))
        old = await lease(store, owner="a")
        await store.commit("c", old, 1, put(OPEN))
        new = await lease(store, owner="b", now=50.0)
        with pytest.raises(LeaseLost):
            await store.commit("c", old, 2, put(a_task("late")))
        with pytest.raises(LeaseLost):
            await store.commit("c", new + 1, 2, put(a_task("early")))
        snapshot = await store.load("c")
        assert (snapshot.revision, list(snapshot.records)) == (1, [OPEN])
        await store.commit("c", new, 2, put(a_task("good")))

    run(bench, work)


def test_a_new_owner_gets_a_higher_epoch_after_reopening(bench: Bench) -> None:
    epochs = []

    async def work(store: Store) -> None:
        epochs.append(await lease(store, owner=f"owner-{len(epochs)}", now=100.0 * len(epochs)))

    run(bench, work, work, work)
    assert epochs == sorted(set(epochs))


def test_a_full_store_refuses_commits_reads_on_and_recovers(bench: Bench) -> None:
    bulk = [a_task(f"{n:032x}", stopped_reason="x" * 2000) for n in range(200)]

    async def work(store: Store) -> None:
        epoch = await lease(store)
        await store.commit("c", epoch, 1, put(OPEN))
        for _ in range(2):
            with bench.without_room(store):
                for _ in range(3):
                    with pytest.raises(StoreFailure):
                        await store.commit("c", epoch, 2, put(*bulk))
                    snapshot = await store.load("c")
                    assert (snapshot.revision, list(snapshot.records)) == (1, [OPEN])
                assert await lease(store, now=5.0) == epoch
        await store.commit("c", epoch, 2, put(*bulk))

    async def read(store: Store) -> None:
        snapshot = await store.load("c")
        assert snapshot.revision == 2
        assert len(snapshot.records) == 201

    run(bench, work, read)


def test_commits_of_many_partitions_at_once(bench: Bench) -> None:
    async def fill(store: Store, partition: str) -> None:
        epoch = await lease(store, partition)
        for revision in range(1, 11):
            await store.commit(partition, epoch, revision, put(a_task(f"{revision}"), OPEN))

    async def work(store: Store) -> None:
        names = [f"p{n}" for n in range(8)]
        await asyncio.gather(*(fill(store, name) for name in names))
        for name in names:
            snapshot = await store.load(name)
            assert (snapshot.revision, len(snapshot.records)) == (10, 11)

    run(bench, work)


def test_closing_twice_is_harmless(bench: Bench) -> None:
    async def work(store: Store) -> None:
        await store.load("c")
        await store.close()

    run(bench, work)
