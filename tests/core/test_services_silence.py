"""Services do not wait for machines that fall silent; what comes back is reconciled, once."""

from __future__ import annotations

from awsorch.core import events
from awsorch.core.commands import SendTasks
from awsorch.core.events_capacity import MachinesSeen, SeenMachine
from awsorch.core.model import Task
from awsorch.core.wakes import RETENTION_S
from awsorch.gateway.assignments import manifest_of, unsettled_tasks
from tests.support.service_world import ServiceWorld


def steady_world(instances: int = 4) -> ServiceWorld:
    world = ServiceWorld(instances=instances)
    world.create(count=4)
    world.run(600, until=world.steady)
    return world


def silence(world: ServiceWorld, instance_id: str) -> None:
    session = world.state.instances[instance_id].agent_session or ""
    world.act(events.AgentDisconnected(instance_id=instance_id, session=session))


def test_tasks_of_a_silent_instance_are_replaced_after_a_while() -> None:
    world = steady_world()
    victim = world.tasks()[0]
    assert victim.instance_id is not None
    silence(world, victim.instance_id)
    world.run(4)
    assert victim.id in {task.id for task in world.tasks()}
    world.run(4)
    stopped = world.state.tasks[victim.id]
    assert stopped.last_status == "STOPPED"
    assert stopped.stop_code == "InfrastructureHealth"
    assert stopped.stopped_reason == f"The agent of container instance {victim.instance_id} is disconnected."
    world.run(60, until=lambda: len(world.tasks()) == 4)
    assert victim.instance_id not in {task.instance_id for task in world.tasks()}
    assert world.primary().failed_tasks == 0


def test_an_agent_that_is_back_in_time_keeps_its_tasks() -> None:
    world = steady_world()
    before = {task.id for task in world.tasks()}
    instance_id = world.tasks()[0].instance_id or ""
    silence(world, instance_id)
    world.run(3)
    world.act(events.AgentConnected(instance_id=instance_id, session="again"))
    world.run(60)
    assert {task.id for task in world.tasks()} == before


def test_when_most_are_silent_nothing_is_replaced_at_first() -> None:
    world = steady_world()
    before = {task.id for task in world.tasks()}
    for instance_id in list(world.state.instances)[:3]:
        silence(world, instance_id)
    world.run(200)
    assert {task.id for task in world.tasks()} == before
    world.run(150)
    assert not before & {task.id for task in world.tasks()} - {
        task.id for task in world.tasks() if task.instance_id == list(world.state.instances)[3]
    }


def test_a_terminated_machine_does_not_wait_for_the_silence() -> None:
    world = steady_world()
    victim = world.tasks()[0]
    instance = world.state.instances[victim.instance_id or ""]
    machine = instance.ec2_instance_id or ""
    silence(world, instance.id)
    seen = SeenMachine(id=machine, zone="", instance_type="", state="terminated")
    world.act(MachinesSeen(provider=None, machines=(seen,)))
    world.run(1)
    assert world.state.tasks[victim.id].stopped_reason == f"Host EC2 (instance {machine}) terminated."
    assert world.state.instances[instance.id].status == "INACTIVE"


def given_up(world: ServiceWorld) -> Task:
    """A task whose instance fell silent, after others took its place."""
    victim = world.tasks()[0]
    silence(world, victim.instance_id or "")
    world.run(60, until=lambda: world.state.tasks[victim.id].last_status == "STOPPED")
    world.run(60, until=lambda: len(world.tasks()) == 4)
    return world.state.tasks[victim.id]


def cpu_left(world: ServiceWorld, instance_id: str) -> int:
    return world.state.fleet.free(instance_id).cpu


def come_back(world: ServiceWorld, instance_id: str, session: str = "again") -> None:
    world.act(events.AgentConnected(instance_id=instance_id, session=session))


def test_what_a_silent_instance_may_still_run_keeps_its_room_until_its_agent_says_that_it_ended() -> None:
    world = steady_world()
    instance_id = world.tasks()[0].instance_id or ""
    before = cpu_left(world, instance_id)
    task = given_up(world)
    assert cpu_left(world, instance_id) == before
    told: list[SendTasks] = []
    world.drops = lambda command: isinstance(command, SendTasks) and (told.append(command) or True)
    come_back(world, instance_id)
    world.run(60)
    assert {task.id} <= {id for command in told for id in command.task_ids or ()}, "it is not told to stop what it runs"
    assert cpu_left(world, instance_id) == before
    world.act(events.TaskReported(task_id=task.id, status="RUNNING"))
    assert cpu_left(world, instance_id) == before
    world.act(events.TaskReported(task_id=task.id, status="STOPPED"))
    assert cpu_left(world, instance_id) == before + task.demand.cpu
    assert world.state.tasks[task.id].stopped_at == task.stopped_at, "it is reported as stopped twice"


def test_an_agent_that_is_back_is_told_what_was_given_up_and_frees_it() -> None:
    world = steady_world()
    instance_id = world.tasks()[0].instance_id or ""
    before = cpu_left(world, instance_id)
    task = given_up(world)
    assert unsettled_tasks(world.state, instance_id, None)[task.id].desired_status == "STOPPED"
    assert task.arn not in {each.task_arn for each in manifest_of(world.state, instance_id)}
    come_back(world, instance_id)
    world.run(60, until=lambda: cpu_left(world, instance_id) == before + task.demand.cpu)
    assert not world.state.fleet.held_on(instance_id)


def test_what_is_given_up_is_forgotten_only_after_its_room_is_free() -> None:
    world = steady_world()
    task = given_up(world)
    instance_id = task.instance_id or ""
    world.run(2 * RETENTION_S)
    assert task.id in world.state.tasks
    come_back(world, instance_id)
    world.run(60, until=lambda: not world.state.fleet.held_on(instance_id))
    world.run(RETENTION_S)
    assert task.id not in world.state.tasks


def test_room_of_what_was_given_up_goes_with_its_instance() -> None:
    world = steady_world()
    task = given_up(world)
    instance_id = task.instance_id or ""
    world.act(events.DeregisterInstance(instance_id=instance_id, force=True))
    world.run(5)
    assert not world.state.tasks[task.id].held
    world.run(2 * RETENTION_S)
    assert instance_id not in world.state.instances
    assert task.id not in world.state.tasks
