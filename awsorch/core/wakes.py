"""Which keys a changed record makes dirty, and which keys there are: one table for the whole core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from awsorch.core.model import ContainerInstance, RunToken, Task
from awsorch.core.model_services import Service, Target
from awsorch.core.service_index import phase_of
from awsorch.core.state import ClusterState, Key, State

#: How long stopped tasks and deregistered instances stay visible (ECS: at least an hour), in seconds.
RETENTION_S = 3600.0
#: A RunTask clientToken is forgotten after this long at the latest, in seconds (ECS: 24 hours).
TOKEN_LIFE_S = 86400.0
#: An instance that has not done what it was told is told again after this long, in seconds.
RESEND_AFTER_S = 30.0


def wakes_of(old: Any | None, new: Any | None) -> Iterator[tuple[Key, float]]:
    """(key, not before) for one change. Time 0 means at once."""
    if isinstance(new, Task):
        yield from _task_wakes(old, new)
    elif isinstance(new, ContainerInstance):
        if old is None or old.status != new.status or old.agent_connected != new.agent_connected:
            yield ("mind_instances", new.id), 0.0
        if old is None or _offers(old) != _offers(new):
            yield ("retry_placements", ""), 0.0
            yield ("retry_placements", "daemons"), 0.0
    elif isinstance(new, Service):
        if old is None or _wishes(old) != _wishes(new):
            yield ("keep_services", new.name), 0.0
    elif isinstance(old, Target):
        # A deployment is not complete before its older tasks get no more requests.
        if old.leaving and (new is None or new.state != old.state):
            yield ("keep_services", old.service), 0.0
    elif isinstance(new, RunToken):
        yield ("expire_tasks", ""), new.created_at + TOKEN_LIFE_S


def _offers(instance: ContainerInstance) -> tuple[Any, ...]:
    """What of an instance decides about placing tasks there."""
    return instance.status, instance.agent_connected, instance.resources, instance.attributes


def _wishes(service: Service) -> tuple[Any, ...]:
    """What of a service decides about its tasks."""
    return (
        service.status,
        service.desired_count,
        service.deployment,
        service.configuration,
        service.constraints,
        service.strategies,
        service.zone_rebalancing,
    )


def _task_wakes(old: Task | None, new: Task) -> Iterator[tuple[Key, float]]:
    if new.service is not None:
        moved = old is None or phase_of(old) != phase_of(new)
        if moved:
            yield ("keep_services", new.service.name), 0.0
        # Containers say when they are healthy enough for traffic, and at which ports they are.
        if moved or (old is not None and old.containers != new.containers):
            for balancer in new.service.load_balancers:
                yield ("sync_targets", balancer.group), 0.0
    if old is not None and old.holds_resources and not new.holds_resources:
        yield ("retry_placements", ""), 0.0
    if new.stopped_at is not None:
        if old is None or old.stopped_at is None:
            yield ("expire_tasks", ""), new.stopped_at + RETENTION_S
    elif new.instance_id is not None and (
        old is None or old.instance_id is None or old.desired_status != new.desired_status
    ):
        yield (
            ("mind_instances", new.instance_id),
            max(new.created_at, new.stopping_at or 0.0) + RESEND_AFTER_S,
        )


def all_keys(state: State) -> Iterable[Key]:
    """Every key that a planner could have something to do for: dirty at start and at each slow sweep."""
    if isinstance(state, ClusterState):
        yield "expire_tasks", ""
        for instance_id in state.instances:
            yield "mind_instances", instance_id
        for name in state.services:
            yield "keep_services", name
        for group in state.service_index.groups():
            yield "sync_targets", group
