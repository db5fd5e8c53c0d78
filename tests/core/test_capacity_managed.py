"""Managed providers: the cheapest machines that fit, ordered once, given back when idle."""

from __future__ import annotations

import pytest

from awsorch.core.capacity.refusals import REFUSED_S
from awsorch.core.model import Constraint, StrategyItem
from tests.core.capacity_world import ZONES, CapacityWorld
from tests.support.builders import a_definition, an_offer

SMALL = an_offer(instance_type="m5.large", cpu=2048, memory=7700, price=0.096)
LARGE = an_offer(instance_type="m5.2xlarge", cpu=8192, memory=31000, price=0.384)
LEAN = an_offer(instance_type="c5.large", cpu=2048, memory=3700, price=0.085)
BIG = a_definition("big", cpu=1024, memory=512)
HUGE = a_definition("huge", cpu=6000, memory=512)


@pytest.fixture
def world() -> CapacityWorld:
    return CapacityWorld()


def types(world: CapacityWorld) -> list[str]:
    return sorted(order.offer.instance_type for order in world.bought.values())


def test_the_cheapest_type_that_fits_is_launched_at_once(world: CapacityWorld) -> None:
    world.add_managed(SMALL, LARGE, LEAN)
    world.run(2, definition=BIG)
    assert types(world) == ["c5.large"]
    world.pass_time(31)
    assert len(world.tasks("RUNNING")) == 2
    assert types(world) == ["c5.large"]


def test_tasks_of_different_shapes_get_different_types(world: CapacityWorld) -> None:
    world.add_managed(SMALL, LARGE, LEAN)
    world.run(1, definition=HUGE)
    world.run(2, definition=BIG)
    assert types(world) == ["m5.2xlarge"]  # the small ones go beside the huge one
    world.run(2, definition=BIG)
    assert types(world) == ["c5.large", "m5.2xlarge"]
    world.pass_time(31)
    assert len(world.tasks("RUNNING")) == 5


def test_a_lost_order_is_sent_again_and_makes_no_second_machine(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    world.lose_launches = True
    world.run(1, definition=BIG)
    assert len(world.state.launches) == 1
    world.lose_launches = False
    world.pass_time(60)
    assert len(world.bought) == 1
    assert not world.state.launches
    assert len(world.tasks("RUNNING")) == 1


@pytest.mark.parametrize(("propagates", "tags"), [("CAPACITY_PROVIDER", {"team": "a"}), ("NONE", {})])
def test_an_order_has_the_provider_s_tags_as_they_were_where_it_propagates_them(
    world: CapacityWorld, propagates: str, tags: dict[str, str]
) -> None:
    world.add_managed(SMALL, tags={"team": "a"}, propagateTags=propagates)
    world.lose_launches = True
    world.run(1, definition=BIG)
    world.add_managed(SMALL, tags={"team": "b"}, propagateTags=propagates)
    world.lose_launches = False
    world.pass_time(60)
    assert [dict(order.tags) for order in world.bought.values()] == [tags]


def test_what_a_zone_has_none_of_is_had_elsewhere(world: CapacityWorld) -> None:
    world.add_managed(LEAN, SMALL)
    world.none_left = {f"c5.large@us-east-1{zone}" for zone in "abc"}
    world.run(2, definition=BIG)
    world.pass_time(60)
    assert types(world) == ["m5.large"]
    assert len(world.tasks("RUNNING")) == 2


def test_idle_machines_are_given_back_when_the_provider_says(world: CapacityWorld) -> None:
    world.add_managed(SMALL, infrastructureOptimization={"scaleInAfter": 300})
    (task,) = world.run(1, definition=BIG)
    world.pass_time(31)
    world.finish(task)
    world.pass_time(299)
    assert world.ended == []
    world.pass_time(10)
    assert world.ended == list(world.bought)
    assert not world.state.machines


def test_idle_machines_are_kept_for_ever_where_that_is_wished(world: CapacityWorld) -> None:
    world.add_managed(SMALL, infrastructureOptimization={"scaleInAfter": -1})
    (task,) = world.run(1, definition=BIG)
    world.pass_time(31)
    world.finish(task)
    world.pass_time(7200)
    assert world.ended == []


def test_tasks_that_nothing_fits_order_nothing(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    world.run(1, definition=HUGE)
    world.pass_time(31 * 60)
    assert not world.bought
    (task,) = world.tasks("STOPPED")
    assert task.stopped_reason == "TaskFailedToStart: EMPTY CAPACITY PROVIDER"


def test_machines_are_of_the_architecture_that_images_are_built_for(world: CapacityWorld) -> None:
    arm = an_offer(instance_type="m6g.large", cpu=2048, memory=7700, price=0.077, architecture="arm64")
    world.add_managed(arm, SMALL)
    world.run(1, definition=BIG)
    assert types(world) == ["m5.large"]


def test_a_provider_of_arm_machines_only_buys_those(world: CapacityWorld) -> None:
    arm = an_offer(instance_type="m6g.large", cpu=2048, memory=7700, price=0.077, architecture="arm64")
    world.add_managed(arm)
    world.run(1, definition=BIG)
    assert types(world) == ["m6g.large"]


def test_a_condition_that_no_machine_meets_buys_one_that_tells_and_no_more(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    (task,) = world.run(1, definition=BIG)
    world.pass_time(40)
    wish = Constraint(type="memberOf", expression="attribute:stack == prod")
    world.run(1, definition=BIG, constraints=(wish,))
    world.pass_time(600)
    assert len(world.bought) == 1
    world.finish(task)


def test_a_condition_on_the_type_or_the_zone_is_met_by_what_is_bought(world: CapacityWorld) -> None:
    world.add_managed(LEAN, SMALL)
    for expression in ("attribute:ecs.instance-type == m5.large", "attribute:ecs.availability-zone == us-east-1c"):
        world.run(3, definition=BIG, constraints=(Constraint(type="memberOf", expression=expression),))
    world.pass_time(60)
    assert len(world.tasks("RUNNING")) == 6
    zones = [order.zone for order in world.bought.values() if order.offer == LEAN]
    assert set(zones) <= {"us-east-1c"}
    assert "m5.large" in types(world)


def test_a_type_that_turns_out_smaller_is_not_bought_again_and_again(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    world.visible = 0.5
    world.run(1, definition=a_definition("tall", cpu=256, memory=7000))
    world.pass_time(900)
    assert len(world.bought) <= 1


def test_at_the_account_s_limit_tasks_fall_over_to_the_next_provider_at_once_and_later_come_back(
    world: CapacityWorld,
) -> None:
    group = world.add_group("spare")
    world.add_managed(SMALL, LARGE, LEAN)
    world.code = "VcpuLimitExceeded"
    world.none_left = {f"{offer.key}@{zone}" for offer in (SMALL, LARGE, LEAN) for zone in ZONES}
    strategy = (StrategyItem(provider="cp", base=1, weight=1), StrategyItem(provider="spare", weight=0))
    world.run(1, *strategy, definition=BIG)
    assert group.sizes == [1]
    world.none_left = set()
    world.pass_time(REFUSED_S + 1)
    assert len(world.tasks("RUNNING")) == 1
    assert not world.bought
    world.run(1, *strategy, definition=HUGE)
    assert types(world) == ["m5.2xlarge"]
