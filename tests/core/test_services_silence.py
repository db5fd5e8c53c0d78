"""Services do not wait for machines that fall silent; what comes back is reconciled, once."""

from __future__ import annotations

from awsorch.core import events
from awsorch.core.events_capacity import MachinesSeen, SeenMachine
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
