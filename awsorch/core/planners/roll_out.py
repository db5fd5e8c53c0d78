"""How a deployment moves: new tasks within maximumPercent, old ones gone while minimumHealthyPercent stays healthy.

``move`` is one look at an ACTIVE service: fail what has failed, start, stop, complete. It is the rolling strategy of
the ECS deployment controller; other strategies get a function of their own in ``_STRATEGIES``.

Source: ECS developer guide, "Deploy Amazon ECS services by replacing tasks", "How the Amazon ECS deployment circuit
breaker detects failures", "How CloudWatch alarms detect Amazon ECS deployment failures".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from awsorch.core.commands import WatchAlarms
from awsorch.core.model_services import Deployment, Service
from awsorch.core.services import daemons, replicas
from awsorch.core.services.deployments import complete, deployments_of, fail, primary_of
from awsorch.core.services.draining import displaced
from awsorch.core.services.failures import INCONSISTENT_ROUNDS, breaker, is_open, rounds
from awsorch.core.services.speech import INCONSISTENT, clear, complain
from awsorch.core.state import ClusterState, Transaction

Move = Callable[[Transaction[ClusterState], Service], None]

TASKS_FAILED = "tasks failed to start."
#: CloudWatch alarms are watched for this long after a deployment has all its tasks, unless the service says. Seconds.
ALARM_BAKE_S = 300.0
ALARM_POLL_S = 10.0
BATCH = 50


def move(tx: Transaction[ClusterState], service: Service) -> None:
    """One look at a service that is ACTIVE."""
    _STRATEGIES[service.configuration.get("strategy", "ROLLING")](tx, service)


def is_steady(tx: Transaction[ClusterState], service: Service) -> bool:
    """Whether the service is as wished: its deployment COMPLETED, every task healthy, nothing more and nothing less."""
    if service.waiting or primary_of(tx.state, service).rollout_state != "COMPLETED":
        return False
    return _has_all(tx, service)


def _roll(tx: Transaction[ClusterState], service: Service) -> None:
    """The rolling update."""
    name = service.name
    primary = primary_of(tx.state, service)
    if primary.rollout_state == "IN_PROGRESS":
        if is_open(service, primary):
            fail(tx, service, primary, TASKS_FAILED, roll_back=bool(breaker(service).get("rollback")))
            tx.wake(("keep_services", name))
            return
        if not primary.begun:
            tx.put(replace(primary, begun=True))
        if primary.rolls_back and _adopt(tx, primary):
            tx.wake(("keep_services", name))
            return
        _watch_alarms(tx, service, primary)
    if rounds(service, primary) >= INCONSISTENT_ROUNDS:
        complain(tx, name, "start", INCONSISTENT)
    else:
        clear(tx, name, "start")
    (daemons if service.is_daemon else replicas).keep(tx, tx.state.services[name])
    _drop_empty(tx, name)
    _complete_if_done(tx, tx.state.services[name])


def _adopt(tx: Transaction[ClusterState], primary: Deployment) -> bool:
    """Turning back keeps the tasks of that revision that still run: they become the new deployment's, 50 a look."""
    name, taken = primary.service, 0
    for other in deployments_of(tx.state, name)[1:]:
        phases = tx.state.service_index.phases(name, other.number)
        ids = [*phases.healthy, *phases.unknown, *phases.pending] if other.revision == primary.revision else []
        for task_id in ids[: BATCH - taken]:
            task = tx.state.tasks[task_id]
            if task.service is not None:
                membership = replace(task.service, deployment=primary.number)
                tx.put(replace(task, service=membership, started_by=primary.id))
                taken += 1
    return taken > 0


def _has_all(tx: Transaction[ClusterState], service: Service) -> bool:
    """Whether exactly the wished tasks of the PRIMARY deployment are there, healthy, where they may stay, and none of
    another."""
    crews = tx.state.service_index.crews(service.name)
    own = tx.state.service_index.phases(service.name, service.deployment)
    others = sum(phases.wished for number, phases in crews.items() if number != service.deployment)
    if others or not len(own.healthy) == own.wished == service.desired_count:
        return False
    return not displaced(tx, own).wished


def _drop_empty(tx: Transaction[ClusterState], name: str) -> None:
    """Older deployments without a task to keep leave the list, unless the PRIMARY one failed and they may be needed."""
    primary, *older = deployments_of(tx.state, name)
    for deployment in older:
        wished = tx.state.service_index.phases(name, deployment.number).wished
        needed = primary.rollout_state == "FAILED" and deployment.rollout_state == "COMPLETED"
        if not wished and not needed:
            tx.remove(deployment)


def _complete_if_done(tx: Transaction[ClusterState], service: Service) -> None:
    primary = primary_of(tx.state, service)
    if primary.rollout_state != "IN_PROGRESS" or not _has_all(tx, service) or _old_get_traffic(tx.state, service):
        return
    bake = _bake_seconds(service, primary)
    if bake:
        settled = primary.settled_at or tx.now
        if primary.settled_at is None:
            primary = replace(primary, settled_at=settled)
            tx.put(primary)
        if tx.now < settled + bake:
            tx.wake(("keep_services", service.name), settled + bake)
            return
    complete(tx, service, primary)


def _old_get_traffic(state: ClusterState, service: Service) -> bool:
    """Whether load balancers may still send requests to older tasks: that they drain them has not been seen."""
    for number, phases in state.service_index.crews(service.name).items():
        if number == service.deployment:
            continue
        for task_id in phases.stopping:
            targets = state.service_index.targets_of_task(task_id)
            if any(state.targets[key].state not in ("draining", "absent") for key in targets):
                return True
    return False


def _bake_seconds(service: Service, primary: Deployment) -> float:
    """How long alarms are still watched once all is there; 0 where none are."""
    minutes = service.configuration.get("bakeTimeInMinutes") or 0
    if primary.rolls_back or not _alarms(service) or primary.alarms_ignored:
        return 0.0
    return minutes * 60.0 or ALARM_BAKE_S


def _alarms(service: Service) -> tuple[str, ...]:
    """Names of the CloudWatch alarms that fail a deployment."""
    alarms = service.configuration.get("alarms", {})
    return tuple(alarms.get("alarmNames", ())) if alarms.get("enable") else ()


def _watch_alarms(tx: Transaction[ClusterState], service: Service, primary: Deployment) -> None:
    names = _alarms(service)
    if names and not primary.alarms_ignored and not primary.rolls_back:
        tx.send(WatchAlarms(service=service.name, deployment=primary.number, names=names))
        tx.wake(("keep_services", service.name), tx.now + ALARM_POLL_S)


_STRATEGIES: Mapping[str, Move] = {"ROLLING": _roll}
