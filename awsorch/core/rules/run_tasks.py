"""RunTask and StartTask: place, record, send. What does not fit becomes a failure, never half a task.

Source: ECS API, RunTask, StartTask; developer guide, "How Amazon ECS places tasks on container instances".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.core.arn import parse_arn
from awsorch.core.commands import SendTasks
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events import NewTask, RunTasks, StartTasks, TaskTemplate
from awsorch.core.model import (
    Constraint,
    Container,
    Placement,
    RunToken,
    StoryEntry,
    Task,
)
from awsorch.core.placement.place import Decision, Request, place
from awsorch.core.resources import container_gpus, effective_containers
from awsorch.core.rules.clusters import require_open
from awsorch.core.state import ClusterState, Transaction

#: In clusters of up to this many instances every task's story has the refusals, even of a task that found its place;
#: in larger ones only a request that did not fit is explained, because telling means looking at every instance.
EXPLAIN_UP_TO = 500
#: Only tasks that ask for it run on machines that are no EC2 instances.
_ON_EC2 = Constraint(type="memberOf", expression="attribute:ecs.capability.external !exists")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTasks:
    """The tasks made, and (container instance id, ECS reason) of what turned others away.

    ``repeated``: they were made by an earlier request under the same token.
    """

    tasks: tuple[Task, ...]
    failures: tuple[tuple[str, str], ...] = ()
    repeated: bool = False


def run_tasks(tx: Transaction[ClusterState], event: RunTasks) -> PlacedTasks:
    """Place as many of the tasks as fit."""
    require_open(tx.state)
    again = repeated_tasks(tx.state, event.token, event.fingerprint)
    if again is not None:
        return again
    if not tx.state.fleet.active():
        raise invalid_parameter("No Container Instances were found in your cluster.")
    request = Request(
        demand=event.template.demand,
        count=len(event.ids),
        group=event.template.group,
        constraints=event.constraints + definition_constraints(event.template),
        strategies=event.strategies,
        seed=int(event.ids[0].id[:15], 16),
        explain=len(tx.state.instances) <= EXPLAIN_UP_TO,
    )
    placed = record_tasks(tx, event.template, event.ids, place(tx.state.fleet, request))
    if event.token is not None and placed.tasks:
        token = RunToken(
            token=event.token,
            fingerprint=event.fingerprint,
            task_ids=tuple(task.id for task in placed.tasks),
            created_at=tx.now,
        )
        tx.put(token)
    return placed


def start_tasks(tx: Transaction[ClusterState], event: StartTasks) -> PlacedTasks:
    """One task on each named instance; the strategy is the caller's, so only what the instance has is checked."""
    require_open(tx.state)
    tasks: list[Task] = []
    failures: list[tuple[str, str]] = []
    for new, instance_id in zip(event.ids, event.instance_ids, strict=True):
        if instance_id not in tx.state.instances:
            failures.append((instance_id, "MISSING"))
            continue
        request = Request(
            demand=event.template.demand,
            count=1,
            group=event.template.group,
            constraints=(),
            strategies=(),
            seed=int(new.id[:15], 16),
            only=frozenset((instance_id,)),
        )
        placed = record_tasks(tx, event.template, (new,), place(tx.state.fleet, request))
        tasks.extend(placed.tasks)
        failures.extend(placed.failures)
    return PlacedTasks(tasks=tuple(tasks), failures=tuple(failures))


def definition_constraints(template: TaskTemplate) -> tuple[Constraint, ...]:
    """The constraints of the task definition and of the launch type; they bind together with the request's."""
    given = template.definition.definition.get("placementConstraints", ())
    own = tuple(Constraint(type=item["type"], expression=item.get("expression")) for item in given)
    return own if template.launch_type == "EXTERNAL" else (*own, _ON_EC2)


def repeated_tasks(state: ClusterState, token: str | None, fingerprint: str) -> PlacedTasks | None:
    """What an earlier request under this token made, None where there was none.

    Raises ConflictException where that one asked for something else.
    """
    known = state.tokens.get(token) if token is not None else None
    if known is None:
        return None
    tasks = tuple(state.tasks[i] for i in known.task_ids if i in state.tasks)
    if known.fingerprint != fingerprint:
        raise Refusal(
            "ConflictException",
            "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use "
            "with a different RunTask request.",
            resourceIds=[task.arn for task in tasks],
        )
    return PlacedTasks(tasks=tasks, repeated=True)


def record_tasks(
    tx: Transaction[ClusterState], template: TaskTemplate, ids: tuple[NewTask, ...], decision: Decision
) -> PlacedTasks:
    """Make the tasks that found a place, and tell their instances; what did not fit is a failure."""
    if decision.placed and template.definition.key not in tx.state.definitions:
        tx.put(template.definition)
    tasks = []
    by_instance: dict[str, list[str]] = {}
    for new, instance_id, gpus in zip(ids, decision.placed, decision.gpus, strict=False):
        task = _new_task(tx, template, new, instance_id, gpus, decision)
        tx.put(task)
        tasks.append(task)
        by_instance.setdefault(instance_id, []).append(task.id)
    for instance_id, task_ids in by_instance.items():
        tx.send(SendTasks(instance_id=instance_id, task_ids=tuple(task_ids)))
    failures = decision.failures if len(tasks) < len(ids) else ()
    return PlacedTasks(tasks=tuple(tasks), failures=failures)


def _new_task(
    tx: Transaction[ClusterState],
    template: TaskTemplate,
    new: NewTask,
    instance_id: str,
    gpus: tuple[str, ...],
    decision: Decision,
) -> Task:
    instance = tx.state.instances[instance_id]
    arn = parse_arn(instance.arn)
    assert arn is not None, instance.arn
    cluster = arn.path[0]
    prefix = instance.arn.removesuffix(f"container-instance/{cluster}/{instance_id}")
    demand = template.demand
    return Task(
        id=new.id,
        arn=f"{prefix}task/{cluster}/{new.id}",
        definition=template.definition.key,
        definition_arn=template.definition.arn,
        instance_id=instance_id,
        zone=instance.zone,
        group=template.group,
        started_by=template.started_by,
        service=template.service,
        launch_type=template.launch_type,
        containers=_containers(template, new, f"{prefix}container/{cluster}/{new.id}/", gpus),
        demand=demand,
        cpu=str(demand.cpu),
        memory=str(demand.memory),
        gpu_ids=gpus,
        overrides=template.overrides,
        tags=template.tags,
        enable_execute_command=template.enable_execute_command,
        reference_id=template.reference_id,
        created_at=tx.now,
        placement=Placement(considered=decision.considered, refused=decision.refused, chosen=instance.arn),
        story=(StoryEntry(at=tx.now, what=f"placed on {instance.arn}", cause=tx.cause),),
    )


def _containers(template: TaskTemplate, new: NewTask, arn_prefix: str, gpus: tuple[str, ...]) -> tuple[Container, ...]:
    made = []
    left = list(gpus)
    containers = effective_containers(template.definition.definition, template.overrides)
    for container, container_id in zip(containers, new.container_ids, strict=True):
        count = container_gpus(container)
        own, left = tuple(left[:count]), left[count:]
        made.append(_container(container, arn_prefix + container_id, own))
    return tuple(made)


def _container(container: Mapping[str, Any], arn: str, gpus: tuple[str, ...]) -> Container:
    return Container(
        name=container["name"],
        arn=arn,
        image=container["image"],
        essential=container.get("essential", True),
        has_health_check="healthCheck" in container,
        cpu=container.get("cpu", 0),
        memory=container.get("memory"),
        memory_reservation=container.get("memoryReservation"),
        gpu_ids=gpus,
    )
