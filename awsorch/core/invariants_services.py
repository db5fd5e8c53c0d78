"""The promises about services, deployments and targets. Part of ``invariants.check``."""

from __future__ import annotations

from collections.abc import Iterator

from awsorch.core.lifecycle import is_final
from awsorch.core.model_services import Service
from awsorch.core.service_index import ServiceIndex
from awsorch.core.state import ClusterState


def broken_services(state: ClusterState) -> Iterator[str]:
    """The broken promises about services, in words."""
    for service in state.services.values():
        yield from _deployments(state, service)
    for deployment in state.deployments.values():
        owner = state.services.get(deployment.service)
        if owner is None or owner.status == "INACTIVE":
            yield f"deployment {deployment.key} outlived its service"
        if f"{deployment.service}/{deployment.revision}" not in state.service_revisions:
            yield f"deployment {deployment.key} has lost its revision {deployment.revision}"
    for revision in state.service_revisions.values():
        if revision.definition not in state.definitions:
            yield f"service revision {revision.key} has lost its task definition {revision.definition}"
    for target in state.targets.values():
        task = state.tasks.get(target.task_id)
        if not target.leaving and (task is None or is_final(task.last_status)):
            yield f"target {target.key} is to stay though its task {target.task_id} has stopped"
    yield from _index(state)


def _deployments(state: ClusterState, service: Service) -> Iterator[str]:
    own = [state.deployments[key] for key in state.service_index.deployments(service.name)]
    primary = [deployment.number for deployment in own if deployment.status == "PRIMARY"]
    if service.status == "ACTIVE" and primary != [service.deployment]:
        yield f"service {service.name} has PRIMARY deployments {primary}, not {service.deployment}"
    if service.desired_count < 0 or service.moving < 0:
        yield f"service {service.name} wishes for fewer tasks than none"
    if service.status == "INACTIVE":
        wished = sum(phases.wished for phases in state.service_index.crews(service.name).values())
        if wished:
            yield f"service {service.name} is INACTIVE and has {wished} tasks that are to run"


def _index(state: ClusterState) -> Iterator[str]:
    """The derived index says the same as one built afresh from the records."""
    fresh = ServiceIndex()
    for task in state.tasks.values():
        fresh.task_changed(None, task)
    for service in state.services.values():
        fresh.service_changed(None, service)
    for deployment in state.deployments.values():
        fresh.deployment_changed(None, deployment)
    for revision in state.service_revisions.values():
        fresh.revision_changed(None, revision)
    for history in state.service_deployments.values():
        fresh.history_changed(None, history)
    for target in state.targets.values():
        fresh.target_changed(None, target)
    for name, part in vars(fresh).items():
        if part != getattr(state.service_index, name):
            yield f"the index {name} of services has drifted from the records"
