"""Daemon services: one task on every instance that meets the constraints; on an instance the old one goes first.

Source: ECS developer guide, "Amazon ECS services", daemon scheduling strategy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from awsorch.core.daemon_index import Circle
from awsorch.core.model import Constraint
from awsorch.core.model_services import Deployment, Service
from awsorch.core.placement.filters import filter_of
from awsorch.core.rules.new_tasks import definition_constraints
from awsorch.core.services.bounds import lower_bound
from awsorch.core.services.deployments import primary_of
from awsorch.core.services.failures import next_start
from awsorch.core.services.replicas import BATCH, RETRY_S
from awsorch.core.services.speech import clear, complain, no_place
from awsorch.core.services.tasks import start_tasks, stop_tasks, template_of
from awsorch.core.state import ClusterState, Transaction

_ONE_EACH = Constraint(type="distinctInstance")
_LIVE = ("pending", "unhealthy", "unknown", "healthy", "stopping")


def keep(tx: Transaction[ClusterState], service: Service) -> None:
    """Start and stop what may be started and stopped now, about 50 of each."""
    primary = primary_of(tx.state, service)
    circle = _circle(tx.state, service, primary)
    if service.desired_count != len(circle.meant):
        service = replace(service, desired_count=len(circle.meant))
        tx.put(service)
    picks = list(islice(_picks(tx.state, service, circle), BATCH + 1))
    stop_tasks(tx, service, [tx.state.tasks[task_id] for task_id in picks[:BATCH]])
    if len(picks) > BATCH:
        tx.wake(("keep_services", service.name))
    if primary.rollout_state != "FAILED":
        _fill(tx, tx.state.services[service.name], primary, circle)


def _circle(state: ClusterState, service: Service, primary: Deployment) -> Circle:
    template = template_of(state, service, primary)
    asked = filter_of(template.demand.attributes, service.constraints + definition_constraints(template))
    crews = state.service_index.crews(service.name).values()
    live = (task_id for phases in crews for phase in _LIVE for task_id in phases.of(phase))
    return state.daemon_index.circle(service.name, asked, live)


def _picks(state: ClusterState, service: Service, circle: Circle) -> Iterator[str]:
    """Ids of tasks on instances that are no longer meant, of unhealthy ones, and of older ones within the lower bound,
    for which those count that stay where they are meant to be."""
    primary, strays = primary_of(state, service), circle.strays
    yield from strays
    crews = state.service_index.crews(service.name)
    for phases in crews.values():
        yield from (task_id for task_id in phases.unhealthy if task_id not in strays)
    if primary.rollout_state == "FAILED":
        return
    healthy = sum(len(phases.healthy) for phases in crews.values())
    healthy -= sum(task_id in phases.healthy for task_id in strays for phases in crews.values())
    spare = healthy - lower_bound(service, service.desired_count)
    for number, phases in crews.items():
        if number != primary.number:
            yield from (task_id for task_id in (*phases.pending, *phases.unknown) if task_id not in strays)
            able = (task_id for task_id in phases.healthy if task_id not in strays)
            going = list(islice(able, max(0, min(spare, BATCH + 1))))
            yield from going
            spare -= len(going)


def _fill(tx: Transaction[ClusterState], service: Service, primary: Deployment, circle: Circle) -> None:
    """One task on each instance that has none of the service, not even one that is stopping."""
    free = frozenset(circle.free)
    pause_until = next_start(service, primary)
    if free and tx.now < pause_until:
        tx.wake(("keep_services", service.name), pause_until)
        return
    count = min(len(free), BATCH)
    placed = start_tasks(tx, service, primary, count, only=free, also=(_ONE_EACH,)) if count else None
    short = placed is not None and len(placed.tasks) < count
    if placed is not None and short:
        complain(tx, service.name, "placement", no_place(placed.failures))
        tx.wake(("keep_services", service.name), tx.now + RETRY_S)
    else:
        clear(tx, service.name, "placement")
        if len(free) > count:
            tx.wake(("keep_services", service.name))
    record = tx.state.services[service.name]
    if record.waiting != short:
        tx.put(replace(record, waiting=short))
