"""Availability Zone rebalancing: a steady service whose zones are uneven moves tasks, the new ones first.

The tasks started beyond the desired count are ``Service.moving``; when all are healthy, as many go from the fullest
zones. Anything else that happens to the service ends it, and the surplus is scaled in like any other.

Source: ECS developer guide, "Balancing an Amazon ECS service across Availability Zones".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from awsorch.core.model import Constraint
from awsorch.core.model_services import Service
from awsorch.core.placement.filters import filter_of
from awsorch.core.placement.strategies import ZONE
from awsorch.core.rules.new_tasks import definition_constraints
from awsorch.core.rules.stop_tasks import request_stop
from awsorch.core.service_index import Phases
from awsorch.core.services.bounds import upper_bound
from awsorch.core.services.deployments import primary_of
from awsorch.core.services.failures import next_start
from awsorch.core.services.scale_in import choose
from awsorch.core.services.speech import clear, complain, listed, say
from awsorch.core.services.tasks import SCHEDULER, is_protected, start_tasks, template_of
from awsorch.core.state import ClusterState, Transaction

BATCH = 10
#: Uneven zones that can't be evened out now are looked at again after this long. Seconds.
PAUSE_S = 60.0
NO_ROOM = "is unable to place a task in {zone} because no container instance met all of its requirements."


def go_on(tx: Transaction[ClusterState], service: Service) -> None:
    """One look at a service that is moving tasks between zones."""
    own = tx.state.service_index.phases(service.name, service.deployment)
    wished = service.desired_count + service.moving
    alone = len(tx.state.service_index.crews(service.name)) == 1
    undisturbed = alone and primary_of(tx.state, service).rollout_state == "COMPLETED" and own.wished >= wished
    if not undisturbed or own.unhealthy or own.stopping:
        tx.put(replace(service, moving=0))
        say(tx, service.name, "stopped AZ Rebalancing.")
    elif len(own.healthy) >= wished:
        _finish(tx, service, own)


def _finish(tx: Transaction[ClusterState], service: Service, own: Phases) -> None:
    """The new tasks are healthy: as many go from the fullest zones."""
    free = [task_id for task_id in own.healthy if not is_protected(tx.state.tasks[task_id], tx.now)]
    chosen = choose(tx.state, (), service.group, free, service.moving)
    tx.put(replace(service, moving=0))
    by_zone: dict[str, list[str]] = {}
    for task in chosen:
        assert task.service is not None
        reason = f"Availability-zone rebalancing initiated by (deployment ecs-svc/{task.service.deployment})"
        request_stop(tx, task, SCHEDULER, reason)
        by_zone.setdefault(task.zone or "", []).append(task.id)
    for zone, ids in by_zone.items():
        text = f"has stopped {len(ids)} running tasks in {zone} due to AZ rebalancing: {listed(ids)}."
        say(tx, service.name, text)


def begin(tx: Transaction[ClusterState], service: Service) -> bool:
    """Look whether the zones of a steady service are uneven; answers whether tasks are being moved."""
    if service.zone_rebalancing != "ENABLED" or service.is_daemon or service.desired_count < 2:
        return False
    primary = primary_of(tx.state, service)
    own = tx.state.service_index.phases(service.name, service.deployment)
    crews = tx.state.service_index.crews(service.name).values()
    room = upper_bound(service, service.desired_count) - sum(crew.live for crew in crews)
    counts = Counter(tx.state.tasks[task_id].zone or "" for task_id in own.healthy)
    # Even over all zones is even over those that the tasks may be in, and that is the usual case: ask no instance then.
    even = room <= 0 or _are_even(counts, tx.state.instances_by_zone.names())
    zones = [] if even else _zones(tx.state, service)
    if len(zones) < 2 or _are_even(counts, zones):
        clear(tx, service.name, "zones")
        return False
    counts.update(dict.fromkeys(zones, 0))
    thin = min(zones, key=lambda zone: (counts[zone], zone))
    # What is still stopping would end the move as soon as it began, and so would tasks that fail again and again.
    pause_until = next_start(service, primary)
    movable = _movable(tx, own, counts, counts[thin] + 1)
    if any(crew.stopping for crew in crews) or not movable or tx.now < pause_until:
        tx.wake(("keep_services", service.name), max(pause_until, tx.now + PAUSE_S))
        return False
    fair = service.desired_count // len(counts)
    count = min(max(1, fair - counts[thin]), movable, room, BATCH)
    placed = start_tasks(tx, service, primary, count, also=(_within(thin),), zone=thin)
    if not placed.tasks:
        complain(tx, service.name, "zones", NO_ROOM.format(zone=thin))
        return False
    listing = ", ".join(f"{counts[zone]} tasks in {zone}" for zone in sorted(counts))
    complain(tx, service.name, "zones", f"is not AZ balanced with {listing}. AZ Rebalancing in progress.")
    tx.put(replace(tx.state.services[service.name], moving=len(placed.tasks)))
    return True


def _are_even(counts: Counter[str], zones: Collection[str]) -> bool:
    """Whether no zone has two tasks more than one of these."""
    return max(counts.values(), default=0) - min((counts[zone] for zone in zones), default=0) < 2


def _movable(tx: Transaction[ClusterState], own: Phases, counts: Counter[str], most: int) -> int:
    """How many tasks are in zones that have more than ``most`` of them and may go: protected ones stay."""
    tasks = (tx.state.tasks[task_id] for task_id in own.healthy)
    return sum(counts[task.zone or ""] > most and not is_protected(task, tx.now) for task in tasks)


def _zones(state: ClusterState, service: Service) -> list[str]:
    """Zones with an instance that may take the service's tasks."""
    template = template_of(state, service, primary_of(state, service))
    asked = filter_of(template.demand.attributes, service.constraints + definition_constraints(template))
    by_zone = state.instances_by_zone
    return [zone for zone in by_zone.names() if any(asked.accepts(state.instances[i]) for i in by_zone[zone])]


def _within(zone: str) -> Constraint:
    return Constraint(type="memberOf", expression=f"attribute:{ZONE} == {zone}")
