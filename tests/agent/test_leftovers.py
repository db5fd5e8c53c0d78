"""What is removed of what piles up on a host, when, and what never is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent.engine import INSTANCE_LABEL, CreateArguments, EngineError
from awsorch.agent.leftovers import Leftovers, clean_for_ever
from tests.agent.tasks import a_task, short
from tests.agent.worlds import PLACE, World, play

HOUR = 3600.0


def clean_untracked(world: World, **settings: Any) -> None:
    """The next agent cleans up after others, too."""
    engine = replace(world.settings.engine, **{"untracked_cleanup": True, **settings})
    world.settings = replace(world.settings, engine=engine)


async def a_stopped_container(world: World, name: str, **labels: str) -> str:
    environment = ["SIMULATED_RUN_SECONDS=1"]
    body = {"Image": "other", "Labels": labels, "Env": environment}
    docker_id = await world.engine.create(CreateArguments(name=name, body=body))
    await world.engine.start(docker_id)
    await asyncio.sleep(2)
    return docker_id


def test_others_containers_go_a_while_after_they_stopped_and_only_if_that_is_wanted(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        await a_stopped_container(world, "other")
        running = CreateArguments(name="running", body={"Image": "other"})
        await world.engine.start(await world.engine.create(running))
        await asyncio.sleep(HOUR)
        assert await Leftovers(world.around).clean() == []
        clean_untracked(world)
        await world.kill()
        await world.start()
        await a_stopped_container(world, "young")
        assert await Leftovers(world.around).clean() == ["container other"]
        assert len(await world.engine.find({})) == 2

    play(tmp_path, scenario)


def test_tasks_containers_and_those_of_other_agents_stay(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        clean_untracked(world, cleanup_wait=600.0)
        await world.start()
        task = a_task(short())
        await world.run(task)
        await world.reported(task, "STOPPED")
        await a_stopped_container(world, "neighbour", **{INSTANCE_LABEL: "arn:another"})
        await a_stopped_container(world, "stranger", **{INSTANCE_LABEL: PLACE.instance_arn})
        await asyncio.sleep(590)
        assert await Leftovers(world.around).clean() == []
        await asyncio.sleep(HOUR)
        assert await Leftovers(world.around).clean() == ["container stranger"]

    play(tmp_path, scenario)


def test_the_one_that_ended_first_goes_first_and_so_many_at_once(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        clean_untracked(world, containers_per_cleanup=2)
        await world.start()
        for name in ("c", "a", "b"):
            await a_stopped_container(world, name)
        await asyncio.sleep(HOUR)
        leftovers = Leftovers(world.around)
        assert await leftovers.clean() == ["container c", "container a"]
        assert await leftovers.clean() == ["container b"]

    play(tmp_path, scenario)


def test_images_of_tasks_and_excluded_ones_stay_and_the_others_go_oldest_first(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        clean_untracked(world, images_per_cleanup=2, untracked_excluded=("kept:latest",))
        await world.start()
        for name in ("old", "kept", "docker.io/library/simulated:latest", "older", "young"):
            await world.engine.pull(name, None)
            await asyncio.sleep(1)
        await world.run(a_task(short(seconds=3 * HOUR)))
        await asyncio.sleep(HOUR)
        await world.engine.pull("new", None)
        leftovers = Leftovers(world.around)
        assert await leftovers.clean() == ["image old", "image older"]
        assert await leftovers.clean() == ["image young"]
        assert await leftovers.clean() == []

    play(tmp_path, scenario)


def test_what_is_in_use_or_cannot_be_looked_at_is_left_for_the_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World) -> None:
        clean_untracked(world)
        await world.start()
        await a_stopped_container(world, "other")
        await world.engine.pull("image", None)
        await asyncio.sleep(HOUR)
        leftovers = Leftovers(world.around)
        world.engine.fail_next("find", EngineError("away"))
        assert await leftovers.clean() == []
        assert "away" in caplog.text
        world.engine.fail_next("remove", EngineError("busy"))
        world.engine.fail_next("remove_image", EngineError("in use"))
        assert await leftovers.clean() == []
        assert await leftovers.clean() == ["container other", "image image"]

    play(tmp_path, scenario)


def test_cached_images_are_kept_where_they_are_preferred(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        clean_untracked(world, pull_behavior="prefer-cached")
        await world.start()
        await a_stopped_container(world, "other")
        await asyncio.sleep(HOUR)
        assert await Leftovers(world.around).clean() == []

    play(tmp_path, scenario)


def test_it_is_done_again_and_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        clean_untracked(world, image_cleanup_interval=1800.0)
        await world.start()
        cleaning = asyncio.create_task(clean_for_ever(world.around))
        for name in ("one", "two"):
            await a_stopped_container(world, name)
            await asyncio.sleep(HOUR)
            assert await world.engine.inspect(name) is None
        cleaning.cancel()

    play(tmp_path, scenario)
