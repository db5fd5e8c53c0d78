"""What ECS's metrics say of a cluster and its services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from awsorch.core import model
from awsorch.core.state import ClusterState
from awsorch.core.utilization import Tally, Used
from tests.gateway.test_telemetry import a_state
from tests.support.builders import a_task, an_instance

INSTANCE = an_instance(cpu=2048, memory=4000)


def running(id: str, *, service: str | None = None, cpu: int = 512, memory: int = 500, **members: Any) -> model.Task:
    known = model.TaskService(name=service, deployment="1") if service is not None else None
    task = a_task(id * 32, instance_id=INSTANCE.id, last_status="RUNNING", service=known, **members)
    return replace(task, demand=replace(task.demand, cpu=cpu, memory=memory))


def figures(state: ClusterState, used: dict[str, Used]) -> dict[tuple[str, str | None], tuple[float, ...]]:
    tally = Tally("default")
    for instance in state.instances.values():
        tally.offer(instance)
    for task in state.tasks.values():
        tally.count(task, state.instances.get(task.instance_id or ""), used.get(task.id))
    return {(each.name, each.service): each.values for each in tally.figures()}


def test_use_is_told_of_what_instances_offer_and_of_what_tasks_reserve() -> None:
    one, two = running("a", service="web"), running("b", service="web")
    found = figures(
        a_state(INSTANCE, one, two), {one.id: Used(cpu=25.0, memory=100.0), two.id: Used(cpu=50.0, memory=1000.0)}
    )
    assert found == {
        ("CPUReservation", None): (50.0,),
        ("MemoryReservation", None): (25.0,),
        ("CPUUtilization", None): (75.0,),
        ("MemoryUtilization", None): (27.5,),
        ("CPUUtilization", "web"): (100.0, 200.0),
        ("MemoryUtilization", "web"): (20.0, 200.0),
    }


def test_without_running_tasks_there_are_no_figures() -> None:
    task = replace(running("a"), last_status="PENDING")
    assert figures(a_state(INSTANCE, task), {}) == {}
    assert figures(a_state(replace(INSTANCE, status="INACTIVE"), running("a")), {}) == {}


def test_draining_instances_count() -> None:
    assert figures(a_state(replace(INSTANCE, status="DRAINING"), running("a")), {})["CPUReservation", None] == (25.0,)


def test_what_no_agent_told_of_is_left_out() -> None:
    found = figures(a_state(INSTANCE, running("a", service="web")), {"nobody": Used(cpu=1.0, memory=1.0)})
    assert found.keys() == {("CPUReservation", None), ("MemoryReservation", None)}


def test_what_reserves_nothing_has_no_percentage() -> None:
    task = running("a", service="web", cpu=0)
    found = figures(a_state(INSTANCE, task), {task.id: Used(cpu=10.0, memory=50.0)})
    assert ("CPUUtilization", "web") not in found
    assert found["MemoryUtilization", "web"] == (10.0,)
    assert found["CPUUtilization", None] == (10.0,)


def test_gpus_are_reserved_where_there_are_any() -> None:
    instance = replace(INSTANCE, resources=replace(INSTANCE.resources, gpu_ids=("g1", "g2", "g3", "g4")))
    found = figures(a_state(instance, running("a", gpu_ids=("g1",))), {})
    assert found["GPUReservation", None] == pytest.approx((25.0,))
