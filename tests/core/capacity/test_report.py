"""What is told of a cluster's capacity, and what more tasks would take: the forecast is what then happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from awsorch.core.capacity.additions import Addition, plan
from awsorch.core.capacity.report import overview
from awsorch.core.events import TaskTemplate
from awsorch.core.model import Constraint, StrategyItem, TaskDefinition
from awsorch.core.model_capacity import ManagedScaling, Provider
from awsorch.core.resources import demand_of
from tests.core.capacity_world import CapacityWorld
from tests.support.builders import a_definition, an_offer

#: Two of them fill an offer of the builders' (2048 CPU units).
HALF = a_definition("half", cpu=1024, memory=512)
HUGE = a_definition("huge", cpu=1024, memory=500_000)
SMALL = an_offer(instance_type="m5.large", cpu=2048, memory=7700, price=0.096)
LARGE = an_offer(instance_type="m5.2xlarge", cpu=8192, memory=31000, price=0.384)


@pytest.fixture
def world() -> CapacityWorld:
    return CapacityWorld()


def told(world: CapacityWorld, most: int = 100) -> dict[str, Any]:
    """The overview; that nothing has changed by it."""
    before = {kind: dict(table) for kind, table in world.state.tables.items()}
    view = overview(world.state, world.now, most)
    assert before == {kind: dict(table) for kind, table in world.state.tables.items()}
    return view


def provider_of(world: CapacityWorld) -> dict[str, Any]:
    (view,) = told(world)["providers"]
    return dict(view)


def an_addition(definition: TaskDefinition, count: int, *strategy: StrategyItem, **members: Any) -> Addition:
    template = TaskTemplate(
        definition=definition,
        demand=demand_of(definition.definition, {}),
        group=f"family:{definition.family}",
        overrides={},
    )
    strategy = strategy or (StrategyItem(provider="cp", weight=1),)
    return Addition(
        name=definition.family, template=template, count=count, strategy=members.pop("strategy", strategy), **members
    )


def planned(world: CapacityWorld, *additions: Addition) -> tuple[list[dict[str, Any]], list[tuple[str, int]], float]:
    """The additions, (type, count) of what would be launched, and its price."""
    view = plan(world.state, additions, world.now)
    counts: dict[str, int] = {}
    for each in view["launches"]:
        counts[each["instanceType"]] = counts.get(each["instanceType"], 0) + each["count"]
    return view["additions"], sorted(counts.items()), round(view["hourlyPrice"], 6)


# --- the overview ------------------------------------------------------------------------------------------------


def test_instances_are_told_with_what_they_carry(world: CapacityWorld) -> None:
    world.add_group(desired=3, boot=0.0)
    world.pass_time(1)
    world.run(2, definition=HALF)
    view = told(world)
    assert sorted((each["cpu"]["used"], each["tasks"]) for each in view["instances"]) == [(0, 0), (1024, 1), (1024, 1)]
    assert [each["zone"] for each in view["instances"]] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert view["totals"]["cpu"] == {"total": 3 * 2048, "used": 2 * 1024}
    assert view["hourlyPrice"] == pytest.approx(3 * view["instances"][0]["hourlyPrice"])
    groups = view["groups"]
    assert sorted((each["instances"], each["tasks"], each["idle"]) for each in groups) == [
        (1, 0, 1),
        (1, 1, 0),
        (1, 1, 0),
    ]
    assert view["unpriced"] == 0


def test_of_many_instances_the_first_are_told_and_all_are_counted(world: CapacityWorld) -> None:
    world.add_group(desired=9, boot=0.0)
    world.pass_time(1)
    view = told(world, most=2)
    assert len(view["instances"]) == 2
    assert view["totals"]["instances"] == 9
    assert sum(each["instances"] for each in view["groups"]) == 9


def test_machines_that_boot_and_the_tasks_that_they_are_for(world: CapacityWorld) -> None:
    group = world.add_group()
    world.run(3, definition=HALF)
    view = told(world)
    assert len(view["machines"]) == group.desired == 2
    (waiting,) = view["waiting"]
    assert (waiting["group"], waiting["count"], waiting["outlook"]) == ("family:half", 3, "COMING")
    assert waiting["reason"] == "NO ACTIVE INSTANCES"
    assert provider_of(world)["next"] == []
    assert (provider_of(world)["size"], provider_of(world)["coming"]) == (2, 2)


def test_an_idle_instance_goes_when_it_was_said_to(world: CapacityWorld) -> None:
    group = world.add_group(desired=2, boot=0.0)
    world.pass_time(1)
    world.run(1, definition=HALF)
    (end,) = provider_of(world)["next"]
    assert (end["what"], end["reason"], end["tasks"]) == ("end", "idle", 0)
    assert end["hourlyPrice"] < 0
    world.pass_time(end["at"] - world.now - 1)
    assert group.ended == []
    world.pass_time(2)
    assert group.ended == end["machines"]


def test_the_minimum_is_kept_and_not_said_to_go(world: CapacityWorld) -> None:
    world.add_group(desired=2, minimum=2, boot=0.0)
    world.pass_time(1)
    assert provider_of(world)["next"] == []


def test_a_launch_that_fails_is_told_with_its_next_try(world: CapacityWorld) -> None:
    group = world.add_group(refusal="InsufficientInstanceCapacity")
    world.run(1, definition=HALF)
    world.pass_time(1)
    view = provider_of(world)
    assert view["failure"]["code"] == "InsufficientInstanceCapacity"
    (waiting,) = told(world)["waiting"]
    assert waiting["outlook"] in ("FAILING", "COMING")
    until = view["failure"]["until"]
    assert until > world.now
    group.refusal = None
    world.pass_time(until - world.now + 60)
    assert provider_of(world)["failure"] is None


def test_tasks_that_no_type_fits_are_told_what_lacks(world: CapacityWorld) -> None:
    world.add_managed(SMALL, LARGE)
    world.run(1, definition=HUGE)
    (waiting,) = told(world)["waiting"]
    assert waiting["outlook"] == "NO_TYPE_FITS"
    assert waiting["lacking"] == [{"resource": "memory", "wanted": 500_000, "most": 31000}]


def test_tasks_beyond_the_groups_maximum(world: CapacityWorld) -> None:
    world.add_group(maximum=1)
    world.run(4, definition=HALF)
    world.pass_time(60)
    (waiting,) = told(world)["waiting"]
    assert (waiting["count"], waiting["outlook"]) == (2, "AT_MAXIMUM")
    assert provider_of(world)["next"] == []


def test_steps_tell_when_the_next_one_is(world: CapacityWorld) -> None:
    group = world.add_group(scaling={"maximum_step": 1})
    world.run(4, definition=HALF)
    assert group.desired == 1
    (launch,) = provider_of(world)["next"]
    assert (launch["what"], launch["count"]) == ("launch", 1)
    assert launch["at"] == pytest.approx(world.now + 60)
    world.pass_time(61)
    assert group.launched == 2


def test_types_that_are_out_of_stock(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    world.none_left = {f"m5.large@us-east-1{zone}" for zone in "abc"}
    world.run(1, definition=HALF)
    world.pass_time(1)
    (waiting,) = told(world)["waiting"]
    assert waiting["outlook"] == "FAILING"


def test_the_only_type_that_fits_is_out_of_stock(world: CapacityWorld) -> None:
    world.add_managed(SMALL, an_offer(instance_type="m5.4xlarge", cpu=16384, memory=64000))
    world.none_left = {f"m5.4xlarge@us-east-1{zone}" for zone in "abc"}
    world.run(1, definition=a_definition("large", cpu=16384, memory=512))
    world.pass_time(1)
    (waiting,) = told(world)["waiting"]
    assert waiting["outlook"] == "NONE_LEFT"


def test_tasks_of_services_wait_under_its_name(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    world.serve("web", 2, HALF)
    (waiting,) = told(world)["waiting"]
    assert (waiting["group"], waiting["provider"], waiting["count"]) == ("service:web", "cp", 2)


# --- what more tasks would take ----------------------------------------------------------------------------------


def test_what_fits_now_needs_nothing(world: CapacityWorld) -> None:
    world.add_group(desired=2, boot=0.0)
    world.pass_time(1)
    (view,), launches, price = planned(world, an_addition(HALF, 4))
    assert (view["fit"], view["instances"], view["launched"], view["left"]) == (4, 2, 0, 0)
    assert (launches, price) == ([], 0)


@pytest.mark.parametrize("desired", [0, 1, 3])
@pytest.mark.parametrize("waiting", [0, 3])
def test_a_group_grows_by_what_was_planned(world: CapacityWorld, desired: int, waiting: int) -> None:
    group = world.add_group(desired=desired, boot=0.0)
    world.pass_time(1)
    group.boot = 30.0
    if waiting:
        world.run(desired * 2 + waiting, definition=HALF)
    before = group.desired
    (view,), launches, price = planned(world, an_addition(HALF, 10))
    assert view["fit"] + view["launched"] == 10
    world.run(10, definition=HALF)
    assert sum(count for _, count in launches) == group.desired - before
    assert price == pytest.approx(group.offer.price * (group.desired - before))
    world.pass_time(60)
    assert len(world.tasks("PROVISIONING")) == 0


def test_no_more_is_planned_than_the_group_may_have(world: CapacityWorld) -> None:
    world.add_group(maximum=2)
    (view,), launches, _ = planned(world, an_addition(HALF, 7))
    assert launches == [("t3.medium", 2)]
    assert (view["launched"], view["left"]) == (4, 3)
    assert [(each["outlook"], each["count"]) for each in view["reasons"]] == [("AT_MAXIMUM", 3)]


def test_a_managed_provider_buys_what_was_planned(world: CapacityWorld) -> None:
    world.add_managed(SMALL, LARGE)
    (view,), launches, _ = planned(world, an_addition(HALF, 11))
    assert view["launched"] == 11
    world.run(11, definition=HALF)
    bought: dict[str, int] = {}
    for order in world.bought.values():
        bought[order.offer.instance_type] = bought.get(order.offer.instance_type, 0) + 1
    assert launches == sorted(bought.items())


def test_machines_on_their_way_are_counted_on(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    world.run(1, definition=HALF)
    _, launches, _ = planned(world, an_addition(HALF, 1))
    assert launches == []
    _, launches, _ = planned(world, an_addition(HALF, 2))
    assert launches == [("m5.large", 1)]


def test_additions_share_what_is_there(world: CapacityWorld) -> None:
    world.add_group(desired=1, boot=0.0)
    world.pass_time(1)
    (first, second), launches, _ = planned(world, an_addition(HALF, 2), an_addition(HALF, 2))
    assert (first["fit"], second["fit"], second["launched"]) == (2, 0, 2)
    assert launches == [("t3.medium", 1)]


def test_what_fits_nowhere_tells_why(world: CapacityWorld) -> None:
    world.add_managed(SMALL)
    (huge, half), launches, _ = planned(world, an_addition(HUGE, 1), an_addition(HALF, 1))
    assert (huge["left"], half["left"], launches) == (1, 0, [("m5.large", 1)])
    (reason,) = huge["reasons"]
    assert (reason["outlook"], reason["lacking"][0]["resource"]) == ("NO_TYPE_FITS", "memory")


def test_without_a_provider_only_the_instances_count(world: CapacityWorld) -> None:
    world.add_group(desired=1, boot=0.0)
    world.pass_time(1)
    (view,), launches, _ = planned(world, an_addition(HALF, 3, strategy=()))
    assert (view["fit"], view["left"], launches) == (2, 1, [])
    (reason,) = view["reasons"]
    assert (reason["outlook"], reason["refused"]) == ("NO_ROOM", [{"reason": "RESOURCE:CPU", "instances": 1}])


def test_tasks_are_split_by_base_and_weight(world: CapacityWorld) -> None:
    for name in ("one", "two"):
        world.add_group(name)
    strategy = (StrategyItem(provider="one", base=2, weight=1), StrategyItem(provider="two", weight=3))
    view = plan(world.state, [an_addition(HALF, 10, strategy=strategy)], world.now)
    assert {each["provider"] for each in view["launches"]} == {"one", "two"}
    counts = {name: sum(e["count"] for e in view["launches"] if e["provider"] == name) for name in ("one", "two")}
    assert counts == {"one": 2, "two": 3}


def test_a_group_without_managed_scaling_launches_nothing(world: CapacityWorld) -> None:
    world.add_group()
    provider = world.state.providers["cp"]
    world.state.tables[Provider]["cp"] = replace(provider, scaling=ManagedScaling(enabled=False))
    (view,), launches, _ = planned(world, an_addition(HALF, 1))
    assert (launches, view["reasons"][0]["outlook"]) == ([], "SCALING_OFF")


def test_what_only_an_instance_could_tell_is_called_unsure(world: CapacityWorld) -> None:
    world.add_group()
    asked = Constraint(type="memberOf", expression="attribute:stack == prod")
    (view,), launches, _ = planned(world, an_addition(HALF, 5, constraints=(asked,)))
    assert launches == [("t3.medium", 1)]
    assert [each["outlook"] for each in view["reasons"]] == ["UNSURE"]


def test_a_provider_that_fails_now_is_told(world: CapacityWorld) -> None:
    world.add_group(refusal="InsufficientInstanceCapacity")
    world.run(1, definition=HALF)
    world.pass_time(1)
    view = plan(world.state, [an_addition(HALF, 4)], world.now)
    assert view["failures"]["cp"]["code"] == "InsufficientInstanceCapacity"


def test_planning_changes_nothing(world: CapacityWorld) -> None:
    world.add_group(desired=1, boot=0.0)
    world.pass_time(1)
    free = {each: world.state.fleet.free(each) for each in world.state.instances}
    planned(world, an_addition(HALF, 50))
    assert {each: world.state.fleet.free(each) for each in world.state.instances} == free
