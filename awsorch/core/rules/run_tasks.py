"""RunTask and StartTask: place, record, send. What does not fit becomes a failure, never half a task.

Source: ECS API, RunTask, StartTask; developer guide, "How Amazon ECS places tasks on container instances".
"""

from __future__ import annotations

from awsorch.core.capacity.strategy import split
from awsorch.core.errors import Refusal, client_error, invalid_parameter
from awsorch.core.events import RunTasks, StartTasks
from awsorch.core.model import RunToken, Task
from awsorch.core.placement.place import Request, place
from awsorch.core.rules.clusters import require_open
from awsorch.core.rules.new_tasks import (
    MOST_WAITING,
    QUOTA,
    PlacedTasks,
    definition_constraints,
    place_or_wait,
    record_tasks,
)
from awsorch.core.rules.wished_attachments import zone_constraints
from awsorch.core.state import ClusterState, Transaction

#: In clusters of up to this many instances every task's story has the refusals, even of a task that found its place;
#: in larger ones only a request that did not fit is explained, because telling means looking at every instance.
EXPLAIN_UP_TO = 500


def run_tasks(tx: Transaction[ClusterState], event: RunTasks) -> PlacedTasks:
    """Place as many of the tasks as fit."""
    require_open(tx.state)
    again = repeated_tasks(tx.state, event.token, event.fingerprint)
    if again is not None:
        return again
    request = Request(
        demand=event.template.demand,
        count=len(event.ids),
        group=event.template.group,
        constraints=event.constraints + definition_constraints(event.template),
        strategies=event.strategies,
        seed=int(event.ids[0].id[:15], 16),
        explain=len(tx.state.instances) <= EXPLAIN_UP_TO,
    )
    if event.strategy:
        providers = split(event.strategy, {}, len(event.ids))
        placed = place_or_wait(tx, event.template, event.ids, request, providers, event.strategy)
        if any(reason == QUOTA for _, reason in placed.failures):
            raise client_error(
                f"The limit of {MOST_WAITING} tasks in the PROVISIONING state in this cluster was reached. Wait until "
                "some of them have found a container instance, and try again."
            )
    elif tx.state.fleet.active():
        placed = record_tasks(tx, event.template, event.ids, place(tx.state.fleet, request))
    else:
        raise invalid_parameter("No Container Instances were found in your cluster.")
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
            constraints=zone_constraints(event.template.network),
            strategies=(),
            seed=int(new.id[:15], 16),
            only=frozenset((instance_id,)),
        )
        placed = record_tasks(tx, event.template, (new,), place(tx.state.fleet, request))
        tasks.extend(placed.tasks)
        failures.extend(placed.failures)
    return PlacedTasks(tasks=tuple(tasks), failures=tuple(failures))


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
