"""Servers come, go, fail and drain, and no request notices."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from awsorch.local.balancer.configuration import OPEN
from awsorch.local.balancer.model import Server
from awsorch.local.balancer.runtime import Runtime
from tests.local.balancer.world import HOST, QUICK, World, a_pool, a_world, failures, free_port, soon


def test_first_passed_check_opens_a_new_server_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target = await world.target("one")
            slow = replace(QUICK, interval_seconds=30.0, healthy_threshold=5)
            await world.carry(a_pool("web", target.server(), check=slow))
            assert (await world.balancer.health("web"))[target.server().key].reason == "Elb.RegistrationInProgress"
            assert (await world.get())[0] == 503
            await world.all_are("healthy", "web")
            assert target.checks == 1
            assert await world.get() == (200, "one")

    asyncio.run(scenario())


def test_server_that_starts_late_is_checked_again_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            late = Server(key="late", address=HOST, port=free_port())
            await world.carry(a_pool("web", late, check=replace(QUICK, interval_seconds=30.0)))

            async def is_checked() -> bool:
                return (await world.balancer.health("web"))["late"].reason == "Elb.InitialHealthChecking"

            await soon(is_checked)
            target = await world.target("late")
            await target.stop()
            target.port = late.port
            await target.start()
            await world.all_are("healthy", "web")
            assert await world.get() == (200, "late")

    asyncio.run(scenario())


def test_server_that_never_answers_well_becomes_unhealthy_with_the_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            good, wrong = await world.target("good"), await world.target("wrong", health=418)
            closed = Server(key="closed", address=HOST, port=free_port())
            await world.carry(a_pool("web", good.server(), wrong.server(), closed))

            async def are_told() -> bool:
                found = await world.balancer.health("web")
                return [found[each.key].state for each in (good.server(), wrong.server(), closed)] == [
                    "healthy",
                    "unhealthy",
                    "unhealthy",
                ]

            await soon(are_told)
            found = await world.balancer.health("web")
            assert found[wrong.server().key].reason == "Target.ResponseCodeMismatch"
            assert found[wrong.server().key].description == "Health checks failed with these codes: [418]"
            assert found["closed"].reason == "Target.FailedHealthChecks"
            assert {await world.get() for _ in range(10)} == {(200, "good")}
            wrong.health = 200
            await soon(lambda: _is(world, "wrong", "healthy"))

    asyncio.run(scenario())


def test_healthy_server_that_fails_its_checks_gets_nothing_until_it_passes_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            one, two = await world.target("one"), await world.target("two")
            await world.carry(a_pool("web", one.server(), two.server()))
            await world.all_are("healthy", "web")
            two.health = 500
            await soon(lambda: _is(world, "two", "unhealthy"))
            assert {await world.get() for _ in range(10)} == {(200, "one")}
            two.health = 200
            await world.all_are("healthy", "web")
            assert {await world.get() for _ in range(10)} == {(200, "one"), (200, "two")}

    asyncio.run(scenario())


def test_all_unhealthy_means_open_to_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            one, two = await world.target("one", health=500), await world.target("two", health=500)
            await world.carry(a_pool("web", one.server(), two.server()))
            await world.all_are("unhealthy", "web")

            async def both_answer() -> bool:
                return {await world.get() for _ in range(10)} == {(200, "one"), (200, "two")}

            await soon(both_answer)
            one.health = 200
            await soon(lambda: _is(world, "one", "healthy"))
            assert {await world.get() for _ in range(10)} == {(200, "one")}

    asyncio.run(scenario())


def test_draining_server_finishes_its_request_and_gets_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            one, two = await world.target("one"), await world.target("two")
            await world.carry(a_pool("web", one.server()))
            await world.all_are("healthy", "web")
            slow = asyncio.create_task(world.get("/slow"))
            await one.arrived.wait()
            assert await world.balancer.sessions("web", one.server().key) == 1
            await world.carry(a_pool("web", one.server(draining=True), two.server()))
            assert (await world.states("web"))["one"] == "draining"
            await soon(lambda: _is(world, "two", "healthy"))
            assert {await world.get() for _ in range(10)} == {(200, "two")}
            assert not slow.done()
            one.let_go.set()
            assert await slow == (200, "one")
            assert await world.balancer.sessions("web", one.server().key) == 0
            await world.carry(a_pool("web", one.server(), two.server()))
            await world.all_are("healthy", "web")

    asyncio.run(scenario())


def test_removed_server_goes_from_haproxy_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            one, two = await world.target("one"), await world.target("two")
            await world.carry(a_pool("web", one.server(), two.server()))
            await world.all_are("healthy", "web")
            assert {await world.get() for _ in range(10)} == {(200, "one"), (200, "two")}
            await world.carry(a_pool("web", two.server()))
            assert set(await world.states("web")) == {"two"}
            await soon(lambda: _has_servers(world, 2))

    asyncio.run(scenario())


def test_no_request_fails_through_eighty_changes_of_servers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            serving = [await world.target(f"t{number}") for number in range(3)]
            await world.carry(a_pool("web", *(each.server() for each in serving)))
            await world.all_are("healthy", "web")
            over = asyncio.Event()
            load = asyncio.create_task(world.load(over))
            for number in range(3, 30):
                new, old = await world.target(f"t{number}"), serving.pop(0)
                serving.append(new)
                staying = [each.server() for each in serving]
                await world.carry(a_pool("web", old.server(), *staying))
                await soon(lambda name=new.name: _is(world, name, "healthy"))  # type: ignore[misc]
                await world.carry(a_pool("web", old.server(draining=True), *staying))
                await soon(lambda key=old.server().key: _is_idle(world, key))  # type: ignore[misc]
                await world.carry(a_pool("web", *staying))
                await old.stop()
            over.set()
            seen = await load
            assert failures(seen) == {}
            assert len(seen) == 30
            assert sum(seen.values()) > 1000
            await soon(lambda: _has_servers(world, 6))

    asyncio.run(scenario())


def test_target_that_dies_under_load_costs_no_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            targets = [await world.target(f"t{number}") for number in range(4)]
            slow = replace(QUICK, interval_seconds=30.0)
            await world.carry(a_pool("web", *(each.server() for each in targets), check=slow))
            await world.all_are("healthy", "web")
            over = asyncio.Event()
            load = asyncio.create_task(world.load(over))
            await targets[0].stop()
            await soon(lambda: _is(world, "t0", "unhealthy"))
            over.set()
            assert failures(await load) == {}

    asyncio.run(scenario())


async def _is(world: World, name: str, state: str) -> bool:
    return (await world.states("web"))[name] == state


async def _is_idle(world: World, key: str) -> bool:
    return await world.balancer.sessions("web", key) == 0


async def _has_servers(world: World, count: int) -> bool:
    rows = await Runtime(world.folder).rows()
    return len([row for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"}]) == count


def test_slow_start_gives_a_new_server_a_growing_share(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            old, new = await world.target("old"), await world.target("new")
            await world.carry(a_pool("web", old.server(), slow_start_seconds=3))
            await world.all_are("healthy", "web")
            await soon(lambda: _has_weights(world, {100}))
            await world.carry(a_pool("web", old.server(), new.server(), slow_start_seconds=3))
            await world.all_are("healthy", "web")
            seen = [(await world.get())[1] for _ in range(50)]
            assert seen.count("new") < 15
            await soon(lambda: _has_weights(world, {100}))
            seen = [(await world.get())[1] for _ in range(50)]
            assert 20 <= seen.count("new") <= 30

    asyncio.run(scenario())


async def _has_weights(world: World, weights: set[int]) -> bool:
    rows = await Runtime(world.folder).rows()
    return {
        int(row["weight"]) for row in rows if row["svname"].startswith("s") and OPEN not in row["svname"]
    } == weights
