"""Changes of structure, front ends that cannot be carried, and processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from awsorch.local.balancer.balancer import Balancer
from awsorch.local.balancer.certificates import certificate_files
from awsorch.local.balancer.model import Condition, FixedResponse, Forward, FrontEnd, Rule, Server, Stickiness, Wish
from awsorch.local.balancer.process import CHILD
from awsorch.local.balancer.runtime import BalancerDown, CommandRefused, Runtime
from tests.local.balancer.world import HOST, QUICK, World, a_pool, a_world, failures, free_port, soon


def test_no_request_fails_when_the_structure_changes_under_load(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            targets = [await world.target(name) for name in ("one", "two")]
            pool = a_pool("web", *(each.server() for each in targets))
            await world.carry(pool)
            await world.all_are("healthy", "web")
            over = asyncio.Event()
            load = asyncio.create_task(world.load(over))
            for number in range(8):
                rule = Rule(
                    priority=1,
                    conditions=(Condition(field="path-pattern", values=(f"/{number}",)),),
                    action=FixedResponse(status=200, body=str(number)),
                )
                await world.carry(pool, rules=(rule,))
                assert await world.states("web") == {"one": "healthy", "two": "healthy"}
                assert await world.get(f"/{number}") == (200, str(number))
            over.set()
            seen = await load
            assert failures(seen) == {}
            assert min(seen["one"], seen["two"]) > 100

    asyncio.run(scenario())


def test_unhealthy_server_stays_so_when_the_structure_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            good, bad = await world.target("good"), await world.target("bad", health=500)
            pool = a_pool("web", good.server(), bad.server())
            await world.carry(pool)

            async def are_known() -> bool:
                return await world.states("web") == {"good": "healthy", "bad": "unhealthy"}

            await soon(are_known)
            await world.carry(replace(pool, algorithm="least_outstanding_requests"))
            assert await are_known()
            assert {await world.get() for _ in range(10)} == {(200, "good")}

    asyncio.run(scenario())


def test_request_in_flight_outlives_the_structure_and_is_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target = await world.target("one")
            pool = a_pool("web", target.server())
            await world.carry(pool)
            await world.all_are("healthy", "web")
            slow = asyncio.create_task(world.get("/slow"))
            await target.arrived.wait()
            await world.carry(replace(pool, algorithm="least_outstanding_requests"))
            assert await world.balancer.sessions("web", target.server().key) == 1
            target.let_go.set()
            assert await slow == (200, "one")
            assert await world.balancer.sessions("web", target.server().key) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("whole_group", [True, False])
def test_killed_haproxy_comes_back_as_it_was(tmp_path: Path, whole_group: bool) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            good, bad = await world.target("good"), await world.target("bad", health=500)
            await world.carry(a_pool("web", good.server(), bad.server()))

            async def are_known() -> bool:
                return await world.states("web") == {"good": "healthy", "bad": "unhealthy"}

            await soon(are_known)
            master = world.supervisor.process_id(CHILD)
            assert master is not None
            if whole_group:
                os.killpg(master, signal.SIGKILL)
            else:
                os.kill(master, signal.SIGKILL)
            await soon(lambda: _has_another(world, master))
            await soon(lambda: _answers(world, "good"))
            await soon(are_known)
            assert {await world.get() for _ in range(10)} == {(200, "good")}

    asyncio.run(scenario())


def test_wish_while_haproxy_is_away_is_carried_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            await world.carry(default=FixedResponse(status=200, body="before"))
            master = world.supervisor.process_id(CHILD)
            assert master is not None
            os.killpg(master, signal.SIGSTOP)
            wished = asyncio.create_task(world.carry(default=FixedResponse(status=200, body="after")))
            os.killpg(master, signal.SIGKILL)
            await asyncio.gather(wished, return_exceptions=True)

            await soon(lambda: _answers(world, "after"))

    asyncio.run(scenario())


def test_another_balancer_takes_over_where_one_was_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            one, two = await world.target("one"), await world.target("two")
            await world.carry(a_pool("web", one.server(), two.server()))
            await world.all_are("healthy", "web")
            process = await Runtime(tmp_path).description()
            second = world.balancer = Balancer(tmp_path)
            assert await second.health("web") == {}
            await world.carry(a_pool("web", one.server()))
            assert await Runtime(tmp_path).description() == process
            assert await world.states("web") == {"one": "healthy"}
            assert {await world.get() for _ in range(10)} == {(200, "one")}

    asyncio.run(scenario())


def test_front_end_that_cannot_be_carried_holds_up_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            says = FixedResponse(status=200, body="well")
            good = world.front_end(says)
            with socket.socket() as taken:
                taken.bind((HOST, 0))
                taken.listen(1)
                busy = replace(good, key="busy", port=taken.getsockname()[1])
                twice = replace(good, key="twice")
                nul = replace(good, key="nul", port=free_port(), default=FixedResponse(status=200, body="\0"))
                wrong = replace(good, key="wrong", port=free_port(), protocol="HTTPS", certificates=("none",))
                refused = await world.balancer.apply(Wish(front_ends=(good, busy, twice, nul, wrong)))
                assert set(refused) == {"busy", "twice", "nul", "wrong"}
                assert "in use" in refused["busy"]
                assert await world.get() == (200, "well")
            assert set(await world.balancer.apply(Wish(front_ends=(good, busy)))) == set()
            await world.balancer.apply(Wish())
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(HOST, world.port)

    asyncio.run(scenario())


def test_https_with_a_certificate_of_its_own_and_a_given_one(tmp_path: Path) -> None:
    given = (tmp_path / "elsewhere" / certificate_files(tmp_path / "elsewhere", ())[0]).read_text()

    async def scenario() -> None:
        async with a_world(tmp_path / "here") as world:
            target = await world.target("one")
            pool = a_pool("web", target.server(), check=replace(QUICK, enabled=False))
            own = FrontEnd(
                key="own", address=HOST, port=world.port, protocol="HTTPS", default=Forward(pools=(("web", 1),))
            )
            theirs = replace(own, key="theirs", port=free_port(), certificates=(given,))
            assert await world.balancer.apply(Wish(front_ends=(own, theirs), pools={"web": pool})) == {}
            for front_end in (own, theirs):
                url = f"https://{HOST}:{front_end.port}/"
                async with world.client.get(url, ssl=False) as answer:
                    assert (answer.status, await answer.text()) == (200, "one")
                assert target.headers["X-Forwarded-Proto"] == "https"
            shown = await asyncio.to_thread(ssl.get_server_certificate, (HOST, theirs.port))
            assert shown.strip() in given

    asyncio.run(scenario())


@pytest.mark.parametrize("check", ["HTTPS", "HTTP", "TCP"])
def test_targets_may_speak_tls_and_be_checked_otherwise(tmp_path: Path, check: str) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            plain, target = await world.target("plain"), await world.target("tls", tls=True)
            checked = replace(QUICK, protocol=check, port=plain.port if check == "HTTP" else None)  # type: ignore[arg-type]
            await world.carry(a_pool("web", target.server(), protocol="HTTPS", check=checked))
            await world.all_are("healthy", "web")
            assert await world.get() == (200, "tls")

    asyncio.run(scenario())


def test_server_that_haproxy_refuses_holds_up_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            target = await world.target("one")
            nowhere = Server(key="a", address="no address", port=80)
            with pytest.raises(CommandRefused, match="no address"):
                await world.carry(a_pool("web", nowhere, target.server()))
            await soon(lambda: _answers(world, "one"))

    asyncio.run(scenario())


def test_tcp_passes_bytes_and_is_checked_by_connecting(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    async def scenario() -> None:
        async with a_world(tmp_path) as world:
            server = await asyncio.start_server(echo, HOST, 0)
            port = server.sockets[0].getsockname()[1]
            one = replace((await world.target("x")).server(), key="echo:1", port=port)
            sticky = Stickiness(kind="source_ip")
            pool = a_pool("tcp", one, protocol="TCP", check=replace(QUICK, protocol="TCP"), stickiness=sticky)
            front_end = FrontEnd(
                key="n", address=HOST, port=world.port, protocol="TCP", default=Forward(pools=(("tcp", 1),))
            )
            assert await world.balancer.apply(Wish(front_ends=(front_end,), pools={"tcp": pool})) == {}
            await world.all_are("healthy", "tcp")
            reader, writer = await asyncio.open_connection(HOST, world.port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"HELLO"
            assert await world.balancer.sessions("tcp", "echo:1") == 1
            drained = replace(pool, servers=(replace(one, draining=True),))
            await world.balancer.apply(Wish(front_ends=(front_end,), pools={"tcp": drained}))
            writer.write(b"still")
            assert await reader.readexactly(5) == b"STILL"
            writer.close()
            server.close()

    asyncio.run(scenario())


def test_balancer_without_haproxy_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        balancer = Balancer(tmp_path)
        with pytest.raises(BalancerDown, match="does not answer"):
            await balancer.apply(Wish())
        assert "defaults" in (tmp_path / "haproxy.cfg").read_text()

    asyncio.run(scenario())


async def _has_another(world: World, process: int) -> bool:
    return world.supervisor.process_id(CHILD) not in {None, process}


async def _answers(world: World, text: str) -> bool:
    try:
        return await world.get() == (200, text)
    except OSError:
        return False
