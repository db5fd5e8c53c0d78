"""Tasks of services that move: off instances that drain, between zones; and what stays of a service that went."""

from __future__ import annotations

from collections import Counter

import pytest

from awsorch.core.events import SetInstanceStatus
from awsorch.core.events_services import ProtectTasks
from awsorch.core.model import Gate
from tests.support.service_world import Conduct, ServiceWorld


@pytest.fixture
def world() -> ServiceWorld:
    return ServiceWorld()


def steady(world: ServiceWorld) -> None:
    world.run(600, until=world.steady)


def drain(world: ServiceWorld, *instances: str, status: str = "DRAINING") -> None:
    world.act(SetInstanceStatus(instance_ids=instances, status=status))


def where(world: ServiceWorld) -> Counter[str | None]:
    return Counter(task.instance_id for task in world.tasks())


@pytest.mark.parametrize("percents", [(100, 200), (50, 100), (100, 134)])
def test_tasks_leave_an_instance_that_drains_within_the_bounds(world: ServiceWorld, percents: tuple[int, int]) -> None:
    minimum, maximum = percents
    world.create(count=3, balanced=True, configuration={"minimumHealthyPercent": minimum, "maximumPercent": maximum})
    steady(world)
    (leaves, *stay) = world.state.instances
    drain(world, leaves)
    world.run(120)
    assert world.steady()
    assert set(where(world)) <= set(stay)
    assert len(world.tasks()) == 3
    assert len(world.deployments()) == 1
    assert world.primary().failed_tasks == 0


def test_a_pending_task_on_an_instance_that_drains_is_stopped_at_once(world: ServiceWorld) -> None:
    world.conduct["web:1"] = Conduct(start_seconds=20.0)
    world.create(count=3)
    world.run(1)
    leaves = next(iter(world.state.instances))
    drain(world, leaves)
    world.run(0.1)
    assert not [task for task in world.tasks(status="PENDING") if task.instance_id == leaves]
    steady(world)
    assert leaves not in where(world)


def test_bounds_that_leave_no_room_block_draining_and_it_is_said(world: ServiceWorld) -> None:
    world.create(count=3, configuration={"maximumPercent": 100, "minimumHealthyPercent": 100})
    steady(world)
    leaves = next(iter(world.state.instances))
    drain(world, leaves)
    world.run(60)
    assert where(world)[leaves] == 1
    assert not world.steady()
    assert world.said()[-1].startswith("was unable to stop or start tasks during a deployment because of the service")
    drain(world, leaves, status="ACTIVE")
    steady(world)
    assert where(world)[leaves] == 1
    assert "bounds" not in world.service().problems


def test_protected_tasks_stay_on_an_instance_that_drains_until_their_protection_ends(world: ServiceWorld) -> None:
    world.create(count=3)
    steady(world)
    kept = world.tasks()[0]
    world.act(ProtectTasks(task_ids=(kept.id,), until=world.now + 300))
    drain(world, kept.instance_id or "")
    world.run(200)
    assert kept.id in [task.id for task in world.tasks()]
    world.run(120)
    assert kept.id not in [task.id for task in world.tasks()]
    assert len(world.tasks()) == 3


def test_an_older_deployment_leaves_no_task_on_an_instance_that_drains(world: ServiceWorld) -> None:
    world.create(count=4)
    steady(world)
    drain(world, next(iter(world.state.instances)))
    world.deploy()
    steady(world)
    assert len(where(world)) == 2
    assert {task.definition for task in world.tasks()} == {"web:2"}


def test_a_protected_task_that_is_still_starting_is_left_alone(world: ServiceWorld) -> None:
    world.conduct["web:1"] = Conduct(start_seconds=30.0)
    world.create(count=2)
    world.run(1)
    kept = world.tasks(status="PENDING")[0]
    world.act(ProtectTasks(task_ids=(kept.id,), until=world.now + 600))
    world.deploy()
    world.run(60)
    assert kept.id in [task.id for task in world.tasks()]


def test_what_runs_is_not_scaled_in_for_a_protected_task_that_is_still_starting(world: ServiceWorld) -> None:
    world.create(count=2)
    steady(world)
    world.conduct["web:1"] = Conduct(start_seconds=60.0)
    world.update(desired_count=3)
    world.run(1)
    (starting,) = world.tasks(status="PENDING")
    world.act(ProtectTasks(task_ids=(starting.id,), until=world.now + 600))
    world.update(desired_count=1)
    world.run(5)
    assert len(world.tasks()) == 1
    steady(world)
    assert [task.id for task in world.tasks()] == [starting.id]


def uneven() -> ServiceWorld:
    """Four tasks in one zone; there is another one now."""
    world = ServiceWorld(instances=1)
    world.create(count=4, zone_rebalancing="ENABLED")
    steady(world)
    return world


def test_zones_are_not_evened_out_while_tasks_are_still_stopping() -> None:
    world = uneven()
    world.drain_seconds = 20.0
    world.conduct["web:1"] = Conduct(stop_seconds=20.0)
    world.update(desired_count=6)
    steady(world)
    world.add_instance()
    world.update(desired_count=4)
    before = len(world.said())
    world.run(120)
    assert len([text for text in world.said()[before:] if "AZ Rebalanc" in text]) <= 4
    assert sorted(Counter(task.zone for task in world.tasks()).values()) == [2, 2]


def test_zones_are_not_evened_out_when_the_tasks_to_go_are_protected() -> None:
    world = uneven()
    world.act(ProtectTasks(task_ids=tuple(task.id for task in world.tasks()), until=world.now + 600))
    world.add_instance()
    before = len(world.said())
    world.update(desired_count=4, managed_tags=True)
    world.run(300)
    assert not [text for text in world.said()[before:] if "started" in text]
    world.run(600)
    assert sorted(Counter(task.zone for task in world.tasks()).values()) == [2, 2]


def test_tasks_that_fail_in_a_thin_zone_are_not_started_again_and_again() -> None:
    world = uneven()
    world.add_instance()
    world.conduct["web:1"] = Conduct(fails=True)
    world.update(desired_count=4, managed_tags=True)
    world.run(600)
    assert len(world.tasks()) == 4
    assert sum("started" in text for text in world.said()) < 20


def test_tasks_of_an_older_deployment_that_are_still_stopping_count_when_zones_are_evened_out() -> None:
    world = uneven()
    world.conduct["web:1"] = Conduct(stop_seconds=100.0)
    world.deploy()
    steady(world)
    world.add_instance()
    # The world checks at each look that there are never more than maximumPercent allows.
    world.update(desired_count=4, managed_tags=True)
    world.run(300)
    assert sorted(Counter(task.zone for task in world.tasks()).values()) == [2, 2]


@pytest.mark.parametrize("count", [0, 2])
def test_nothing_is_left_of_a_service_that_went(world: ServiceWorld, count: int) -> None:
    world.create(count=count)
    steady(world)
    world.deploy()
    world.delete(force=True)
    world.run(3 * 3600)
    left = {kind.__name__ for kind, table in world.state.tables.items() if table}
    assert left == {"ContainerInstance", Gate.__name__}
