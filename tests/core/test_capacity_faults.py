"""What the fleet's faults taught: planners that come to rest, and machines that are given back whatever happened."""

from __future__ import annotations

import pytest

from awsorch.core.events import DeregisterInstance, Look
from awsorch.core.events_capacity import MachineNotice, MachinesSeen, SeenMachine
from awsorch.core.events_services import ProtectTasks, StopServiceDeployment, UpdateService
from awsorch.core.model import Strategy, TaskDefinition
from awsorch.core.planners.end_machines import EMPTYING_S
from tests.core.capacity_world import CapacityWorld
from tests.support.builders import a_definition, an_offer

BIG = a_definition("big", cpu=1024, memory=512)  # two to a machine
SMALL, LARGE = a_definition("small", cpu=512, memory=256), a_definition("large", cpu=1536, memory=512)


@pytest.mark.parametrize("later", [60.0, 1000.0])
def test_a_limited_step_after_an_earlier_one_is_looked_at_in_a_minute_and_not_at_once(later: float) -> None:
    world = CapacityWorld()
    group = world.add_group(maximum=1, scaling={"maximum_step": 2})
    world.run(1, definition=BIG)
    world.pass_time(later)
    world.run(12, definition=BIG)
    group.maximum = 9
    world.pass_time(200)
    assert group.desired == 7
    assert group.sizes == [1, 3, 5, 7]


def test_a_machine_whose_service_can_replace_nothing_is_not_emptied_and_idle_ones_go() -> None:
    world = CapacityWorld(settle_seconds=1.0)
    group = world.add_group()
    world.serve("web", 4, BIG, strategies=(Strategy(type="spread", field="instanceId"),))
    world.pass_time(120)
    fixed = {"maximumPercent": 100, "minimumHealthyPercent": 100, "strategy": "ROLLING"}
    world.submit(UpdateService(name="web", changes={"configuration": fixed, "desired_count": 2}))
    world.pass_time(300)
    assert len(group.machines) == 2
    assert {instance.status for instance in world.state.instances.values()} == {"ACTIVE"}
    tasks = world.run(4, definition=BIG)
    world.pass_time(60)
    for task in tasks:
        world.finish(task)
    world.pass_time(300)
    assert len(group.machines) == 2
    assert len(world.tasks("RUNNING")) == 2


def test_a_machine_whose_service_starts_nothing_is_not_emptied() -> None:
    world = CapacityWorld(settle_seconds=1.0)
    group = world.add_group(maximum=2)
    world.serve("web", 5, BIG, strategies=(Strategy(type="spread", field="instanceId"),))
    world.pass_time(120)
    (rollout,) = world.state.service_deployments.values()
    world.submit(StopServiceDeployment(service="web", id=rollout.id))
    world.scale("web", 2)
    world.pass_time(900)
    assert len(group.machines) == 2
    assert {instance.status for instance in world.state.instances.values()} == {"ACTIVE"}


def test_a_machine_that_does_not_get_empty_is_kept_and_idle_ones_go() -> None:
    world = CapacityWorld(settle_seconds=1.0)
    group = world.add_group()
    world.serve("web", 4, BIG, strategies=(Strategy(type="spread", field="instanceId"),))
    world.pass_time(120)
    world.scale("web", 2)
    world.pass_time(10)
    drain_one(world)
    world.submit(ProtectTasks(task_ids=tuple(task.id for task in world.tasks("RUNNING")), until=world.now + 86400))
    world.pass_time(EMPTYING_S - 60)
    assert statuses(world) == ["ACTIVE", "DRAINING"]
    world.pass_time(120)
    assert statuses(world) == ["ACTIVE", "ACTIVE"]
    for task in world.run(4, definition=BIG):
        world.pass_time(40)
        world.finish(task)
    world.pass_time(200)
    assert len(group.machines) == 2, "those that came for the other tasks are gone"
    assert statuses(world)[:2] == ["ACTIVE", "ACTIVE"]


def drain_one(world: CapacityWorld) -> None:
    """Until it is decided that one of the machines goes, and no further."""
    for _ in range(600):
        world.now += 1.0
        world.step_once(Look(planner="end_machines", subject="cp"))
        if "DRAINING" in statuses(world):
            return
    raise AssertionError("both machines are kept")


def statuses(world: CapacityWorld) -> list[str]:
    return sorted(instance.status for instance in world.state.instances.values())


@pytest.mark.parametrize("registers", [True, False])
def test_a_bought_machine_that_is_interrupted_is_forgotten_when_ec2_took_it_without_a_word(registers: bool) -> None:
    world = CapacityWorld()
    world.add_managed(an_offer(instance_type="m5.large", cpu=2048, memory=7700))
    (task,) = world.run(1, definition=BIG)
    (machine_id,) = world.bought
    if registers:
        world.pass_time(31)
        world.finish(task)
        (instance_id,) = world.state.instances_by_ec2_id[machine_id]
        world.submit(DeregisterInstance(instance_id=instance_id, force=True))
    world.boots.clear()
    running = SeenMachine(id=machine_id, zone="", instance_type="", state="running")
    world.submit(MachinesSeen(provider="cp", machines=(running,)))
    world.submit(MachineNotice(machine=machine_id, kind="interruption"))
    world.over.add(machine_id)
    world.pass_time(60)
    assert machine_id not in world.state.machines


@pytest.mark.parametrize("large", [4, 12])
def test_small_tasks_that_came_first_leave_the_large_ones_room(large: int) -> None:
    world = CapacityWorld()
    group = world.add_group(maximum=40)
    world.run(2 * large, definition=SMALL)
    world.run(large, definition=LARGE)
    least = large + large // 4  # a large and a small one each, four of the other small ones to a machine
    assert group.desired == least
    world.pass_time(300)
    assert len(world.tasks("RUNNING")) == 3 * large
    assert group.sizes[-1] == least


@pytest.mark.parametrize(("waited", "first"), [(30.0, LARGE), (600.0, SMALL)])
def test_what_has_waited_for_long_goes_before_what_is_larger(waited: float, first: TaskDefinition) -> None:
    world = CapacityWorld()
    world.add_group(maximum=1)
    (whole,) = world.run(1, definition=a_definition("whole", cpu=2048, memory=512))
    world.pass_time(31)
    world.run(2, definition=SMALL)
    world.pass_time(waited)
    world.run(1, definition=LARGE)
    world.run(1, definition=SMALL)
    world.finish(whole)
    world.pass_time(10)
    assert [task.family for task in world.tasks("RUNNING")].count(first.family) == (1 if first is LARGE else 3)


def test_a_machine_whose_agent_comes_up_while_it_is_being_ended_gets_no_task() -> None:
    world = CapacityWorld()
    offer = an_offer(instance_type="m5.large", cpu=2048, memory=7700)
    world.add_managed(offer)
    world.run(1, definition=BIG)
    (machine_id,) = world.bought
    world.boots.clear()
    world.deaf = True  # the order to end it is under way
    world.pass_time(310)
    world.register(SeenMachine(id=machine_id, zone="us-east-1a", instance_type="m5.large", state="running"), offer)
    assert [instance.status for instance in world.state.instances.values()] == ["DRAINING"]
    assert {task.last_status for task in world.state.tasks.values()} == {"PROVISIONING"}
    world.deaf = False
    world.pass_time(120)
    assert world.ended == [machine_id, *world.ended[1:]]
    assert len(world.tasks("RUNNING")) == 1


def test_a_maximum_that_is_lowered_before_a_size_was_seen_holds() -> None:
    world = CapacityWorld()
    group = world.add_group(maximum=8)
    world.deaf = True
    world.run(12, definition=BIG)
    group.maximum = 3
    world.deaf = False
    world.pass_time(120)
    assert group.sizes == [3]
    assert group.desired == 3
