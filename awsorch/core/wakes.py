"""Which keys a changed record makes dirty, and which keys there are: one table for the whole core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from awsorch.core.lifecycle import is_final
from awsorch.core.model import ContainerInstance, RunToken, Task
from awsorch.core.model_capacity import Launch, Machine, Provider
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
        if new.agent_update is not None and (old is None or _is_to_be_told(old, new)):
            yield ("update_agents", new.id), 0.0
        if old is None or _offers(old) != _offers(new):
            yield ("retry_placements", ""), 0.0
            yield ("retry_placements", "daemons"), 0.0
            for provider in {old.capacity_provider if old is not None else None, new.capacity_provider} - {None}:
                yield ("end_machines", provider or ""), 0.0
    elif isinstance(new, Service):
        if old is None or _wishes(old) != _wishes(new):
            yield ("keep_services", new.name), 0.0
    elif isinstance(old, Target):
        # A deployment is not complete before its older tasks get no more requests.
        if old.leaving and (new is None or new.state != old.state):
            yield ("keep_services", old.service), 0.0
    elif isinstance(new, Machine) or isinstance(old, Machine):
        yield from _machine_wakes(old, new)
    elif isinstance(new, Provider):
        if old is None or _settings(old) != _settings(new):
            yield ("size_groups", new.name), 0.0
            yield ("end_machines", new.name), 0.0
    elif isinstance(old, Launch) and new is None:
        yield ("size_groups", old.provider), 0.0
    elif isinstance(new, RunToken):
        yield ("expire_tasks", ""), new.created_at + TOKEN_LIFE_S


def _offers(instance: ContainerInstance) -> tuple[Any, ...]:
    """What of an instance decides about placing tasks there."""
    return (
        instance.status,
        instance.agent_connected,
        instance.resources,
        instance.attributes,
        instance.capacity_provider,
    )


def _is_to_be_told(old: ContainerInstance, new: ContainerInstance) -> bool:
    """Whether something new is to be said to the agent about its update."""
    has_next = new.agent_update_status in ("PENDING", "STAGED") and new.agent_update_status != old.agent_update_status
    return has_next or new.agent_connected != old.agent_connected


def _settings(provider: Provider) -> tuple[Any, ...]:
    """What of a provider decides about its machines."""
    return (
        provider.scaling,
        provider.managed,
        provider.termination_protection,
        provider.draining,
        provider.minimum,
        provider.maximum,
        provider.desired,
        provider.offers,
        provider.failure,
    )


def _machine_wakes(old: Machine | None, new: Machine | None) -> Iterator[tuple[Key, float]]:
    """Both planners of a provider look when a machine comes, goes, or is to go."""
    known = new or old
    assert known is not None
    if old is None or new is None or (old.state, old.ending) != (new.state, new.ending):
        yield ("size_groups", known.provider), 0.0
        yield ("end_machines", known.provider), 0.0


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
    before = old.capacity_provider if old is not None and old.waiting is not None else None
    after = new.capacity_provider if new.waiting is not None else None
    if before != after:
        for provider in (before, after):
            if provider is not None:
                yield ("size_groups", provider), 0.0
                yield ("place_tasks", provider), 0.0
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
    if new.attachments and new.instance_id is not None and (old is None or _attached(old) != _attached(new)):
        yield ("provide_attachments", new.id), 0.0
    if new.stopped_at is not None:
        if new.forgettable_at is not None and (old is None or old.forgettable_at is None):
            yield ("expire_tasks", ""), new.forgettable_at + RETENTION_S
    elif new.instance_id is not None and (
        old is None or old.instance_id is None or old.desired_status != new.desired_status
    ):
        yield (
            ("mind_instances", new.instance_id),
            max(new.created_at, new.stopping_at or 0.0) + RESEND_AFTER_S,
        )


def _attached(task: Task) -> tuple[Any, ...]:
    """What of a task decides about its interfaces and volumes."""
    return task.instance_id, task.held, is_final(task.last_status)


def all_keys(state: State) -> Iterable[Key]:
    """Every key that a planner could have something to do for: dirty at start and at each slow sweep."""
    if isinstance(state, ClusterState):
        yield "expire_tasks", ""
        for instance in state.instances.values():
            yield "mind_instances", instance.id
            if instance.agent_update is not None:
                yield "update_agents", instance.id
        for task in state.tasks.values():
            if task.attachments and task.forgettable_at is None:
                yield "provide_attachments", task.id
        for name in state.services:
            yield "keep_services", name
        for group in state.service_index.groups():
            yield "sync_targets", group
        for name in state.providers:
            yield "size_groups", name
            yield "end_machines", name
            yield "place_tasks", name
