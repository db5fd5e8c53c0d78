"""Daemons follow the instances that they are meant for, and a look at one costs what has changed."""

from __future__ import annotations

from typing import Any

import pytest

from awsorch.core.events import PutAttributes, SetInstanceStatus
from awsorch.core.model import Constraint
from awsorch.core.placement.filters import Filter
from tests.support.service_world import ServiceWorld
from tests.support.states import contents

ON_SSD = Constraint(type="memberOf", expression="attribute:disk == ssd")


def daemon(world: ServiceWorld, *, minimum: int = 0, **members: Any) -> None:
    percents = {"maximumPercent": 100, "minimumHealthyPercent": minimum}
    world.create(scheduling_strategy="DAEMON", count=0, configuration=percents, **members)
    steady(world)


def steady(world: ServiceWorld) -> None:
    world.run(600, until=world.steady)


def where(world: ServiceWorld) -> list[str]:
    return sorted(str(task.instance_id) for task in world.tasks())


def put(world: ServiceWorld, instance_id: str, disk: str) -> None:
    world.act(PutAttributes(attributes=((instance_id, "disk", disk),)))


def test_a_daemon_leaves_instances_that_drain_and_comes_back() -> None:
    world = ServiceWorld(instances=3)
    daemon(world)
    first, *others = sorted(world.state.instances)
    world.act(SetInstanceStatus(instance_ids=(first,), status="DRAINING"))
    world.run(30)
    assert where(world) == others
    assert world.service().desired_count == 2
    world.act(SetInstanceStatus(instance_ids=(first,), status="ACTIVE"))
    world.run(30)
    assert where(world) == [first, *others]


def test_a_daemon_follows_attributes() -> None:
    world = ServiceWorld(instances=3)
    first, second, third = sorted(world.state.instances)
    put(world, first, "ssd")
    daemon(world, constraints=(ON_SSD,))
    assert where(world) == [first]
    put(world, second, "ssd")
    put(world, first, "tape")
    world.run(30)
    assert where(world) == [second]
    world.update(constraints=())
    world.run(30)
    assert where(world) == [first, second, third]


def test_a_daemon_that_is_made_again_under_its_name_begins_anew() -> None:
    world = ServiceWorld(instances=2)
    daemon(world)
    world.delete(force=True)
    world.run(30)
    daemon(world)
    assert where(world) == sorted(world.state.instances)
    assert not contents(world.state)["index daemon_index"]


@pytest.mark.parametrize("minimum", [0, 50])
def test_a_rollout_of_a_daemon_keeps_to_its_lower_bound_where_it_is_meant_to_be(minimum: int) -> None:
    world = ServiceWorld(instances=8)
    daemon(world, minimum=minimum)
    world.act(SetInstanceStatus(instance_ids=tuple(sorted(world.state.instances)[:2]), status="DRAINING"))
    world.deploy()
    fewest = 6
    for _ in range(100):
        world.run(0.5)
        active = world.state.instances_by_status["ACTIVE"]
        healthy = [t for t in world.tasks() if t.service and t.service.health == "HEALTHY" and t.instance_id in active]
        fewest = min(fewest, len(healthy))
    assert {task.definition for task in world.tasks()} == {"web:2"}
    assert fewest == 6 * minimum // 100


def test_a_look_asks_only_instances_that_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ServiceWorld(instances=60, checked=False)
    daemon(world)
    asked: list[str] = []
    accepts = Filter.accepts

    def watched(self: Filter, instance: Any) -> bool:
        asked.append(instance.id)
        return accepts(self, instance)

    monkeypatch.setattr(Filter, "accepts", watched)
    lost = world.tasks()[0]
    before = world.looks
    world.crash(lost.id)
    world.run(60, until=lambda: len(world.tasks()) == 60)
    steady(world)
    assert world.looks > before
    assert set(asked) <= {lost.instance_id}
