"""What may befall the loop that owns the tasks: an engine that fails or is away, a full disk, death at every commit."""

import asyncio
from pathlib import Path

import pytest

from awsorch.agent.engine import (
    CannotCreateContainerError,
    CannotStartContainerError,
    DockerTimeoutError,
    EngineUnavailableError,
)
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task, short, stop
from tests.agent.worlds import World, play


@pytest.mark.parametrize(
    ("call", "error", "reason"),
    [
        ("create", CannotCreateContainerError("bad"), "CannotCreateContainerError: bad"),
        ("start", CannotStartContainerError("no such file"), "CannotStartContainerError: no such file"),
        ("start", DockerTimeoutError("Could not transition to started; timed out after waiting 180s"), None),
    ],
)
def test_calls_that_fail(tmp_path: Path, call: str, error: Exception, reason: str | None) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        world.engine.fail_next(call, error)  # type: ignore[arg-type]
        task = a_task()
        await world.run(task)
        report = await world.reported(task, "STOPPED")
        assert report["containers"][0]["reason"] == (reason or str(error))

    play(tmp_path, scenario)


@pytest.mark.parametrize("call", ["create", "start"])
def test_an_engine_that_is_away_is_waited_for(tmp_path: Path, call: str) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        for _ in range(3):
            world.engine.fail_next(call, EngineUnavailableError("connection refused"))
        task = a_task()
        await world.run(task)
        await world.reported(task, "RUNNING")
        assert len(world.engine.starts) == 1

    play(tmp_path, scenario)


def test_what_happened_while_the_event_stream_was_broken_is_found(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        died, gone, healthy = a_task(), a_task(), a_task()
        await world.run(died, gone, healthy)
        for task in (died, gone, healthy):
            await world.reported(task, "RUNNING")
        connect = world.engine.disconnect()
        world.engine.end(world.container(died)["runtimeId"], 4)
        await world.engine.remove(world.container(gone)["runtimeId"])
        connect()
        assert (await world.reported(died, "STOPPED"))["containers"][0]["exitCode"] == 4
        assert (await world.reported(gone, "STOPPED"))["containers"][0]["reason"].startswith("ContainerVanishedError")
        assert world.statuses(healthy) == ["RUNNING"]

    play(tmp_path, scenario)


def test_a_start_whose_event_was_lost_is_looked_up(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        world.engine.disconnect()
        task = a_task()
        await world.run(task)
        await world.reported(task, "RUNNING")

    play(tmp_path, scenario)


def test_a_full_disk_starts_nothing_stops_what_it_must_and_recovers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        old, new = a_task(), a_task()
        await world.run(old)
        await world.reported(old, "RUNNING")
        world.store.full = True
        accepted = asyncio.ensure_future(world.run(new))
        stopped = asyncio.ensure_future(world.stop(old))
        await asyncio.sleep(60)
        assert not accepted.done(), "acknowledged, and not stored"
        assert len(world.engine.starts) == 1
        facts = await world.engine.inspect(world.container(old)["runtimeId"])
        assert facts is not None
        assert not facts.is_running
        world.store.full = False
        assert await accepted
        assert await stopped
        await world.reported(new, "RUNNING")
        await world.reported(old, "STOPPED")

    play(tmp_path, scenario)


def test_reports_wait_for_a_controller_that_is_away_and_keep_their_order(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        world.outage = True
        task = a_task(short())
        await world.run(task)
        await asyncio.sleep(300)
        assert world.reports == []
        world.outage = False
        await world.reported(task, "STOPPED")
        assert world.statuses(task) == ["RUNNING", "STOPPED"]

    play(tmp_path, scenario)


def test_unsent_reports_survive_the_agent(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        world.outage = True
        task = a_task(short())
        await world.run(task)
        await asyncio.sleep(30)
        await world.kill()
        world.outage = False
        await world.start()
        await world.reported(task, "STOPPED")
        assert world.statuses(task) == ["RUNNING", "STOPPED"]

    play(tmp_path, scenario)


def test_an_exit_while_no_agent_was_there_is_reported_and_not_restarted(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        policy = acs.RestartPolicy(enabled=True, restart_attempt_period=0)
        task = a_task(short(seconds=100, code=9, restart_policy=policy))
        await world.run(task)
        await world.reported(task, "RUNNING")
        await world.kill()
        await asyncio.sleep(200)
        await world.start()
        assert (await world.reported(task, "STOPPED"))["containers"][0]["exitCode"] == 9

    play(tmp_path, scenario)


def test_containers_of_a_lost_state_file_are_left_alone_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task()
        await world.run(task)
        await world.reported(task, "RUNNING")
        docker_id = world.container(task)["runtimeId"]
        await world.kill()
        for each in tmp_path.iterdir():
            each.unlink()
        assert docker_id not in caplog.text
        await world.start()
        assert f"container {docker_id} belongs to no task of this agent and is left alone" in caplog.text
        facts = await world.engine.inspect(docker_id)
        assert facts is not None
        assert facts.is_running

    play(tmp_path, scenario)


def saves_of_a_life(folder: Path) -> int:
    """How many commits the scenario of the next test makes when nobody dies."""
    saves = 0

    async def scenario(world: World) -> None:
        nonlocal saves
        await world.start()
        await two_containers(world)
        saves = world.store.saves

    play(folder, scenario)
    return saves


async def two_containers(world: World) -> None:
    """A job and a server that waits for it; the server is stopped at the end."""
    waits = (acs.ContainerDependency(container_name="job", condition="SUCCESS"),)
    task = a_task(
        short("job", essential=False),
        a_container("server", depends_on=waits, environment={"SIMULATED_START_SECONDS": "1"}),
        arn="arn:aws:ecs:us-east-1:123456789012:task/c1/ffffffffffffffffffffffffffffffff",
    )
    await until_acknowledged(world, task)
    await or_dead(world, world.reported(task, "RUNNING"))
    await until_acknowledged(world, stop(task))
    await or_dead(world, world.reported(task, "STOPPED"))
    assert sorted(world.engine.starts) == sorted(set(world.engine.starts)), "a container was started twice"
    assert len(world.engine.starts) == 2
    assert world.container(task, "job")["exitCode"] == 0
    assert world.container(task, "server")["exitCode"] == 143
    assert [each for each in world.statuses(task) if each != "PENDING"] == ["RUNNING", "STOPPED"]


async def until_acknowledged(world: World, task: acs.Task) -> None:
    """Send it again after every death, as a controller does."""
    while True:
        accepted = asyncio.ensure_future(world.run(task))
        dead = asyncio.ensure_future(world.store.dead.wait())
        await asyncio.wait((accepted, dead), return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        if accepted.done():
            return
        accepted.cancel()
        await world.kill()
        await world.start()


async def or_dead(world: World, wanted: object) -> None:
    """Wait for it, starting the agent again when it dies meanwhile."""
    future = asyncio.ensure_future(wanted)  # type: ignore[call-overload]
    while not future.done():
        dead = asyncio.ensure_future(world.store.dead.wait())
        await asyncio.wait((future, dead), return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        if not future.done():
            await world.kill()
            await world.start()
    await future


def test_killed_at_any_commit_nothing_is_lost_and_nothing_starts_twice(tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    commits = saves_of_a_life(folder)
    assert commits > 8
    for number in range(1, commits + 1):
        for after in (False, True):

            async def scenario(world: World, number: int = number, after: bool = after) -> None:
                await world.start(dies_at=number, after=after)
                await two_containers(world)

            play(tmp_path / f"{number}-{after}", scenario)
