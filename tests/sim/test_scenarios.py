"""The controller with a few machines, and one thing going wrong at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.sim.machine import Plan
from tests.support import virtual_time
from tests.support.virtual_time import VirtualTimeLoop
from tests.support.world import World

Scenario = Callable[[World], Awaitable[None]]


def play(scenario: Scenario, seed: int = 1) -> None:
    """A world with a controller; everything must come to rest after the scenario."""

    async def played(loop: VirtualTimeLoop) -> None:
        world = World(loop, seed)
        await world.start_controller()
        await scenario(world)
        await world.settle()

    virtual_time.run(played)


async def a_machine(world: World) -> None:
    machine = world.add_machine()
    await world.until(lambda: machine.agent is not None and machine.agent.session is not None)


def test_a_task_runs_to_its_end() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        (task,) = await world.run_task(plan=Plan(run_s=5.0, exit_code=3))
        await world.until(lambda: world.status_of(task) == "RUNNING")
        await world.until(lambda: world.status_of(task) == "STOPPED")
        stopped = world.state.tasks[task]
        assert stopped.containers[0].exit_code == 3
        assert stopped.stop_code == "EssentialContainerExited"

    play(scenario)
