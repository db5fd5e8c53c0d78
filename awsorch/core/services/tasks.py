"""Tasks of a service: started from a revision, stopped with the reason that ECS gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from awsorch.core.arn import parse_arn
from awsorch.core.capacity.strategy import split
from awsorch.core.definitions.overrides import prepare_overrides
from awsorch.core.events import NewTask, TaskTemplate
from awsorch.core.model import Constraint, Task, TaskDefinition, TaskService
from awsorch.core.model_attachments import TaskVolume
from awsorch.core.model_services import Deployment, Service, ServiceRevision
from awsorch.core.placement.place import Request, place
from awsorch.core.resources import demand_of
from awsorch.core.rules.new_tasks import PlacedTasks, definition_constraints, place_or_wait, record_tasks
from awsorch.core.rules.stop_tasks import request_stop
from awsorch.core.services.images import images_of
from awsorch.core.services.speech import listed, say
from awsorch.core.state import ClusterState, Transaction

SCHEDULER = "ServiceSchedulerInitiated"


def start_tasks(
    tx: Transaction[ClusterState],
    service: Service,
    deployment: Deployment,
    count: int,
    only: frozenset[str] | None = None,
    also: tuple[Constraint, ...] = (),
    zone: str | None = None,
) -> PlacedTasks:
    """Place up to ``count`` tasks of a deployment and say which were started: ``only`` on these instances, with these
    constraints ``also``. ``zone``: it is done to even out the zones, for the event."""
    template = template_of(tx.state, service, deployment)
    ids = tuple(_new_task(tx, template.definition) for _ in range(count))
    request = Request(
        demand=template.demand,
        count=count,
        group=template.group,
        constraints=service.constraints + also + definition_constraints(template),
        strategies=service.strategies,
        seed=int(ids[0].id[:15], 16),
        only=only,
    )
    strategy = tx.state.service_revisions[f"{service.name}/{deployment.revision}"].capacity_provider_strategy
    if strategy:
        providers = split(strategy, providers_of(tx.state, service), count)
        placed = place_or_wait(tx, template, ids, request, providers, strategy, wait=zone is None)
    else:
        placed = record_tasks(tx, template, ids, place(tx.state.fleet, request))
    if placed.tasks:
        where = f"tasks in {zone} to AZ Rebalance" if zone else "tasks"
        say(tx, service.name, f"has started {len(placed.tasks)} {where}: {listed(t.id for t in placed.tasks)}.")
    return placed


def providers_of(state: ClusterState, service: Service) -> Counter[str]:
    """How many of the service's tasks that are to stay each capacity provider has."""
    counts: Counter[str] = Counter()
    for phases in state.service_index.crews(service.name).values():
        for phase in ("pending", "unknown", "healthy"):
            counts.update(state.tasks[task_id].capacity_provider or "" for task_id in phases.of(phase))
    return counts


def stop_tasks(
    tx: Transaction[ClusterState], service: Service, tasks: Iterable[Task], reason: str | None = None
) -> None:
    """Stop tasks and say so; the reason is a scaling activity of their deployment unless another one is given."""
    stopped = []
    for task in tasks:
        assert task.service is not None
        scaling = f"Scaling activity initiated by (deployment ecs-svc/{task.service.deployment})"
        request_stop(tx, task, SCHEDULER, reason or task.service.unhealthy_reason or scaling)
        stopped.append(task.id)
    if stopped:
        say(tx, service.name, f"has stopped {len(stopped)} running tasks: {listed(stopped)}.")


def is_protected(task: Task, now: float) -> bool:
    """Whether scale-in and deployments must leave it alone."""
    return task.service is not None and (task.service.protected_until or 0.0) > now


def template_of(state: ClusterState, service: Service, deployment: Deployment) -> TaskTemplate:
    """What the deployment says of each of its tasks."""
    revision = state.service_revisions[f"{service.name}/{deployment.revision}"]
    definition = state.definitions[revision.definition]
    arn = parse_arn(service.arn)
    assert arn is not None, service.arn
    overrides = prepare_overrides(definition.definition, {}, region=arn.region, account=arn.account)
    return TaskTemplate(
        definition=definition,
        demand=demand_of(
            definition.definition,
            overrides,
            revision.launch_type,
            execute_command=service.enable_execute_command,
        ),
        group=service.group,
        overrides=overrides,
        started_by=deployment.id,
        launch_type=revision.launch_type or "EC2",
        tags=_tags(service, definition, arn.path[0]),
        enable_execute_command=service.enable_execute_command,
        images=images_of(revision, definition),
        network=revision.network,
        volume=_volume_of(service, revision),
        service=TaskService(name=service.name, deployment=deployment.number, load_balancers=revision.load_balancers),
    )


def _volume_of(service: Service, revision: ServiceRevision) -> TaskVolume | None:
    """What the revision says, with the service's tags as they are now where they are wanted; its own win."""
    volume = revision.volume
    if volume is None or not volume.has_service_tags:
        return volume
    return replace(volume, tags={**service.tags, **volume.tags})


def _tags(service: Service, definition: TaskDefinition, cluster: str) -> dict[str, str]:
    propagated = {"SERVICE": service.tags, "TASK_DEFINITION": definition.tags}.get(service.propagate_tags, {})
    managed = {"aws:ecs:clusterName": cluster, "aws:ecs:serviceName": service.name} if service.managed_tags else {}
    return {**propagated, **managed}


def _new_task(tx: Transaction[ClusterState], definition: TaskDefinition) -> NewTask:
    ids = [tx.new_uuid() for _ in definition.definition["containerDefinitions"]]
    return NewTask(id=tx.new_id(), container_ids=tuple(ids))
