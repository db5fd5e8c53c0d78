"""Outages on a fleet in memory, in virtual time, and the way from the controller's process to the fleet's."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from awsorch.api.auth import Authenticator
from awsorch.core.arn import Scope
from awsorch.local.fleet import Fleet
from awsorch.local.instances import FleetFile, LocalInstance
from awsorch.local.outages import Outages
from awsorch.local.outages_door import OutagesDoor
from awsorch.local.outages_line import Desk, Line
from awsorch.local.outages_sockets import hang_up
from awsorch.local.refusal import Refused
from tests.local.fakes import FakeEc2, FakeEvents, FakeHosts
from tests.local.serving import fronting
from tests.support import virtual_time

NOBODY = "i-00000000000000000"


class Stage:
    """Three instances and what can befall them; `looks` counts how often the fleet was asked to look."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.file = FleetFile(folder / "fleet.json")
        self.ec2, self.hosts, self.events = FakeEc2(), FakeHosts(), FakeEvents()
        self.clock = clock
        self.looks = 0
        self.fleet = self.open_fleet()

    def open_fleet(self) -> Fleet:
        return Fleet(file=self.file, ec2=self.ec2, hosts=self.hosts, events=self.events, prefix="127.44")

    def open_outages(self) -> Outages:
        def look() -> None:
            self.looks += 1

        return Outages(
            fleet=self.fleet, ec2=self.ec2, hosts=self.hosts, events=self.events, changed=look, clock=self.clock
        )

    @property
    def first(self) -> LocalInstance:
        return self.fleet.instances[0]


def play(folder: Path, scene: Callable[[Stage, Outages], Coroutine[Any, Any, None]]) -> None:
    """Run a scene while the outages are kept, in virtual time."""

    async def run(loop: virtual_time.VirtualTimeLoop) -> None:
        stage = Stage(folder, loop.clock)
        await stage.fleet.bring_back()
        await stage.fleet.grow(3, "t3.medium", "default")
        outages = stage.open_outages()
        keeping = asyncio.create_task(outages.keep())
        try:
            await scene(stage, outages)
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    virtual_time.run(run)


def test_an_interrupted_instance_has_notice_and_goes_when_the_time_is_up(tmp_path: Path) -> None:
    async def scene(stage: Stage, outages: Outages) -> None:
        one = stage.first
        at = await outages.interrupt(one.id, 120)
        assert at == stage.clock() + 120
        assert stage.hosts.on[one.id].ends_at == at, "its metadata shows the notice"
        assert stage.events.told == [(one.id, "interruption: terminate")]
        await asyncio.sleep(119)
        assert (stage.ec2.instances[one.id].state, stage.looks) == ("running", 0)
        await asyncio.sleep(2)
        assert (stage.ec2.instances[one.id].state, stage.looks) == ("terminated", 1)
        await stage.fleet.look()
        assert stage.events.told[1:] == [(one.id, "shutting-down"), (one.id, "terminated")]
        assert stage.hosts.disposed == [one.id]
        assert len(stage.fleet.instances) == 2

    play(tmp_path, scene)


def test_an_interruption_outlives_the_process_and_an_ec2_that_is_down(tmp_path: Path) -> None:
    async def scene(stage: Stage, outages: Outages) -> None:
        await outages.interrupt(stage.first.id, 30)
        stage.fleet = stage.open_fleet()
        one = stage.first
        stage.ec2.down = True
        again = asyncio.create_task(stage.open_outages().keep())
        await asyncio.sleep(40)
        assert stage.ec2.instances[one.id].state == "running"
        stage.ec2.down = False
        await asyncio.sleep(1.5)
        assert stage.ec2.instances[one.id].state == "terminated"
        again.cancel()

    play(tmp_path, scene)


def test_a_cut_ends_by_itself_or_when_somebody_says_so(tmp_path: Path) -> None:
    async def scene(stage: Stage, outages: Outages) -> None:
        one, two, _ = stage.fleet.instances
        assert await outages.cut(one.id, 30) == stage.clock() + 30
        assert await outages.cut(two.id, None) is None
        await asyncio.sleep(29)
        assert stage.hosts.cut_off == {one.id, two.id}
        await asyncio.sleep(2)
        assert stage.hosts.cut_off == {two.id}
        await asyncio.sleep(86400)
        assert stage.hosts.cut_off == {two.id}
        await outages.uncut(two.id)
        await outages.uncut(two.id)
        assert stage.hosts.cut_off == set()

    play(tmp_path, scene)


def test_a_killed_instance_is_terminated_and_a_rebooted_one_comes_back(tmp_path: Path) -> None:
    async def scene(stage: Stage, outages: Outages) -> None:
        one, two, three = stage.fleet.instances
        await outages.kill(one.id)
        assert stage.hosts.crashed == [one.id]
        assert (stage.ec2.instances[one.id].state, stage.looks) == ("terminated", 1)
        stage.ec2.set_state(three.id, "stopped")
        await stage.fleet.look()
        stage.hosts.crashed.clear()
        await outages.reboot([two.id, three.id, NOBODY])
        assert stage.hosts.crashed == [two.id]
        assert set(stage.hosts.on) == {two.id}
        assert stage.fleet.find(two.id) == two

    play(tmp_path, scene)


def test_what_is_not_there_or_does_not_run_is_refused(tmp_path: Path) -> None:
    async def scene(stage: Stage, outages: Outages) -> None:
        one, two, _ = stage.fleet.instances
        for outage in (
            outages.interrupt(NOBODY, 1),
            outages.cut(NOBODY, 1),
            outages.uncut(NOBODY),
            outages.kill(NOBODY),
        ):
            with pytest.raises(Refused, match=r"InvalidInstanceID\.NotFound: The instance ID 'i-0+' does not exist"):
                await outage
        stage.ec2.set_state(one.id, "stopped")
        await stage.fleet.look()
        for outage in (outages.interrupt(one.id, 1), outages.cut(one.id, 1)):
            with pytest.raises(Refused, match=r"IncorrectInstanceState: .* is stopped, not running"):
                await outage
        stage.hosts.no_cut = {two.id}
        with pytest.raises(Refused, match="does not run now"):
            await outages.cut(two.id, 1)
        await asyncio.sleep(5)
        assert stage.ec2.instances[two.id].state == "running"

    play(tmp_path, scene)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path, lambda: 1_800_000_000.0)

    async def grow() -> None:
        await stage.fleet.bring_back()
        await stage.fleet.grow(3, "t3.medium", "default")

    asyncio.run(grow())
    return stage


def over_the_line(stage: Stage, scene: Callable[[str], Coroutine[Any, Any, None]], *, local: bool = True) -> None:
    """Run a scene with the URL of a controller's door, the fleet at the other end of the line."""

    async def run() -> None:
        line = Line()
        serving = asyncio.create_task(line.serve(stage.open_outages()))
        desk = Desk.open(str(os.dup(line.theirs)) if local else "")
        scope = Scope(region="us-east-1", account="123456789012")
        async with fronting(OutagesDoor(Authenticator(scope, None), desk).handle) as url:
            await scene(url)
        if desk is not None:
            desk.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        line.close()

    asyncio.run(asyncio.wait_for(run(), 20))


async def post(url: str, path: str, **more: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/awsorch/local/{path}", **more) as answer:
        return answer.status, await answer.json()


def test_the_fleet_plays_what_the_door_is_asked_for(stage: Stage) -> None:
    async def scene(url: str) -> None:
        one = stage.first.id
        assert await post(url, f"instances/{one}/interrupt", json={"seconds": 60}) == (
            200,
            {"instanceId": one, "outage": "interrupt", "endsAt": "2027-01-15T08:01:00+00:00"},
        )
        assert await post(url, f"instances/{one}/cut") == (200, {"instanceId": one, "outage": "cut"})
        assert stage.hosts.cut_off == {one}
        assert (await post(url, f"instances/{one}/uncut"))[0] == 200
        assert stage.hosts.cut_off == set()
        assert (await post(url, f"instances/{one}/kill"))[0] == 200
        assert stage.hosts.crashed == [one]

    over_the_line(stage, scene)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (f"instances/{NOBODY}/cut", b"", 400, "InvalidInstanceID.NotFound"),
        (f"instances/{NOBODY}/explode", b"", 400, "UnknownOperationException"),
        ("instances", b"", 400, "UnknownOperationException"),
        (f"instances/{NOBODY}/cut", b'{"seconds": -1}', 400, "InvalidParameterException"),
        (f"instances/{NOBODY}/cut", b'{"minutes": 1}', 400, "InvalidParameterException"),
        (f"instances/{NOBODY}/cut", b"30s", 400, "InvalidParameterException"),
    ],
)
def test_what_makes_no_sense_is_refused(stage: Stage, path: str, body: bytes, status: int, code: str) -> None:
    async def scene(url: str) -> None:
        answered, answer = await post(url, path, data=body)
        assert (answered, answer["__type"]) == (status, code)

    over_the_line(stage, scene)


def test_a_part_that_fails_is_an_error_that_may_be_tried_again(stage: Stage) -> None:
    async def scene(url: str) -> None:
        stage.ec2.down = True
        answer = {"__type": "ServiceUnavailable", "message": "EC2 is down"}
        assert await post(url, f"instances/{stage.first.id}/kill") == (503, answer)

    over_the_line(stage, scene)


def test_outside_a_local_cloud_nothing_is_played(stage: Stage) -> None:
    async def scene(url: str) -> None:
        status, answer = await post(url, f"instances/{NOBODY}/kill")
        assert (status, answer["__type"]) == (400, "UnsupportedFeatureException")
        assert "awsorch up" in answer["message"]

    over_the_line(stage, scene, local=False)


def test_what_a_controller_asked_that_is_gone_is_not_taken_for_another_answer(stage: Stage) -> None:
    async def run() -> None:
        line, one = Line(), stage.first.id
        first = Desk(os.dup(line.theirs))
        gone = asyncio.create_task(first.ask("interrupt", one, 60))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        first.close()
        serving = asyncio.create_task(line.serve(stage.open_outages()))
        second = Desk(os.dup(line.theirs))
        with pytest.raises(Refused, match="NotFound"):
            await second.ask("cut", NOBODY, None)
        assert stage.first.ends_at is not None, "it was asked for all the same"
        second.reboot([one])
        with pytest.raises(Refused, match="NotFound"):
            await second.ask("cut", NOBODY, None)
        assert stage.hosts.crashed == [one]
        second.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        line.close()

    asyncio.run(asyncio.wait_for(run(), 20))


TALKS = """
import socket, sys
both = [socket.create_connection(("127.0.0.1", int(port))) for port in sys.argv[1:]]
print("connected", flush=True)
print([each.recv(1) for each in both[:1]], flush=True)
sys.stdin.read()
"""


def test_the_connections_of_a_process_to_one_port_end_without_its_doing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (door, other)]
        with subprocess.Popen(
            [sys.executable, "-c", TALKS, *map(str, ports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"connected\n"
            with door.accept()[0] as cut, other.accept()[0] as kept:
                assert hang_up(process.pid, ports[0]) == 1
                cut.settimeout(10)
                assert cut.recv(1) == b"", "the other side sees the end"
                assert process.stdout.readline() == b"[b'']\n", "so does the process"
                kept.setblocking(False)
                with pytest.raises(BlockingIOError):
                    kept.recv(1)
            process.communicate(b"", timeout=10)
