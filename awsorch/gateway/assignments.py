"""What a cluster's state says that one instance has to do, in the agent's words. Pure; reads the state only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from awsorch.core.definitions.roles import roles_of
from awsorch.core.lifecycle import is_final
from awsorch.core.model import Task
from awsorch.core.model_attachments import ATTACHING, INTERFACE, VOLUME
from awsorch.core.state import ClusterState
from awsorch.gateway.interfaces import acs_interface, acs_volume_attachment
from awsorch.gateway.payload import acs_stop, acs_task
from awsorch.wire import acs


def unsettled_tasks(state: ClusterState, instance_id: str, wanted: Iterable[str] | None) -> dict[str, acs.Task]:
    """Of the wanted tasks (None: all of the instance's) those that it has yet to start or to stop, by id."""
    fleet = state.fleet
    every = [*fleet.tasks_on(instance_id), *fleet.held_on(instance_id)]
    task_ids = sorted(every) if wanted is None else wanted
    tasks: dict[str, acs.Task] = {}
    for task_id in task_ids:
        task = state.tasks.get(task_id)
        if task is None or task.instance_id != instance_id or not task.holds_resources:
            continue
        if task.told_status == "STOPPED":
            tasks[task_id] = acs_stop(task)
        elif task.last_status in ("PENDING", "ACTIVATING"):
            tasks[task_id] = acs_task(task, state.definitions[task.definition])
    return tasks


@dataclass(frozen=True, slots=True)
class TaskAttachments:
    """What is attached to the instance for a task to come."""

    task_arn: str
    interfaces: tuple[acs.ElasticNetworkInterface, ...]
    volumes: tuple[acs.Attachment, ...]


def unconfirmed_attachments(
    state: ClusterState, instance_id: str, wanted: Iterable[str] | None
) -> dict[str, TaskAttachments]:
    """Of the wanted tasks (None: all of the instance's) those that have something attached to the instance which its
    agent has not said that it sees; by task id."""
    ids = sorted(state.fleet.tasks_on(instance_id)) if wanted is None else wanted
    found = {}
    for task_id in ids:
        task = state.tasks.get(task_id)
        if task is None or task.instance_id != instance_id or task.last_status != "PROVISIONING":
            continue
        waiting = [each for each in task.attachments if each.status == ATTACHING]
        if waiting:
            interfaces = tuple(acs_interface(task, each) for each in waiting if each.type == INTERFACE)
            volumes = tuple(acs_volume_attachment(task, each) for each in waiting if each.type == VOLUME)
            found[task_id] = TaskAttachments(task.arn, interfaces, volumes)
    return found


def roles_by_task(state: ClusterState, tasks: Iterable[Task]) -> dict[str, Mapping[str, str]]:
    """The roles of those tasks that have any: kind → ARN, by task id."""
    found = {task.id: roles_of(state.definitions[task.definition].definition, task.overrides) for task in tasks}
    return {task_id: roles for task_id, roles in found.items() if roles}


def news_for(
    state: ClusterState, instance_id: str, wanted: Iterable[str], *, everything: bool
) -> tuple[dict[str, acs.Task], dict[str, Mapping[str, str]], dict[str, TaskAttachments]]:
    """What one instance is to be told of these tasks, or of ``everything``: those that it has yet to start or to stop,
    the roles of those that it is to start, and what it is to look for."""
    tasks = unsettled_tasks(state, instance_id, None) if everything else {}
    tasks |= unsettled_tasks(state, instance_id, wanted)
    starting = [state.tasks[task_id] for task_id, task in tasks.items() if task.desired_status != "STOPPED"]
    attachments = unconfirmed_attachments(state, instance_id, None if everything else wanted)
    return tasks, roles_by_task(state, starting), attachments


def manifest_of(state: ClusterState, instance_id: str) -> list[acs.TaskIdentifier]:
    """Every task that the instance should know of."""
    tasks = (state.tasks[task_id] for task_id in sorted(state.fleet.tasks_on(instance_id)))
    return [_identifier(task.arn, task.told_status) for task in tasks]


def tasks_to_stop(
    state: ClusterState, instance_id: str, candidates: Iterable[acs.TaskIdentifier]
) -> list[acs.TaskIdentifier]:
    """Of the tasks that an agent would stop those that it shall: unless they should run, and there."""
    return [
        _identifier(each.task_arn, "STOPPED")
        for each in candidates
        if not _should_run(state.tasks.get(each.task_arn.rpartition("/")[2]), instance_id, each.task_arn)
    ]


def _should_run(task: Task | None, instance_id: str, arn: str) -> bool:
    return (
        task is not None
        and task.arn == arn
        and task.instance_id == instance_id
        and task.told_status != "STOPPED"
        and not is_final(task.last_status)
    )


def _identifier(arn: str, desired_status: str) -> acs.TaskIdentifier:
    prefix, _, rest = arn.partition(":task/")
    cluster_arn = f"{prefix}:cluster/{rest.partition('/')[0]}"
    return acs.TaskIdentifier(task_arn=arn, task_cluster_arn=cluster_arn, desired_status=desired_status)
