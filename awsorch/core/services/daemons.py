"""Daemon services: one task on every instance that meets the constraints; on an instance the old one goes first.

Source: ECS developer guide, "Amazon ECS services", daemon scheduling strategy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from awsorch.core.model import Constraint, Task
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


def keep(tx: Transaction[ClusterState], service: Service) -> None:
    """Start and stop what may be started and stopped now, about 50 of each."""
    primary = primary_of(tx.state, service)
    eligible = _eligible(tx.state, service, primary)
    if service.desired_count != len(eligible):
        service = replace(service, desired_count=len(eligible))
        tx.put(service)
    picks = list(_picks(tx, service, eligible))
    stop_tasks(tx, service, picks[:BATCH])
    if len(picks) > BATCH:
        tx.wake(("keep_services", service.name))
    if primary.rollout_state != "FAILED":
        _fill(tx, tx.state.services[service.name], primary, eligible)


def _eligible(state: ClusterState, service: Service, primary: Deployment) -> frozenset[str]:
    """Ids of the ACTIVE instances that meet every constraint, whatever room they have."""
    template = template_of(state, service, primary)
    asked = filter_of(template.demand.attributes, service.constraints + definition_constraints(template))
    return frozenset(
        instance.id for instance in state.instances.values() if instance.status == "ACTIVE" and asked.accepts(instance)
    )


def _picks(tx: Transaction[ClusterState], service: Service, eligible: frozenset[str]) -> Iterator[Task]:
    """Tasks on instances that are no longer meant, unhealthy ones, and older ones within the lower bound."""
    state, primary = tx.state, primary_of(tx.state, service)
    crews = state.service_index.crews(service.name)
    healthy = sum(len(phases.healthy) for phases in crews.values())
    spare = healthy - lower_bound(service, service.desired_count)
    frozen = primary.rollout_state == "FAILED"
    for number, phases in crews.items():
        older = number != primary.number and not frozen
        for phase in ("pending", "unhealthy", "unknown", "healthy"):
            for task_id in phases.of(phase):
                task = state.tasks[task_id]
                if task.instance_id not in eligible or phase == "unhealthy":
                    yield task
                elif older and (phase != "healthy" or spare > 0):
                    spare -= phase == "healthy"
                    yield task


def _fill(tx: Transaction[ClusterState], service: Service, primary: Deployment, eligible: frozenset[str]) -> None:
    """One task on each instance that has none of the service, not even one that is stopping."""
    taken = {
        tx.state.tasks[task_id].instance_id
        for phases in tx.state.service_index.crews(service.name).values()
        for phase in ("pending", "unhealthy", "unknown", "healthy", "stopping")
        for task_id in phases.of(phase)
    }
    free = eligible - taken
    pause_until = next_start(service, primary)
    if free and tx.now < pause_until:
        tx.wake(("keep_services", service.name), pause_until)
        return
    count = min(len(free), BATCH)
    placed = start_tasks(tx, service, primary, count, only=frozenset(free), also=(_ONE_EACH,)) if count else None
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
