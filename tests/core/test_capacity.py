"""Tasks that wait have machines launched for them, as few as it takes; machines that nothing needs are given back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from awsorch.core.errors import Refusal
from awsorch.core.events_capacity import AttachProviders, MachineNotice
from awsorch.core.model import Constraint, StrategyItem
from tests.core.capacity_world import CapacityWorld
from tests.support.builders import a_definition

BIG = a_definition("big", cpu=1024, memory=512)  # two to a machine


@pytest.fixture
def world() -> CapacityWorld:
    return CapacityWorld()


def test_tasks_that_do_not_fit_wait_and_the_group_grows_at_once(world: CapacityWorld) -> None:
    group = world.add_group()
    tasks = world.run(5, definition=BIG)
    assert {task.last_status for task in tasks} == {"PROVISIONING"}
    assert {task.instance_id for task in tasks} == {None}
    assert {task.capacity_provider for task in tasks} == {"cp"}
    assert group.sizes == [3]
    world.pass_time(29)
    assert group.sizes == [3]
    world.pass_time(2)
    assert len(world.tasks("RUNNING")) == 5
    assert group.sizes == [3]
    assert {machine.zone for machine in group.machines.values()} == {"us-east-1a", "us-east-1b", "us-east-1c"}


def test_what_is_coming_counts(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(1, definition=BIG)
    world.pass_time(5)
    world.run(1, definition=BIG)  # fits beside the first
    assert group.sizes == [1]
    world.run(1, definition=BIG)
    assert group.sizes == [1, 2]


def test_what_fits_is_placed_and_only_the_rest_waits(world: CapacityWorld) -> None:
    group = world.add_group(desired=1)
    world.pass_time(31)
    tasks = world.run(3, definition=BIG)
    assert sorted(task.last_status for task in tasks) == ["PENDING", "PENDING", "PROVISIONING"]
    assert group.sizes == [2]


def test_the_group_never_leaves_its_bounds(world: CapacityWorld) -> None:
    group = world.add_group(maximum=2, minimum=1, desired=1)
    world.pass_time(31)
    tasks = world.run(9, definition=BIG)
    world.pass_time(60)
    assert group.sizes == [2]
    assert len(world.tasks("RUNNING")) == 4
    for task in world.tasks("RUNNING"):
        world.finish(task)
    world.pass_time(31)
    for task in world.tasks("RUNNING"):
        world.finish(task)
    world.pass_time(3600)
    assert len(tasks) == 9
    assert len(group.machines) == 1
    assert not world.tasks("PROVISIONING")


def test_step_sizes_hold_for_a_minute(world: CapacityWorld) -> None:
    group = world.add_group(scaling={"minimum_step": 2, "maximum_step": 3})
    world.run(1, definition=BIG)
    assert group.sizes == [2]
    world.run(9, definition=BIG)
    assert group.sizes == [2, 3]
    world.pass_time(61)
    assert group.sizes == [2, 3, 5]


def test_idle_machines_go_after_a_while(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(3, definition=BIG)
    world.pass_time(31)
    for task in world.tasks("RUNNING"):
        world.finish(task)
    world.pass_time(50)
    assert len(group.machines) == 2
    world.pass_time(30)
    assert group.machines == {}
    assert group.desired == 0
    assert not world.state.machines
    assert {i.status for i in world.state.instances.values()} == {"INACTIVE"}


def test_a_machine_that_is_used_again_stays(world: CapacityWorld) -> None:
    group = world.add_group()
    (task,) = world.run(1, definition=BIG)
    world.pass_time(31)
    world.finish(task)
    world.pass_time(40)
    world.run(1, definition=BIG)
    world.pass_time(600)
    assert len(group.machines) == 1


def test_spare_capacity_is_kept_where_the_target_says_so(world: CapacityWorld) -> None:
    group = world.add_group(scaling={"target": 50})
    world.run(4, definition=BIG)
    assert group.sizes == [4]
    world.pass_time(600)
    assert len(group.machines) == 4
    for task in world.tasks("RUNNING")[:2]:
        world.finish(task)


def test_a_task_that_no_machine_has_room_for_launches_nothing(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(1, definition=a_definition("huge", cpu=4096))
    assert group.sizes == []
    world.pass_time(31 * 60)
    (task,) = world.tasks("STOPPED")
    assert task.stop_code == "TaskFailedToStart"
    assert task.stopped_reason == "TaskFailedToStart: EMPTY CAPACITY PROVIDER"


def test_one_machine_tells_whether_an_attribute_is_there(world: CapacityWorld) -> None:
    group = world.add_group()
    wish = Constraint(type="memberOf", expression="attribute:rack == 7")
    world.run(6, definition=BIG, constraints=(wish,))
    assert group.sizes == [1]
    world.pass_time(300)
    assert group.sizes == [1]
    assert {t.waiting.reason for t in world.tasks("PROVISIONING") if t.waiting} <= {
        "MemberOf placement constraint unsatisfied.",
        "EMPTY CAPACITY PROVIDER",
    }


def test_a_refused_launch_falls_over_to_the_next_provider(world: CapacityWorld) -> None:
    first = world.add_group("first", refusal="InsufficientInstanceCapacity")
    second = world.add_group("second")
    world.run(2, StrategyItem(provider="first", weight=1), StrategyItem(provider="second"), definition=BIG)
    world.pass_time(10)
    assert second.sizes == [1]
    assert first.desired == 0
    world.pass_time(60)
    assert {task.capacity_provider for task in world.tasks("RUNNING")} == {"second"}
    assert len(world.tasks("RUNNING")) == 2


def test_a_refused_launch_without_another_provider_is_tried_again(world: CapacityWorld) -> None:
    group = world.add_group(refusal="InsufficientInstanceCapacity")
    world.run(2, definition=BIG)
    world.pass_time(120)
    failure = world.state.providers["cp"].failure
    assert failure is not None
    assert failure.code == "InsufficientInstanceCapacity"
    assert failure.count > 2
    group.refusal = None
    world.pass_time(400)
    assert len(world.tasks("RUNNING")) == 2
    assert world.state.providers["cp"].failure is None


def test_strategies_split_tasks_by_base_and_weight(world: CapacityWorld) -> None:
    world.add_group("one")
    world.add_group("two")
    strategy = (StrategyItem(provider="one", base=1, weight=1), StrategyItem(provider="two", weight=3))
    tasks = world.run(5, *strategy, definition=BIG)
    assert sorted(task.capacity_provider or "" for task in tasks) == ["one"] * 2 + ["two"] * 3


def test_a_terminated_machine_takes_its_tasks_with_it_once(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(2, definition=BIG)
    world.pass_time(31)
    (machine_id,) = group.machines
    world.take(group, machine_id)
    world.submit(MachineNotice(machine=machine_id, kind="terminated"))
    world.submit(MachineNotice(machine=machine_id, kind="terminated"))
    stopped = world.tasks("STOPPED")
    assert {(t.stop_code, t.stopped_reason) for t in stopped} == {
        ("TerminationNotice", f"Host EC2 (instance {machine_id}) terminated.")
    }
    assert len(stopped) == 2


def test_a_machine_that_left_the_group_is_found_out(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(2, definition=BIG)
    world.pass_time(31)
    (machine_id,) = group.machines
    group.desired = 0
    world.take(group, machine_id)
    world.pass_time(60)
    assert len(world.tasks("STOPPED")) == 2
    assert not world.state.machines


def test_interrupted_tasks_say_so(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(1, definition=BIG)
    world.pass_time(31)
    (machine_id,) = group.machines
    world.submit(MachineNotice(machine=machine_id, kind="interruption"))
    (instance,) = world.state.instances.values()
    assert instance.status == "DRAINING"
    world.take(group, machine_id)
    world.submit(MachineNotice(machine=machine_id, kind="terminated"))
    (task,) = world.tasks("STOPPED")
    assert (task.stop_code, task.stopped_reason) == ("SpotInterruption", "Your Spot Task was interrupted.")


def test_an_interrupted_machine_that_is_empty_is_not_replaced_by_its_group(world: CapacityWorld) -> None:
    group = world.add_group()
    world.serve("web", 2, definition=BIG)
    world.pass_time(60)
    (machine_id,) = group.machines
    world.submit(MachineNotice(machine=machine_id, kind="interruption"))
    world.pass_time(100)
    assert group.ended == [machine_id], "its tasks run elsewhere"
    assert (group.desired, len(group.machines)) == (1, 1)
    assert len(world.tasks("RUNNING")) == 2


def test_an_interrupted_machine_of_a_group_at_its_minimum_is_ec2_s_to_take(world: CapacityWorld) -> None:
    group = world.add_group(minimum=1, desired=1)
    world.pass_time(60)
    (machine_id,) = group.machines
    world.submit(MachineNotice(machine=machine_id, kind="interruption"))
    world.pass_time(60)
    assert group.ended == []
    world.take(group, machine_id)
    world.submit(MachineNotice(machine=machine_id, kind="terminated"))
    world.pass_time(60)
    assert (group.desired, len(group.machines)) == (1, 1)


def test_machines_that_never_register_are_replaced(world: CapacityWorld) -> None:
    group = world.add_group(registers=False)
    world.run(1, definition=BIG)
    world.pass_time(299)
    assert group.sizes == [1]
    group.registers = True
    world.pass_time(60)
    assert len(group.ended) == 1
    assert len(world.tasks("RUNNING")) == 1


def test_a_provider_in_use_stays(world: CapacityWorld) -> None:
    world.add_group()
    (task,) = world.run(1, definition=BIG)
    with pytest.raises(Refusal, match="in use"):
        world.submit(AttachProviders(cluster="default", attached=()))
    world.pass_time(31)
    world.finish(task)
    world.submit(AttachProviders(cluster="default", attached=()))
    assert not world.state.providers
    assert not world.state.machines


def test_five_hundred_tasks_may_wait(world: CapacityWorld) -> None:
    world.add_group(maximum=1, boot=1e9)
    for _ in range(50):
        world.run(10, definition=BIG)
    with pytest.raises(Refusal, match="limit of 500 tasks in the PROVISIONING state"):
        world.run(1, definition=BIG)


def test_the_metric_is_ecs_s(world: CapacityWorld) -> None:
    group = world.add_group()
    assert world.published == [100.0]
    world.run(1, definition=BIG)
    world.pass_time(61)
    assert world.published == [100.0, 100.0]
    world.pass_time(60)
    assert len(group.machines) == 1
    for task in world.tasks("RUNNING"):
        world.finish(task)
    world.pass_time(30)
    assert world.published[-1] in (100.0, 0.0)


def test_waiting_tasks_can_be_stopped(world: CapacityWorld) -> None:
    from awsorch.core.events import StopTask

    world.add_group()
    (task,) = world.run(1, definition=BIG)
    stopped = world.submit(StopTask(task_id=task.id))
    assert stopped.last_status == "STOPPED"
    world.pass_time(600)
    assert not world.state.machines
    assert replace(stopped, waiting=None).instance_id is None


def test_a_zone_s_loss_is_replaced_in_the_other_zones(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(6, definition=BIG)
    world.pass_time(31)
    lost = [machine for machine in group.machines.values() if machine.zone == "us-east-1a"]
    for machine in lost:
        world.take(group, machine.id)
        world.submit(MachineNotice(machine=machine.id, kind="terminated"))
    assert len(world.tasks("STOPPED")) == 2 * len(lost)
    world.run(2, definition=BIG)
    world.pass_time(31)
    assert len(world.tasks("RUNNING")) == 6
    assert len(group.machines) == 3


def test_a_size_that_got_lost_is_asked_for_again(world: CapacityWorld) -> None:
    group = world.add_group()
    world.deaf = True
    world.run(1, definition=BIG)
    assert group.desired == 0
    world.deaf = False
    world.pass_time(60)
    assert group.desired == 1
    assert len(world.tasks("RUNNING")) == 1


def test_who_sets_the_size_by_hand_is_respected(world: CapacityWorld) -> None:
    group = world.add_group(minimum=0)
    group.desired = 3
    world.pass_time(120)
    assert group.launched == 3
    world.pass_time(300)
    assert group.machines == {}
