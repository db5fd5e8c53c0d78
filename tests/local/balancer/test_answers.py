"""What clients and targets are told: the balancer's own answers, headers, and which target is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from awsorch.local.balancer.model import Forward, FrontEnd, HealthCheck, Server, Wish
from tests.local.balancer.world import HOST, QUICK, World, a_pool, a_world, free_port, soon

UNCHECKED = replace(QUICK, enabled=False)


@pytest.mark.parametrize(("servers", "status"), [(0, 503), (1, 502)])
def test_nobody_to_ask_is_503_and_nobody_at_home_502(tmp_path: Path, servers: int, status: int) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            closed = tuple(Server(key=str(each), address=HOST, port=free_port()) for each in range(servers))
            await world.carry(a_pool("web", *closed, check=UNCHECKED))
            async with world.client.get(f"http://{HOST}:{world.port}/") as answer:
                assert answer.status == status
                assert answer.headers["Server"] == "awselb/2.0"
                assert f"<title>{status} " in await answer.text()

    asyncio.run(scenario())


def test_target_that_hangs_up_is_502(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def scenario(world: World, server: Server) -> None:
        await world.carry(a_pool("web", server, check=UNCHECKED))
        assert (await world.get("/", method="POST"))[0] == 502
        assert (await world.get())[0] == 502

    _with_raw_target(tmp_path, hang_up, scenario)


def test_target_that_says_nothing_is_504_after_the_idle_timeout(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def scenario(world: World, server: Server) -> None:
        front_end = replace(world.front_end(Forward(pools=(("web", 1),))), idle_timeout_seconds=1)
        pool = a_pool("web", server, check=UNCHECKED)
        assert await world.balancer.apply(Wish(front_ends=(front_end,), pools={"web": pool})) == {}
        assert (await world.get())[0] == 504

    _with_raw_target(tmp_path, say_nothing, scenario)


def test_checks_that_time_out_say_so(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def scenario(world: World, server: Server) -> None:
        await world.carry(a_pool("web", server))
        await world.all_are("unhealthy", "web")
        found = (await world.balancer.health("web"))[server.key]
        assert (found.reason, found.description) == ("Target.Timeout", "Request timed out")

    _with_raw_target(tmp_path, say_nothing, scenario)


def test_answer_of_the_target_is_passed_on_whatever_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(a_pool("web", (await world.target("one")).server(), check=UNCHECKED))
            for status in (201, 404, 500, 502, 503, 504):
                assert await world.get(f"/?status={status}") == (status, "one")

    asyncio.run(scenario())


def test_target_is_told_who_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target = await world.target("one")
            await world.carry(a_pool("web", target.server(), check=UNCHECKED))
            await world.get("/")
            assert target.headers["X-Forwarded-For"] == HOST
            assert target.headers["X-Forwarded-Proto"] == "http"
            assert target.headers["X-Forwarded-Port"] == str(world.port)
            assert target.headers["Host"] == f"{HOST}:{world.port}"
            root, first, second = target.headers["X-Amzn-Trace-Id"].split("-")
            assert (root, len(first), len(second)) == ("Root=1", 8, 24)
            await world.get("/", headers={"X-Forwarded-For": "1.2.3.4", "X-Amzn-Trace-Id": "Root=mine"})
            assert target.headers["X-Forwarded-For"] == f"1.2.3.4, {HOST}"
            assert target.headers["X-Amzn-Trace-Id"] == "Root=mine"

    asyncio.run(scenario())


def test_least_outstanding_requests_spares_the_busy_target(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            one, two = await world.target("one"), await world.target("two")
            pool = a_pool("web", one.server(), two.server(), check=UNCHECKED, algorithm="least_outstanding_requests")
            await world.carry(pool)
            slow = asyncio.create_task(world.get("/slow"))
            arrivals = [asyncio.create_task(each.arrived.wait()) for each in (one, two)]
            await asyncio.wait(arrivals, return_when=asyncio.FIRST_COMPLETED)
            free = "two" if one.arrived.is_set() else "one"
            assert {await world.get() for _ in range(10)} == {(200, free)}
            for each in (one, two):
                each.arrived.set()
                each.let_go.set()
            await asyncio.gather(slow, *arrivals)

    asyncio.run(scenario())


@pytest.mark.parametrize(("matcher", "state"), [("200-299,418", "healthy"), ("200", "unhealthy")])
def test_matcher_says_which_codes_are_well(tmp_path: Path, matcher: str, state: str) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target = await world.target("teapot", health=418)
            await world.carry(a_pool("web", target.server(), check=replace(QUICK, matcher=matcher)))
            await world.all_are(state, "web")

    asyncio.run(scenario())


def test_check_may_have_a_port_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target, health = await world.target("one"), await world.target("health")
            await world.carry(a_pool("web", target.server(), check=replace(QUICK, port=health.port)))
            await world.all_are("healthy", "web")
            assert (target.checks, health.checks > 0) == (0, True)

    asyncio.run(scenario())


def test_pool_that_nothing_forwards_to_is_unused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            server = (await world.target("one")).server()
            other = a_pool("other", server, replace(server, key="going", draining=True))
            await world.carry(a_pool("web"), other)
            found = await world.balancer.health("other")
            assert found[server.key].reason == "Target.NotInUse"
            assert found["going"].state == "draining"
            assert await world.balancer.health("unknown") == {}

    asyncio.run(scenario())


def test_traffic_is_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(a_pool("web", (await world.target("one")).server(), check=UNCHECKED))
            for status in (200, 200, 404):
                await world.get(f"/?status={status}")

            async def are_counted() -> bool:
                report = await world.balancer.traffic()
                front, pool = report.front_ends["front"], report.pools["web"]
                counted = [(each.requests, each.responses[2], each.responses[4]) for each in (front, pool)]
                return counted == [(3, 2, 1), (3, 2, 1)] and front.requests_per_second > 0

            await soon(are_counted)

    asyncio.run(scenario())


def test_every_load_balancer_has_its_own_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            front_ends, pools = [], {}
            for number in (1, 2):
                target = await world.target(f"t{number}")
                pools[target.name] = a_pool(target.name, target.server(), check=HealthCheck(enabled=False))
                front_ends.append(
                    FrontEnd(
                        key=target.name,
                        address=f"127.0.7.{number}",
                        port=world.port,
                        protocol="HTTP",
                        default=Forward(pools=((target.name, 1),)),
                    )
                )
            assert await world.balancer.apply(Wish(front_ends=tuple(front_ends), pools=pools)) == {}
            for number in (1, 2):
                async with world.client.get(f"http://127.0.7.{number}:{world.port}/") as answer:
                    assert await answer.text() == f"t{number}"

    asyncio.run(scenario())


def _with_raw_target(
    folder: Path,
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    scenario: Callable[[World, Server], Awaitable[None]],
) -> None:
    """Run a scenario with a target that is no web server."""

    async def run() -> None:
        async with a_world(folder) as world:
            listening = await asyncio.start_server(answer, HOST, 0)
            async with listening:
                port = int(listening.sockets[0].getsockname()[1])
                await scenario(world, Server(key="raw", address=HOST, port=port))

    asyncio.run(run())
