"""Placing, filter by filter and strategy by strategy; validation; imagined fleets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from awsorch.core.errors import Refusal
from awsorch.core.model import Constraint, Container, Demand, NetworkBinding, Resources, Strategy
from awsorch.core.placement.filters import validate_constraints
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.kinds import MOST_FILTERS
from awsorch.core.placement.place import MOST_FAILURES, Decision, Request, matches, place
from awsorch.core.placement.strategies import validate_strategies
from awsorch.core.resources import demand_of
from tests.core.placement_records import ZONE, a_task, an_instance

SMALL = Demand(cpu=256, memory=512)
RESERVED = Resources(cpu=1, memory=1, reserved_tcp=(22,), reserved_udp=(53,))
PACK = (Strategy(type="binpack", field="memory"),)


def a_fleet(count: int = 3, **changes: Any) -> Fleet:
    """``count`` instances i-0, i-1… in zones a, b, c in turn."""
    fleet = Fleet()
    for number in range(count):
        attributes = {ZONE: "abc"[number % 3]} | changes.get("attributes", {})
        fleet.instance_changed(None, an_instance(f"i-{number}", **(changes | {"attributes": attributes})))
    return fleet


def run(fleet: Fleet, demand: Demand = SMALL, count: int = 1, **changes: Any) -> Decision:
    return place(fleet, Request(demand, count, changes.pop("group", "family:web"), **changes))


@pytest.mark.parametrize(
    ("changes", "demand", "constraint", "reason"),
    [
        ({"agent_connected": False}, SMALL, None, "AGENT"),
        ({}, Demand(cpu=2049), None, "RESOURCE:CPU"),
        ({}, Demand(memory=4097), None, "RESOURCE:MEMORY"),
        ({}, Demand(gpus=1), None, "RESOURCE:GPU"),
        (
            {"resources": Resources(cpu=1, memory=1, reserved_tcp=(22,))},
            Demand(tcp_ports=(22,)),
            None,
            "RESOURCE:PORTS",
        ),
        (
            {"resources": Resources(cpu=1, memory=1, reserved_udp=(53,))},
            Demand(udp_ports=(53,)),
            None,
            "RESOURCE:PORTS",
        ),
        ({}, Demand(attributes=(("ecs.capability.efs", None),)), None, "ATTRIBUTE"),
        ({}, Demand(attributes=((ZONE, "z"),)), None, "ATTRIBUTE"),
        ({}, SMALL, "attribute:stack == prod", "MemberOf placement constraint unsatisfied."),
        ({}, SMALL, "runningTasksCount > 0", "MemberOf placement constraint unsatisfied."),
    ],
)
def test_the_reason_of_each_filter(
    changes: dict[str, Any], demand: Demand, constraint: str | None, reason: str
) -> None:
    constraints = (Constraint(type="memberOf", expression=constraint),) if constraint else ()
    decision = run(a_fleet(2, **changes), demand, constraints=constraints)
    assert decision.placed == ()
    assert decision.considered == 2
    assert decision.failures == (("i-0", reason), ("i-1", reason))
    (refused,) = decision.refused
    assert (refused.reason, refused.instances, refused.instance_ids) == (reason, 2, ("i-0", "i-1"))


def test_distinct_instances_are_judged_by_desired_status() -> None:
    fleet = a_fleet(2)
    fleet.task_changed(None, a_task("t-0", on="i-0", desired_status="STOPPED"))
    fleet.task_changed(None, a_task("t-1", on="i-1"))
    decision = run(fleet, count=2, constraints=(Constraint(type="distinctInstance"),))
    assert decision.placed == ("i-0",)
    assert {reason for _, reason in decision.failures} == {"DistinctInstance placement constraint unsatisfied."}


def test_draining_instances_are_passed_over_and_named_only_when_asked_for() -> None:
    fleet = a_fleet(1, status="DRAINING")
    assert (run(fleet).considered, run(fleet).failures) == (0, ())
    decision = run(fleet, only=frozenset(("i-0", "i-9")))
    assert decision.failures == (("i-0", "INACTIVE"), ("i-9", "MISSING"))
    assert run(a_fleet(3), only=frozenset(("i-1",))).placed == ("i-1",)


def test_a_capacity_providers_instances_only() -> None:
    fleet = a_fleet(2)
    fleet.instance_changed(None, an_instance("i-7", capacity_provider="spot"))
    decision = run(fleet, count=2, capacity_provider="spot")
    assert set(decision.placed) == {"i-7"}
    assert run(fleet, capacity_provider="none").considered == 0
    assert run(fleet, Demand(cpu=4096), capacity_provider="spot").failures == (("i-7", "RESOURCE:CPU"),)


def test_at_most_a_hundred_failures_but_all_are_counted() -> None:
    decision = run(a_fleet(130), Demand(cpu=9999))
    assert len(decision.failures) == MOST_FAILURES
    assert decision.refused[0].instances == 130


def test_explanations_when_everything_was_placed() -> None:
    fleet = a_fleet(2)
    fleet.task_changed(None, a_task(on="i-0", demand=Demand(memory=4000)))
    assert run(fleet).refused == ()
    decision = run(fleet, explain=True)
    assert decision.placed == ("i-1",)
    assert [(r.filter, r.instances) for r in decision.refused] == [("memory", 1)]
    assert decision.failures == ()


def test_gpus_are_given_by_name_and_once() -> None:
    fleet = a_fleet(1, resources=Resources(cpu=1, memory=1, gpu_ids=("g0", "g1", "g2", "g3")))
    fleet.task_changed(None, a_task(demand=Demand(gpus=1), gpu_ids=("g1",)))
    decision = run(fleet, Demand(gpus=1), count=4)
    assert decision.gpus == (("g0",), ("g2",), ("g3",))
    assert decision.failures == (("i-0", "RESOURCE:GPU"),)


def test_all_gpus_are_given_where_none_is_in_use() -> None:
    resources = Resources(cpu=1, memory=1, gpu_ids=("g0", "g1"))
    fleet = a_fleet(2, resources=resources)
    fleet.instance_changed(None, an_instance("i-none"))
    fleet.task_changed(None, a_task(on="i-0", demand=Demand(gpus=1), gpu_ids=("g1",)))
    everything = Demand(all_gpus=True)
    decision = run(fleet, everything, count=2)
    assert (decision.placed, decision.gpus) == (("i-1",), (("g0", "g1"),))
    assert decision.failures == tuple((name, "RESOURCE:GPU") for name, _ in decision.failures)
    assert {name for name, _ in decision.failures} == {"i-0", "i-1", "i-none"}
    fleet.assume(everything, "family:web", ["i-1"])
    assert fleet.free("i-1").gpu_ids == ()
    assert run(fleet, Demand(gpus=1)).placed == ("i-0",)


def test_ports_that_an_agent_reported_are_held_until_the_task_stops() -> None:
    fleet = a_fleet(1)
    task = a_task()
    ranged = NetworkBinding(host_port_range="8000-8002")
    bindings = (NetworkBinding(host_port=32768), ranged)
    container = Container(name="web", arn="arn", image="busybox", network_bindings=bindings)
    reported = replace(task, containers=(container,))
    fleet.task_changed(None, task)
    fleet.task_changed(task, reported)
    assert fleet.free("i-0").used_tcp == (8000, 8001, 8002, 32768)
    assert run(fleet, Demand(tcp_ports=(8001,))).failures == (("i-0", "RESOURCE:PORTS"),)
    fleet.task_changed(reported, replace(reported, last_status="STOPPED", desired_status="STOPPED"))
    assert fleet.free("i-0").used_tcp == ()


def test_the_default_spreads_over_zones_then_instances() -> None:
    placed = run(a_fleet(6), Demand(cpu=1, memory=1), count=12).placed
    assert Counter(placed) == {f"i-{number}": 2 for number in range(6)}


def test_spreading_counts_the_groups_own_tasks() -> None:
    fleet = a_fleet(2)
    for number in range(3):
        fleet.task_changed(None, a_task(f"t-{number}", on="i-0"))
        fleet.task_changed(None, a_task(f"u-{number}", on="i-1", group="family:db"))
    assert run(fleet).placed == ("i-1",)
    assert run(fleet, group="family:db").placed == ("i-0",)


def test_packing_prefers_the_fullest_that_has_room() -> None:
    fleet = a_fleet(3)
    fleet.task_changed(None, a_task("t-0", on="i-0", demand=Demand(memory=4000)))
    fleet.task_changed(None, a_task("t-1", on="i-1", demand=Demand(memory=1000)))
    assert run(fleet, count=6, strategies=PACK).placed == ("i-1",) * 6
    by_cpu = (Strategy(type="binpack", field="CPU"),)
    fleet.task_changed(None, a_task("t-2", on="i-2", demand=Demand(cpu=1000)))
    assert run(fleet, strategies=by_cpu).placed == ("i-2",)


def test_an_instance_out_of_cpu_does_not_hide_the_next() -> None:
    fleet = a_fleet(200)
    for number in range(199):
        fleet.task_changed(None, a_task(f"t-{number}", on=f"i-{number}", demand=Demand(cpu=2000, memory=10 + number)))
    for count in (1, 3):
        assert run(fleet, count=count, strategies=PACK).placed == ("i-199",) * count


def test_random_depends_on_the_seed_and_reaches_everyone() -> None:
    fleet = a_fleet(5)
    chance = (Strategy(type="random"),)
    chosen = [run(fleet, seed=seed, strategies=chance).placed for seed in range(200)]
    assert chosen == [run(fleet, seed=seed, strategies=chance).placed for seed in range(200)]
    counts = Counter(placed[0] for placed in chosen)
    assert len(counts) == 5
    assert min(counts.values()) > 15


def test_random_finds_the_one_that_has_room() -> None:
    fleet = a_fleet(200)
    for number in range(199):
        fleet.task_changed(None, a_task(f"t-{number}", on=f"i-{number}", demand=Demand(tcp_ports=(80,))))
    decision = run(fleet, Demand(tcp_ports=(80,)), count=2, strategies=(Strategy(type="random"),))
    assert decision.placed == ("i-199",)


def test_filters_asked_before_follow_changed_attributes() -> None:
    fleet = a_fleet(3)
    wanted = {"constraints": (Constraint(type="memberOf", expression="attribute:stack == prod"),), "strategies": PACK}
    assert run(fleet, **wanted).placed == ()
    old = an_instance("i-1", attributes={ZONE: "b"})
    new = replace(old, attributes={ZONE: "b", "stack": "prod"})
    fleet.instance_changed(old, new)
    assert run(fleet, count=2, **wanted).placed == ("i-1", "i-1")
    fleet.instance_changed(new, old)
    assert run(fleet, **wanted).placed == ()


def test_more_filters_than_are_remembered() -> None:
    fleet = a_fleet(3)
    for number in range(MOST_FILTERS + 2):
        constraints = (Constraint(type="memberOf", expression=f"attribute:{ZONE} in [x{number}, b]"),)
        assert run(fleet, constraints=constraints).placed == ("i-1",)
    assert len(set(run(fleet, count=3).placed)) == 3


def test_one_task_at_a_time_goes_to_the_zone_with_fewest_that_has_room() -> None:
    fleet = a_fleet(3)
    spread = (Strategy(type="spread", field=f"attribute:{ZONE}"), *PACK)
    for taken in ("i-0", "i-0", "i-1"):
        fleet.assume(SMALL, "family:web", [taken])
    placed: list[str] = []
    for _ in range(3):
        decision = run(fleet, strategies=spread)
        fleet.assume(SMALL, "family:web", decision.placed)
        placed += decision.placed
    assert placed[0] == "i-2"
    assert sorted(placed) == ["i-1", "i-2", "i-2"]
    fleet = a_fleet(2)
    fleet.assume(SMALL, "family:web", ["i-0"])
    fleet.assume(Demand(memory=4096), "family:other", ["i-1"])
    assert run(fleet, strategies=spread).placed == ("i-0",)


def test_more_indexes_than_are_kept() -> None:
    fleet = a_fleet(2)
    assert len(run(fleet, count=16, strategies=PACK).placed) == 16
    first, second = dict.fromkeys(run(fleet, count=16, strategies=PACK).placed)
    for number in range(20):
        spread = Strategy(type="spread", field=f"attribute:a{number}")
        assert run(fleet, strategies=(spread, *PACK)).placed == (first,)
    fleet.assume(Demand(memory=4096), "family:other", [first])
    assert run(fleet, strategies=PACK).placed == (second,)


def test_imagined_instances_and_removed_ones() -> None:
    fleet = a_fleet(1)
    fleet.task_changed(None, a_task(demand=Demand(memory=4096)))
    before = fleet.imagine()
    assert before == fleet
    more = fleet.imagine(added=[an_instance("new-1"), an_instance("new-2")])
    decision = run(more, count=8)
    assert len(decision.placed) == 8
    more.assume(SMALL, "family:web", decision.placed)
    assert more.free("new-1").memory == 4096 - 4 * 512
    less = more.imagine(removed=["new-1", "unknown"])
    assert set(run(less, count=2).placed) == {"new-2"}
    assert fleet == before
    assert run(fleet).failures == (("i-0", "RESOURCE:MEMORY"),)


def test_matches_is_the_filter_of_list_container_instances() -> None:
    fleet = a_fleet(1, status="DRAINING", agent_connected=False)
    fleet.task_changed(None, a_task())
    assert matches(fleet, "i-0", "task:group == family:web and runningTasksCount == 1")
    assert not matches(fleet, "i-0", "agentConnected == true")
    assert not matches(fleet, "unknown", "runningTasksCount == 0")
    with pytest.raises(Refusal):
        matches(fleet, "i-0", "nonsense")


def test_an_instance_that_came_back_smaller_takes_nothing() -> None:
    fleet = a_fleet(1)
    old = an_instance("i-0", attributes={ZONE: "a"})
    fleet.task_changed(None, a_task(demand=Demand(cpu=2048, memory=4096)))
    fleet.instance_changed(old, replace(old, resources=Resources(cpu=1024, memory=1024)))
    assert fleet.free("i-0").memory == 1024 - 4096
    assert run(fleet, Demand()).failures == (("i-0", "RESOURCE:CPU"),)


@pytest.mark.parametrize(
    ("strategies", "message"),
    [
        ((Strategy(type="random"),) * 6, "Maximum number of strategies is 5"),
        ((Strategy(type="binpack", field="disk"),), "binpack field 'disk' is invalid"),
        ((Strategy(type="binpack"),), "binpack field '' is invalid"),
        ((Strategy(type="spread", field="zone"),), "spread field 'zone' is invalid"),
        ((Strategy(type="spread", field="attribute:"),), "spread field 'attribute:' is invalid"),
        ((Strategy(type="pile"),), "Placement strategy type should be one of [random,spread,binpack]"),
    ],
)
def test_strategies_that_are_refused(strategies: tuple[Strategy, ...], message: str) -> None:
    with pytest.raises(Refusal, match="InvalidParameterException") as caught:
        validate_strategies(strategies)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("constraints", "definition", "message"),
    [
        ((Constraint(type="distinctInstance"),) * 11, False, "Maximum number of placement constraints is 10"),
        ((Constraint(type="memberOf"),), False, "A memberOf placement constraint must have an expression"),
        ((Constraint(type="memberOf", expression="what"),), False, "Invalid expression at position 1"),
        ((Constraint(type="distinctInstance", expression="x"),), False, "A distinctInstance placement constraint must"),
        ((Constraint(type="distinctInstance"),), True, "Placement constraint type should be one of [memberOf]"),
        ((Constraint(type="near"),), False, "Placement constraint type should be one of [distinctInstance,memberOf]"),
    ],
)
def test_constraints_that_are_refused(constraints: tuple[Constraint, ...], definition: bool, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        validate_constraints(constraints, task_definition=definition)
    assert caught.value.message.startswith(message)


def test_what_is_accepted() -> None:
    fields = ("instanceId", "host", f"attribute:{ZONE}")
    validate_strategies([Strategy(type="spread", field=field) for field in fields])
    validate_strategies([Strategy(type="binpack", field="MEMORY"), Strategy(type="random", field="ignored")])
    validate_constraints(
        [Constraint(type="distinctInstance"), Constraint(type="memberOf", expression="attribute:a exists")]
    )


@pytest.mark.parametrize(
    ("platform", "attributes", "fits"),
    [
        ({"cpuArchitecture": "ARM64"}, {"ecs.cpu-architecture": "arm64"}, True),
        ({"cpuArchitecture": "ARM64"}, {"ecs.cpu-architecture": "x86_64"}, False),
        ({"operatingSystemFamily": "LINUX"}, {"ecs.os-type": "linux"}, True),
        ({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}, {"ecs.os-type": "linux"}, False),
        ({}, {}, True),
    ],
)
def test_a_task_goes_where_its_platform_is(platform: dict[str, str], attributes: dict[str, str], fits: bool) -> None:
    definition = {"runtimePlatform": platform, "containerDefinitions": [{"name": "app", "cpu": 1, "memory": 1}]}
    decision = run(a_fleet(1, attributes=attributes), demand_of(definition, {}))
    assert bool(decision.placed) is fits
    assert fits or [reason for _, reason in decision.failures] == ["ATTRIBUTE"]
