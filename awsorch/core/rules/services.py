"""Services are made, changed and deleted. What follows (tasks, deployments) is the planners' work.

Source: ECS API, CreateService, UpdateService, DeleteService, StopServiceDeployment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from awsorch.core.copies import remove
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events_services import (
    AlarmsSeen,
    CreateService,
    DeleteService,
    StopServiceDeployment,
    UpdateService,
)
from awsorch.core.model_services import Service, ServiceDeployment
from awsorch.core.rules.clusters import require_open
from awsorch.core.services.deployments import (
    ENDED,
    begin,
    can_turn_back,
    end_history,
    fail,
    primary_of,
    turn_back,
)
from awsorch.core.state import ClusterState, Transaction

ALARM = "alarm detected."
#: ECS's quota of services per cluster.
MOST_SERVICES = 5000


class Outdated(Refusal):
    """The service got another deployment since the update was derived from it: derive it again."""

    def __init__(self) -> None:
        super().__init__("ServerException", "The service was updated by another request at the same time; try again.")


def create_service(tx: Transaction[ClusterState], event: CreateService) -> Service:
    """A new ACTIVE service with its first deployment. A name is free when its service is INACTIVE."""
    require_open(tx.state)
    known = tx.state.services.get(event.name)
    if known is not None:
        if known.status == "DRAINING":
            raise invalid_parameter("Unable to Start a service that is still Draining.")
        if known.status == "ACTIVE":
            if event.client_token and (known.client_token, known.fingerprint) == (
                event.client_token,
                event.fingerprint,
            ):
                return known
            raise invalid_parameter("Creation of service was not idempotent.")
        for record in belongings(tx.state, known):
            remove(tx, record)
    _require_quota(tx.state)
    service = Service(
        name=event.name,
        arn=event.arn,
        scheduling_strategy=event.scheduling_strategy,
        desired_count=event.desired_count,
        configuration=event.configuration,
        constraints=event.constraints,
        strategies=event.strategies,
        grace_seconds=event.grace_seconds,
        zone_rebalancing=event.zone_rebalancing,
        propagate_tags=event.propagate_tags,
        managed_tags=event.managed_tags,
        enable_execute_command=event.enable_execute_command,
        role_arn=event.role_arn,
        created_at=tx.now,
        created_by=event.created_by,
        tags=event.tags,
        client_token=event.client_token,
        fingerprint=event.fingerprint,
        deployment="",
    )
    return begin(tx, service, event.revision)


def _require_quota(state: ClusterState) -> None:
    """INACTIVE services are only there to be looked at; they do not count."""
    if len(state.services) < MOST_SERVICES:
        return
    if sum(service.status != "INACTIVE" for service in state.services.values()) >= MOST_SERVICES:
        raise invalid_parameter(f"The cluster has reached the limit of {MOST_SERVICES} services.")


def belongings(state: ClusterState, service: Service) -> Iterator[Any]:
    """The records that go when a service is forgotten, itself last."""
    index = state.service_index
    yield from [state.deployments[key] for key in index.deployments(service.name)]
    yield from [state.service_revisions[key] for key in index.revisions(service.name)]
    yield from [state.service_deployments[key] for key in index.histories(service.name)]
    for number in range(max(1, service.event_count - 99), service.event_count + 1):
        event = state.service_events.get(f"{service.name}/{number}")
        if event is not None:
            yield event
    yield service


def update_service(tx: Transaction[ClusterState], event: UpdateService) -> Service:
    """Change what may change, and begin a deployment where the update makes one."""
    service = active_service(tx.state, event.name)
    if event.expected is not None and service.deployment != event.expected:
        raise Outdated
    changed = replace(service, **event.changes)
    if changed != service:
        changed = replace(changed, steady_at=None)
        tx.put(changed)
    return begin(tx, changed, event.revision) if event.revision is not None else changed


def active_service(state: ClusterState, name: str) -> Service:
    """The service of this name if it can be changed; else the refusal that ECS gives."""
    service = state.services.get(name)
    if service is None:
        raise Refusal("ServiceNotFoundException", "Service not found.")
    if service.status != "ACTIVE":
        raise Refusal("ServiceNotActiveException", "Service was not ACTIVE.")
    return service


def delete_service(tx: Transaction[ClusterState], event: DeleteService) -> Service:
    """DRAINING from now on; INACTIVE once no task of it is to run. Replicas must be scaled to 0 before, or forced."""
    service = tx.state.services.get(event.name)
    if service is None or service.status == "INACTIVE":
        raise Refusal("ServiceNotFoundException", "Service not found.")
    if service.status == "DRAINING":
        return service
    wished = sum(phases.wished for phases in tx.state.service_index.crews(service.name).values())
    if not event.force and not service.is_daemon and (service.desired_count or wished):
        raise invalid_parameter("The service cannot be stopped while it is scaled above 0.")
    end_history(tx, service, "STOPPED", "The service was deleted.")
    service = replace(service, status="DRAINING", desired_count=0, waiting=False)
    tx.put(service)
    return service


def stop_service_deployment(tx: Transaction[ClusterState], event: StopServiceDeployment) -> ServiceDeployment:
    """Turn back to the last revision that worked; a first deployment has none, and just ends."""
    history = tx.state.service_deployments.get(f"{event.service}/{event.id}")
    if history is None:
        raise Refusal("ServiceDeploymentNotFoundException", "Service deployment not found.")
    service = tx.state.services[event.service]
    if history.status in ENDED or history.rollback is not None or service.service_deployment != history.id:
        raise Refusal(
            "ConflictException", f"The service deployment can't be stopped because its status is {history.status}."
        )
    deployment = primary_of(tx.state, service)
    reason = "Service deployment stopped by user."
    stopped = f"ECS deployment {deployment.id} stopped."
    tx.put(replace(deployment, rollout_state="FAILED", rollout_reason=stopped, updated_at=tx.now))
    if can_turn_back(service, deployment):
        turn_back(tx, service, reason, f"ECS deployment {deployment.id} stopped")
    else:
        end_history(tx, service, "STOPPED", reason)
    return tx.state.service_deployments[history.key]


def alarms_seen(tx: Transaction[ClusterState], event: AlarmsSeen) -> None:
    """The first look says whether alarms count for this deployment; an alarm later fails it."""
    service = tx.state.services.get(event.service)
    if service is None or service.status != "ACTIVE" or service.deployment != event.deployment:
        return
    deployment = primary_of(tx.state, service)
    if deployment.rollout_state != "IN_PROGRESS" or deployment.alarms_ignored:
        return
    if deployment.alarms_ignored is None:
        tx.put(replace(deployment, alarms_ignored=bool(event.on)))
        tx.wake(("keep_services", service.name))
    elif event.on:
        history = tx.state.service_deployments.get(f"{service.name}/{service.service_deployment}")
        if history is not None:
            tx.put(replace(history, triggered_alarms=event.on))
        alarms = service.configuration.get("alarms", {})
        fail(tx, service, deployment, ALARM, roll_back=bool(alarms.get("rollback")))
        tx.wake(("keep_services", service.name))
