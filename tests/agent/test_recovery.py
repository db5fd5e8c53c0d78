"""Taking up containers again whose engine does not answer sensibly for all of them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from awsorch.agent import recovery
from awsorch.agent.engine import CannotInspectContainerError, EngineUnavailableError
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.wire import acs
from tests.agent.tasks import a_task, short
from tests.agent.worlds import World, play


class LateEngine(SimulatedEngine):
    """A busy engine: one start is carried out when containers are listed, no sooner."""

    _asked = 0
    _due: str | None = None

    def lose(self, late: int) -> asyncio.Event:
        """Be late with that start (from 1); set when it was asked for."""
        self._late, self._is_due = late, asyncio.Event()
        return self._is_due

    async def start(self, container: str) -> None:
        self._asked += 1
        if self._asked == self._late:
            self._due = container
            self._is_due.set()
            await asyncio.Event().wait()
        await super().start(container)

    async def find(self, labels: Mapping[str, str]) -> list[str]:
        if self._due is not None:
            await super().start(self._due)
            self.end(self._due, 0)
        self._due = None
        return await super().find(labels)


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


@pytest.mark.parametrize("late", [1, 2])
def test_a_start_that_is_carried_out_after_the_first_look_is_not_repeated(tmp_path: Path, late: int) -> None:
    async def scenario(world: World) -> None:
        world.engine = engine = LateEngine(clock=world.engine._clock)
        asked_for = engine.lose(late)
        await world.start()
        policy = acs.RestartPolicy(enabled=True, restart_attempt_period=0, ignored_exit_codes=(0,))
        task = a_task(short(seconds=5, code=9, restart_policy=policy))
        await world.run(task)
        await asked_for.wait()
        await world.kill()
        await world.start()
        stopped = await world.reported(task, "STOPPED")
        assert stopped["containers"][0]["exitCode"] == 0
        assert len(engine.starts) == late

    play(tmp_path, scenario)
