"""The controller with a few machines, and one thing going wrong at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from awsorch.core.commands import SendTasks
from awsorch.core.events import AgentDisconnected, StopTask
from tests.sim.door import Door
from tests.sim.machine import Machine, Plan
from tests.sim.network import Unreachable, Weather
from tests.support import virtual_time
from tests.support.builders import a_definition
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
        await world.kill_controller()

    virtual_time.run(played)


async def a_machine(world: World) -> Machine:
    machine = world.add_machine()
    await world.until(lambda: machine.agent is not None and machine.agent.session is not None)
    return machine


def door_of(world: World) -> Door:
    assert world.door is not None
    return world.door


async def a_running_task(world: World, plan: Plan | None = None) -> str:
    (task,) = await world.run_task(plan=plan or Plan())
    await world.until(lambda: world.status_of(task) == "RUNNING")
    return task


def test_a_task_runs_to_its_end() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        task = await a_running_task(world, Plan(run_s=5.0, exit_code=3))
        await world.until(lambda: world.status_of(task) == "STOPPED")
        stopped = world.state.tasks[task]
        assert stopped.containers[0].exit_code == 3
        assert stopped.stop_code == "EssentialContainerExited"

    play(scenario)


def test_a_task_whose_image_is_missing_says_so() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        (task,) = await world.run_task(plan=Plan(pull_fails=True))
        await world.until(lambda: world.status_of(task) == "STOPPED")
        stopped = world.state.tasks[task]
        assert stopped.stop_code == "TaskFailedToStart"
        assert "CannotPullContainerError" in str(stopped.stopped_reason)

    play(scenario)


def test_a_command_that_got_lost_is_given_again() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        lost: list[SendTasks] = []

        def drop(command: object) -> bool:
            if isinstance(command, SendTasks) and len(lost) < 3:
                lost.append(command)
                return True
            return False

        world.drops_command = drop
        task = await a_running_task(world)
        await world.stop_task(task)
        await world.until(lambda: world.status_of(task) == "STOPPED")
        assert len(lost) == 3

    play(scenario)


def test_a_dead_machine_ends_its_tasks_with_the_reason() -> None:
    async def scenario(world: World) -> None:
        machine = await a_machine(world)
        tasks = await world.run_task(8)
        await world.until(lambda: all(world.status_of(task) == "RUNNING" for task in tasks))
        world.kill(machine)
        await world.until(lambda: all(world.status_of(task) == "STOPPED" for task in tasks))
        reasons = {world.state.tasks[task].stopped_reason for task in tasks}
        assert reasons == {"Host EC2 (instance i-001) terminated."}

    play(scenario)


def test_a_silent_agent_is_no_dead_machine() -> None:
    async def scenario(world: World) -> None:
        machine = await a_machine(world)
        task = await a_running_task(world)
        world.cut_off(machine, 120.0)
        await world.until(lambda: not world.state.instances[str(machine.instance_id)].agent_connected)
        assert world.status_of(task) == "RUNNING"

    play(scenario)


def test_what_ended_while_the_agent_was_dead_is_reported_by_the_next() -> None:
    async def scenario(world: World) -> None:
        machine = await a_machine(world)
        task = await a_running_task(world, Plan(run_s=30.0, exit_code=4))
        machine.kill_agent()
        await world.sleep(60.0)
        assert world.status_of(task) == "RUNNING"
        machine.start_agent()
        await world.until(lambda: world.status_of(task) == "STOPPED")
        assert world.state.tasks[task].containers[0].exit_code == 4

    play(scenario)


@pytest.mark.parametrize("verdict", ["before", "after"])
def test_a_failed_commit_is_an_error_and_asking_again_makes_no_second_task(verdict: str) -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        world.store.faults.next_commits = [verdict]
        tasks = await world.run_task(2)
        assert len(tasks) == 2
        assert sorted(world.state.tasks) == sorted(tasks)

    play(scenario)


def test_tasks_run_on_while_the_controller_is_dead() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        stays = await a_running_task(world)
        ends = await a_running_task(world, Plan(run_s=20.0))
        await world.kill_controller()
        await world.sleep(300.0)
        await world.start_controller()
        assert world.status_of(stays) == "RUNNING"
        await world.until(lambda: world.status_of(ends) == "STOPPED")

    play(scenario)


def test_on_a_full_disk_writes_are_refused_reads_go_on_and_it_recovers() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        ended = await a_running_task(world, Plan(run_s=1.0))
        task = await a_running_task(world)
        await world.until(lambda: world.status_of(ended) == "STOPPED")
        world.store.faults.full = True
        # The stopped task falls due to be forgotten meanwhile: the controller's own writing is refused too.
        for _ in range(80):
            with pytest.raises(Unreachable):
                await door_of(world).submit(StopTask(task_id=task))
            assert await door_of(world).read(lambda state: state.tasks[task].desired_status) == "RUNNING"
            await world.sleep(60.0)
        assert world.status_of(ended) == "STOPPED"
        world.store.faults.full = False
        await world.stop_task(task)
        await world.until(lambda: world.status_of(ended) == "MISSING")

    play(scenario)


def test_a_reader_during_a_failing_commit_is_told_what_is_stored() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        task = await a_running_task(world)
        world.store.faults.full = True
        world.store.faults.delay = 1.0
        stopping = world.network.spawn(world.stop_task(task))
        await world.sleep(1.5)
        assert await door_of(world).read(lambda state: state.tasks[task].desired_status) == "RUNNING"
        world.store.faults.full = False
        await stopping

    play(scenario)


def test_what_nobody_waits_for_outlives_a_failed_commit() -> None:
    async def scenario(world: World) -> None:
        machine = await a_machine(world)
        instance_id = str(machine.instance_id)
        machine.kill_agent()
        world.store.faults.full = True
        assert world.controller is not None
        partition = world.controller.clusters[world.cluster]
        session = str(world.state.instances[instance_id].agent_session)
        partition.post(AgentDisconnected(instance_id=instance_id, session=session))
        await world.sleep(100.0)
        assert await door_of(world).read(lambda state: state.instances[instance_id].agent_connected)
        world.store.faults.full = False
        await world.until(lambda: not world.state.instances[instance_id].agent_connected, within=6.0)

    play(scenario)


def test_nothing_is_started_twice_when_every_message_comes_twice() -> None:
    async def scenario(world: World) -> None:
        world.network.weather = Weather(duplication=1.0, delay_s=2.0)
        await a_machine(world)
        tasks = [await a_running_task(world, Plan(run_s=run_s)) for run_s in (None, 0.0, 10.0)]
        await world.stop_task(tasks[0])
        await world.until(lambda: all(world.status_of(task) == "STOPPED" for task in tasks))

    play(scenario)


def test_a_port_is_given_to_one_task_at_a_time() -> None:
    async def scenario(world: World) -> None:
        await a_machine(world)
        web = a_definition("web", port=8080)
        assert len(await world.run_task(3, definition=web, plan=Plan(stop_s=5.0))) == 1
        (first,) = world.state.tasks
        await world.stop_task(first)
        assert await world.run_task(definition=web) == []
        await world.until(lambda: world.status_of(first) == "STOPPED")
        assert len(await world.run_task(definition=web)) == 1

    play(scenario)
