"""Managed machines are replaced when they are old: in good time, not all at once, in the end whatever runs there."""

from __future__ import annotations

from awsorch.core.capacity.lifetime import DAY_S
from awsorch.core.events_services import ProtectTasks
from awsorch.core.model import Strategy
from tests.core.capacity_world import CapacityWorld
from tests.support.builders import a_definition, an_offer

OFFER = an_offer(instance_type="m5.large", cpu=2048, memory=7700, price=0.096)
WHOLE = a_definition("whole", cpu=2048, memory=512)


def a_world(**managed: object) -> CapacityWorld:
    world = CapacityWorld(settle_seconds=1.0)
    world.add_managed(OFFER, infrastructureOptimization={"scaleInAfter": 300}, **managed)
    return world


def running(world: CapacityWorld) -> set[str]:
    return {task.id for task in world.tasks("RUNNING")}


def skip(world: CapacityWorld, seconds: float) -> None:
    """Let time pass in which nothing happens: what falls due meanwhile is looked at once, at its end."""
    world.now += seconds
    world.pass_time(60)


def test_a_service_s_machine_is_replaced_after_two_weeks_and_nothing_is_missing_meanwhile() -> None:
    world = a_world()
    world.serve("web", 1, WHOLE)
    world.pass_time(60)
    (first,) = world.bought
    skip(world, 14 * DAY_S - 180)
    assert world.ended == []
    for _ in range(30):
        world.pass_time(30)
        assert len(running(world)) >= 1
    assert world.ended == [first]
    assert len(world.bought) == 2
    assert len(running(world)) == 1


def test_a_fleet_is_not_replaced_at_once() -> None:
    world = a_world()
    world.serve("web", 20, WHOLE, strategies=(Strategy(type="spread", field="instanceId"),))
    world.pass_time(60)
    assert len(world.bought) == 20
    skip(world, 14 * DAY_S - 120)
    for _ in range(120):
        world.pass_time(60)
        leaving = [one for one in world.state.machines.values() if one.ending == "lifetime"]
        assert len(leaving) <= 2
        assert len(running(world)) >= 20
    assert len(world.ended) == 20
    assert len(world.state.machines) == 20


def test_what_holds_its_machine_is_stopped_with_ecs_s_reason_in_the_third_week() -> None:
    world = a_world()
    (alone,) = world.run(1, definition=WHOLE)
    world.serve("web", 1, WHOLE)
    world.pass_time(60)
    (served,) = (task for task in world.tasks("RUNNING") if task.id != alone.id)
    first = set(world.bought)
    world.submit(ProtectTasks(task_ids=(served.id,), until=world.now + 30 * DAY_S))
    skip(world, 14 * DAY_S)
    world.pass_time(3600)
    skip(world, 6 * DAY_S)
    assert {alone.id, served.id} <= running(world)
    assert set(world.ended) <= set(world.bought) - first
    skip(world, DAY_S - 7200)
    for _ in range(120):
        world.pass_time(60)
        if alone.id not in running(world):
            break
    for task_id in (alone.id, served.id):
        task = world.state.tasks[task_id]
        assert (task.last_status, task.stop_code) == ("STOPPED", "TerminationNotice")
        assert task.stopped_reason == "Task stopped during instance draining"
    world.pass_time(120)
    assert first <= set(world.ended)
    assert len(running(world)) == 1, "the service's, elsewhere"


def test_a_machine_whose_agent_does_not_stop_them_ends_all_the_same() -> None:
    world = a_world()
    world.run(1, definition=WHOLE)
    world.pass_time(60)
    (machine_id,) = world.bought
    world.disconnect(machine_id)
    skip(world, 21 * DAY_S)
    assert machine_id in world.ended


def test_groups_machines_live_as_long_as_their_group_wants() -> None:
    world = CapacityWorld()
    group = world.add_group()
    world.serve("web", 1, WHOLE)
    skip(world, 30 * DAY_S)
    assert group.ended == []
    assert len(group.machines) == 1
