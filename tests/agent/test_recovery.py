"""Taking up containers again whose engine does not answer sensibly for all of them."""

from pathlib import Path

from awsorch.agent import recovery
from awsorch.agent.engine import CannotInspectContainerError, EngineUnavailableError
from tests.agent.tasks import a_task
from tests.agent.worlds import World, play


def test_a_container_that_cannot_be_looked_at_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        first, second = a_task(), a_task()
        for task in (first, second):
            await world.run(task)
            await world.reported(task, "RUNNING")
        await world.kill()
        await world.engine.kill(world.container(second)["runtimeId"])
        for _ in range(recovery.LOOKS):
            world.engine.fail_next("inspect", CannotInspectContainerError("the answer was not understood"))
        await world.start()
        await world.reported(second, "STOPPED")
        assert world.statuses(first) == ["RUNNING"]
        await world.stop(first)
        await world.reported(first, "STOPPED")

    play(tmp_path, scenario)


def test_an_engine_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task()
        await world.run(task)
        await world.reported(task, "RUNNING")
        await world.kill()
        await world.engine.kill(world.container(task)["runtimeId"])
        for _ in range(10 * recovery.LOOKS):
            world.engine.fail_next("inspect", EngineUnavailableError("nobody answers"))
        await world.start()
        await world.reported(task, "STOPPED")

    play(tmp_path, scenario)
