"""Deployments begin, complete, fail and turn back: their records and those of their history, changed together.

Source: ECS API, Deployment, ServiceDeployment; developer guide, "View service history using Amazon ECS service
deployments", "Stopping Amazon ECS service deployments".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from awsorch.core.events_services import RevisionWish
from awsorch.core.model_services import (
    Deployment,
    RevisionCount,
    Rollback,
    Service,
    ServiceDeployment,
    ServiceRevision,
)
from awsorch.core.services.failures import threshold
from awsorch.core.services.speech import say
from awsorch.core.state import ClusterState, Transaction

#: Service deployments are kept for this long. Seconds.
HISTORY_S = 90 * 86400.0
ENDED = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")


def deployments_of(state: ClusterState, service: str) -> list[Deployment]:
    """A service's deployments, the PRIMARY one first, then newest first."""
    found = [state.deployments[key] for key in state.service_index.deployments(service)]
    return sorted(found, key=lambda d: (d.status != "PRIMARY", -d.created_at, d.number))


def growing_of(deployments: Sequence[Deployment]) -> Deployment:
    """Which of a service's deployments, as ``deployments_of`` has them, new tasks are of: the PRIMARY one, or when it
    FAILED the latest that worked, if there is one."""
    primary, *others = deployments
    if primary.rollout_state != "FAILED":
        return primary
    return next((each for each in others if each.rollout_state == "COMPLETED"), primary)


def primary_of(state: ClusterState, service: Service) -> Deployment:
    """The PRIMARY deployment of a service that is ACTIVE."""
    return state.deployments[f"{service.name}/{service.deployment}"]


def revision_of(state: ClusterState, service: Service) -> ServiceRevision | None:
    """What the service's PRIMARY deployment runs, or ran; None where the service is just being forgotten."""
    deployment = state.deployments.get(f"{service.name}/{service.deployment}")
    # The deployments of an INACTIVE service are gone. The number of one that turned back is not that of its revision.
    numbers = [deployment.revision] if deployment is not None else [service.deployment, service.stable_revision]
    found = (state.service_revisions.get(f"{service.name}/{number}") for number in numbers)
    return next((revision for revision in found if revision is not None), None)


def history_of(state: ClusterState, service: Service) -> ServiceDeployment | None:
    """The service deployment under way."""
    return state.service_deployments.get(f"{service.name}/{service.service_deployment}")


def requested(state: ClusterState, service: Service, deployment: Deployment) -> int:
    """How many tasks a deployment is to have; the PRIMARY one none before the scheduler has looked at it."""
    if deployment.status != "PRIMARY":
        return state.service_index.phases(service.name, deployment.number).wished
    return service.desired_count if deployment.begun else 0


def count_of(state: ClusterState, service: Service, revision: str) -> RevisionCount:
    """A revision, by its number, with the tasks of the deployments that have it, as they are now."""
    own = [deployment for deployment in deployments_of(state, service.name) if deployment.revision == revision]
    phases = [state.service_index.phases(service.name, deployment.number) for deployment in own]
    return RevisionCount(
        revision=revision,
        requested=sum(requested(state, service, deployment) for deployment in own),
        running=sum(each.running for each in phases),
        pending=sum(len(each.pending) for each in phases),
    )


def new_number(tx: Transaction[ClusterState]) -> str:
    """A number of 19 digits, as ECS gives to deployments and revisions."""
    return str(10**18 + int(tx.new_id()[:16], 16) % (9 * 10**18))


def begin(tx: Transaction[ClusterState], service: Service, wish: RevisionWish) -> Service:
    """Make a revision and its deployment PRIMARY, with a service deployment of its own in place of what was under way.

    ``service`` may be new: its record is put here. Answers it as it then is.
    """
    number = new_number(tx)
    if wish.definition.key not in tx.state.definitions:
        tx.put(wish.definition)
    revision = ServiceRevision(
        service=service.name,
        number=number,
        arn=service_arn(service, "service-revision", number),
        definition=wish.definition.key,
        definition_arn=wish.definition.arn,
        launch_type=wish.launch_type,
        capacity_provider_strategy=wish.capacity_provider_strategy,
        load_balancers=wish.load_balancers,
        network=wish.network,
        volume=wish.volume,
        document=wish.document,
        created_at=tx.now,
    )
    tx.put(revision)
    _supersede(tx, service)
    sources = _step_back(tx, service)
    tx.put(_deployment(tx, service, number, number))
    history_id = tx.new_id()[:21]
    tx.put(
        ServiceDeployment(
            id=history_id,
            service=service.name,
            arn=service_arn(service, "service-deployment", history_id),
            status="IN_PROGRESS",
            target_revision=number,
            sources=sources,
            configuration=service.configuration,
            failure_threshold=threshold(service),
            created_at=tx.now,
            started_at=tx.now,
            updated_at=tx.now,
        )
    )
    service = replace(service, deployment=number, service_deployment=history_id, steady_at=None, waiting=False)
    tx.put(service)
    return service


def service_arn(service: Service, kind: str, name: str) -> str:
    """ARN of something that belongs to a service: ``…:<kind>/<cluster>/<service>/<name>``."""
    head, _, path = service.arn.partition(":service/")
    return f"{head}:{kind}/{path}/{name}"


def _deployment(tx: Transaction[ClusterState], service: Service, number: str, revision: str) -> Deployment:
    return Deployment(
        service=service.name,
        number=number,
        revision=revision,
        rollout_reason=f"ECS deployment ecs-svc/{number} in progress.",
        created_at=tx.now,
        updated_at=tx.now,
    )


def _supersede(tx: Transaction[ClusterState], service: Service) -> None:
    history = history_of(tx.state, service)
    if history is not None and history.status not in ENDED:
        end_history(tx, service, "STOPPED", "Superseded by a newer deployment.")


def _step_back(tx: Transaction[ClusterState], service: Service) -> tuple[RevisionCount, ...]:
    """Make every deployment ACTIVE instead of PRIMARY; answers what ran of each revision."""
    counts = []
    for deployment in deployments_of(tx.state, service.name):
        phases = tx.state.service_index.phases(service.name, deployment.number)
        counts.append(
            RevisionCount(
                revision=deployment.revision,
                requested=phases.wished,
                running=phases.running,
                pending=len(phases.pending),
            )
        )
        if deployment.status == "PRIMARY":
            tx.put(replace(deployment, status="ACTIVE", updated_at=tx.now))
    return tuple(counts)


def end_history(tx: Transaction[ClusterState], service: Service, status: str, reason: str | None = None) -> None:
    """The service deployment under way has come to its end."""
    history = history_of(tx.state, service)
    if history is None or history.status in ENDED:
        return
    primary = tx.state.deployments.get(f"{service.name}/{service.deployment}")
    tx.put(
        replace(
            history,
            status=status,
            status_reason=reason or history.status_reason,
            target=count_of(tx.state, service, history.target_revision),
            failure_count=primary.failed_tasks if primary and not primary.rolls_back else history.failure_count,
            failure_threshold=threshold(service),
            stopped_at=tx.now if status == "STOPPED" else history.stopped_at,
            finished_at=tx.now,
            updated_at=tx.now,
        )
    )


def complete(tx: Transaction[ClusterState], service: Service, deployment: Deployment) -> None:
    """All of its tasks are healthy and the older ones are gone: COMPLETED; the older deployments leave the list."""
    tx.put(
        replace(
            deployment,
            rollout_state="COMPLETED",
            rollout_reason=f"ECS deployment {deployment.id} completed.",
            updated_at=tx.now,
        )
    )
    for older in deployments_of(tx.state, service.name):
        if older.number != deployment.number:
            tx.remove(older)
    end_history(tx, service, "ROLLBACK_SUCCESSFUL" if deployment.rolls_back else "SUCCESSFUL")
    say(tx, service.name, f"(deployment {deployment.id}) deployment completed.")
    service = tx.state.services[service.name]
    tx.put(replace(service, stable_revision=deployment.revision))


def fail(tx: Transaction[ClusterState], service: Service, deployment: Deployment, why: str, *, roll_back: bool) -> None:
    """The deployment FAILED, for ``why`` ("tasks failed to start."): turn back where asked and there is where to."""
    source = "ECS deployment circuit breaker" if "tasks failed" in why else "ECS deployment failed"
    tx.put(
        replace(
            deployment,
            rollout_state="FAILED",
            rollout_reason=f"{source}: {why}",
            updated_at=tx.now,
        )
    )
    say(tx, service.name, f"(deployment {deployment.id}) deployment failed: {why}")
    service = tx.state.services[service.name]
    history = history_of(tx.state, service)
    if history is not None and history.status not in ENDED:
        failures = deployment.failed_tasks
        tx.put(replace(history, failure_count=failures, breaker_triggered="tasks failed" in why, updated_at=tx.now))
    if deployment.rolls_back:
        end_history(tx, service, "ROLLBACK_FAILED", f"{source}: {why}")
    elif roll_back and can_turn_back(service, deployment):
        turn_back(tx, service, f"{source}: {why}", source)
    else:
        end_history(tx, service, "STOPPED", f"{source}: {why}")


def can_turn_back(service: Service, deployment: Deployment) -> bool:
    """Whether another revision has worked before."""
    return service.stable_revision is not None and service.stable_revision != deployment.revision


def turn_back(tx: Transaction[ClusterState], service: Service, reason: str, source: str) -> None:
    """A new deployment of the last revision that worked becomes PRIMARY, within the same service deployment."""
    assert service.stable_revision is not None
    number = new_number(tx)
    failed = primary_of(tx.state, service)
    _step_back(tx, service)
    made = _deployment(tx, service, number, service.stable_revision)
    text = f"{source}: rolling back to deploymentId {made.id}."
    tx.put(replace(made, rollout_reason=text, rolls_back=failed.number))
    history = history_of(tx.state, service)
    if history is not None:
        rollback = Rollback(reason=reason, started_at=tx.now, revision=service.stable_revision)
        tx.put(replace(history, status="ROLLBACK_IN_PROGRESS", rollback=rollback, updated_at=tx.now))
    tx.put(replace(service, deployment=number, steady_at=None))
    say(tx, service.name, f"rolling back to deployment {made.id}.")
