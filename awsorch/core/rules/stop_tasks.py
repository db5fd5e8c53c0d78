"""Stopping tasks: why, when, and what follows. The one place where desired_status becomes STOPPED.

Source: ECS API, StopTask; developer guide, "Stopped tasks error codes".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from awsorch.core.commands import SendTasks
from awsorch.core.errors import invalid_parameter
from awsorch.core.events import StopTask, TaskRefused
from awsorch.core.model import Task
from awsorch.core.model_story import StoryEntry
from awsorch.core.services.failures import count_end
from awsorch.core.services.speech import complain
from awsorch.core.services.targets import withdraw
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RESEND_AFTER_S

#: How many entries a task's story keeps; the first ones and the last ones are worth most.
STORY_LIMIT = 40


def stop_task(tx: Transaction[ClusterState], event: StopTask) -> Task:
    """StopTask: wish it stopped, delete its tags and tell the agent. A stopped task is answered as it is."""
    task = tx.state.tasks.get(event.task_id)
    if task is None:
        raise invalid_parameter("The referenced task was not found.")
    if task.tags:
        task = replace(task, tags={})
        tx.put(task)
    if task.desired_status == "STOPPED":
        return task
    return request_stop(tx, task, "UserInitiated", event.reason or "Task stopped by user")


def request_stop(tx: Transaction[ClusterState], task: Task, code: str, reason: str) -> Task:
    """Wish a task stopped. One that no agent has been told of ends at once; one that runs behind load balancers is
    DEACTIVATING until they have drained its targets, and its agent hears of it then."""
    if task.instance_id is None or task.last_status == "PROVISIONING":
        return finish(tx, task, code, reason)
    task = note(tx, wish_stop(tx, task, code, reason), f"to be stopped: {reason}")
    if task.last_status == "RUNNING" and tx.state.service_index.targets_of_task(task.id):
        task = note(tx, replace(task, last_status="DEACTIVATING"), "DEACTIVATING")
        tx.put(task)
        withdraw(tx, task)
        return task
    tx.put(task)
    tx.send(SendTasks(instance_id=task.instance_id or "", task_ids=(task.id,)))
    return task


def task_refused(tx: Transaction[ClusterState], event: TaskRefused) -> None:
    """Stop a task that can't be started."""
    task = tx.state.tasks.get(event.task_id)
    if task is None or task.desired_status == "STOPPED":
        return
    if task.service is not None and task.service.name in tx.state.services:
        complain(tx, task.service.name, "launch", f"failed to launch a task with (error {event.reason}).")
    request_stop(tx, task, "TaskFailedToStart", event.reason)


def send_stop(tx: Transaction[ClusterState], task: Task) -> Task:
    """Tell the agent of a DEACTIVATING task that it is to be stopped: STOPPING from now on."""
    task = note(tx, replace(task, last_status="STOPPING", version=task.version + 1), "STOPPING")
    tx.put(task)
    instance_id = task.instance_id or ""
    tx.send(SendTasks(instance_id=instance_id, task_ids=(task.id,)))
    tx.wake(("mind_instances", instance_id), tx.now + RESEND_AFTER_S)
    return task


def wish_stop(tx: Transaction[ClusterState], task: Task, code: str, reason: str) -> Task:
    """The task with desired_status STOPPED, its first stop code and reason kept if it has them."""
    if task.desired_status == "STOPPED":
        return task
    return replace(
        task,
        desired_status="STOPPED",
        stop_code=code,
        stopped_reason=reason,
        stopping_at=tx.now,
        version=task.version + 1,
    )


def finish(tx: Transaction[ClusterState], task: Task, code: str, reason: str, *, held: bool = False) -> Task:
    """End a task for good, whatever its agent may still say: it holds nothing from here on, unless it is ``held``
    because nobody knows whether its containers still run. It is STOPPED, or DEPROVISIONING while it has attachments."""
    deprovisioning = not held and task.is_attached
    containers = tuple(c if c.last_status == "STOPPED" else replace(c, last_status="STOPPED") for c in task.containers)
    task = replace(
        wish_stop(tx, task, code, reason),
        last_status="DEPROVISIONING" if deprovisioning else "STOPPED",
        containers=containers,
        waiting=None,
        held=held,
        stopped_at=None if deprovisioning else tx.now,
        version=task.version + 1,
    )
    task = note(tx, task, f"{task.last_status}: {task.stopped_reason}")
    tx.put(task)
    withdraw(tx, task)
    count_end(tx, task)
    return task


def let_go(tx: Transaction[ClusterState], task: Task) -> None:
    """What ran for a task that was given up has ended: its room is free."""
    tx.put(note(tx, replace(task, held=False), "its containers have ended"))


def note(tx: Transaction[Any], task: Task, what: str) -> Task:
    """The task with one more entry in its story."""
    story = (*task.story, StoryEntry(at=tx.now, what=what, cause=tx.cause))
    if len(story) > STORY_LIMIT:
        story = story[: STORY_LIMIT // 2] + story[len(story) - STORY_LIMIT // 2 :]
    return replace(task, story=story)
