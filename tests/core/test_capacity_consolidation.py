"""Machines whose tasks fit elsewhere, or on a cheaper machine, are emptied by replacing tasks, and ended."""

from __future__ import annotations

import pytest

from awsorch.core.events_services import ProtectTasks
from awsorch.core.model import Strategy
from tests.core.capacity_world import CapacityWorld
from tests.core.test_capacity_managed import LARGE, SMALL
from tests.support.builders import a_definition

BIG = a_definition("big", cpu=1024, memory=512)
APART = (Strategy(type="spread", field="instanceId"),)


@pytest.fixture
def world() -> CapacityWorld:
    return CapacityWorld(settle_seconds=1.0)


def test_a_group_s_machine_whose_tasks_fit_elsewhere_goes(world: CapacityWorld) -> None:
    group = world.add_group()
    world.serve("web", 4, BIG, strategies=APART)
    world.pass_time(120)
    assert len(group.machines) == 2
    world.scale("web", 2)
    world.pass_time(10)
    assert len(world.tasks("RUNNING")) == 2
    world.pass_time(300)
    assert len(group.machines) == 1
    assert len(world.tasks("RUNNING")) == 2
    assert {i.status for i in world.state.instances.values()} == {"ACTIVE", "INACTIVE"}


def test_with_termination_protection_only_empty_machines_go(world: CapacityWorld) -> None:
    group = world.add_group(termination_protection=True)
    world.serve("web", 4, BIG, strategies=APART)
    world.pass_time(120)
    world.scale("web", 2)
    world.pass_time(600)
    assert len(group.machines) == 2


def test_protected_tasks_hold_their_machine(world: CapacityWorld) -> None:
    group = world.add_group()
    world.serve("web", 4, BIG, strategies=APART)
    world.pass_time(120)
    world.scale("web", 2)
    world.pass_time(10)
    ids = tuple(task.id for task in world.tasks("RUNNING"))
    world.submit(ProtectTasks(task_ids=ids, until=world.now + 3600))
    world.pass_time(600)
    assert len(group.machines) == 2
    assert {task.id for task in world.tasks("RUNNING")} == set(ids)


def test_tasks_on_their_own_hold_their_machine(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(4, definition=BIG)
    world.pass_time(60)
    by_machine: dict[str | None, list[str]] = {}
    for task in world.tasks("RUNNING"):
        by_machine.setdefault(task.instance_id, []).append(task.id)
    for tasks in by_machine.values():
        world.finish(world.state.tasks[tasks[0]])
    world.pass_time(900)
    assert len(group.machines) == 2


def test_a_managed_machine_is_exchanged_for_a_cheaper_one_that_comes_first(world: CapacityWorld) -> None:
    world.add_managed(SMALL, LARGE)
    world.serve("web", 8, BIG, strategies=(Strategy(type="binpack", field="memory"),))
    world.pass_time(120)
    assert [order.offer.instance_type for order in world.bought.values()] == ["m5.2xlarge"]
    world.scale("web", 1)
    world.pass_time(20)
    assert len(world.tasks("RUNNING")) == 1
    low = 1
    for _ in range(600):
        world.pass_time(1)
        low = min(low, len(world.tasks("RUNNING")))
    assert low == 1
    types = [world.bought[machine.id].offer.instance_type for machine in world.state.machines.values()]
    assert types == ["m5.large"]
    assert len(world.bought) == 2
