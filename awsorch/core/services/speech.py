"""Service events: what a service says of itself, newest 100 kept, problems said once while they last.

Source: ECS developer guide, "View Amazon ECS service event messages".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from awsorch.core.model_services import Problem, Service, ServiceEvent
from awsorch.core.rules.new_tasks import EMPTY_PROVIDER, QUOTA, nearest
from awsorch.core.state import ClusterState, Transaction

EVENTS_KEPT = 100
#: A problem that lasts is said again after this long, and so is a steady state. Seconds.
REPEAT_AFTER_S = 6 * 3600.0
_GUIDE = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."

NO_INSTANCES = f"Reason: No Container Instances were found in your cluster. {_GUIDE}"
INCONSISTENT = f"is unable to consistently start tasks successfully. {_GUIDE}"
BLOCKED = (
    "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
    "Update the minimumHealthyPercent or maximumPercent value and try again."
)
STEADY = "has reached a steady state."

#: What ECS says of the closest instance, by the reason of the placement failure.
_CLOSEST = {
    "RESOURCE:CPU": "has insufficient CPU units available",
    "RESOURCE:MEMORY": "has insufficient memory available",
    "RESOURCE:PORTS": "is already using a port required by your task",
    "ATTRIBUTE": "is missing an attribute required by your task",
}


def say(tx: Transaction[ClusterState], service: str, text: str, task_set: str | None = None) -> None:
    """Add an event: ``(service <name>) <text>``, or ``(service <name>, taskSet <task_set>) <text>``."""
    record = tx.state.services[service]
    number = record.event_count + 1
    head = f"(service {service}, taskSet {task_set})" if task_set else f"(service {service})"
    event = ServiceEvent(service=service, number=number, id=tx.new_uuid(), created_at=tx.now, message=f"{head} {text}")
    tx.put(event)
    tx.put(replace(record, event_count=number))
    oldest = tx.state.service_events.get(f"{service}/{number - EVENTS_KEPT}")
    if oldest is not None:
        tx.remove(oldest)


def events_of(state: ClusterState, service: Service) -> list[ServiceEvent]:
    """The events kept, newest first."""
    numbers = range(service.event_count, max(service.event_count - EVENTS_KEPT, 0), -1)
    found = (state.service_events.get(f"{service.name}/{number}") for number in numbers)
    return [event for event in found if event is not None]


def complain(tx: Transaction[ClusterState], service: str, kind: str, text: str, task_set: str | None = None) -> None:
    """Say what is wrong, unless it was said and still lasts; again after six hours, or when the text is another one."""
    known = tx.state.services[service].problems.get(kind)
    if known is not None and known.text == text and tx.now < known.said_at + REPEAT_AFTER_S:
        return
    say(tx, service, text, task_set)
    record = tx.state.services[service]
    tx.put(replace(record, problems={**record.problems, kind: Problem(text=text, said_at=tx.now)}))


def clear(tx: Transaction[ClusterState], service: str, kind: str) -> None:
    """This kind of problem is over."""
    record = tx.state.services[service]
    if kind in record.problems:
        tx.put(replace(record, problems={k: v for k, v in record.problems.items() if k != kind}))


def no_place(failures: Iterable[tuple[str, str]]) -> str:
    """Why no instance takes a task, from (instance id, ECS's failure reason): the commonest reason is the closest."""
    counts: dict[str, list[str]] = {}
    for instance_id, reason in failures:
        counts.setdefault(reason, []).append(instance_id)
    if QUOTA in counts:
        return "was unable to place tasks in your cluster because the tasks provisioning capacity limit was exceeded."
    if EMPTY_PROVIDER in counts:
        return f"was unable to place a task. Reason: TaskFailedToStart: {EMPTY_PROVIDER}."
    head = "was unable to place a task because no container instance met all of its requirements."
    if not counts:
        return f"{head} {NO_INSTANCES}"
    reason = nearest(reason for reason, ids in counts.items() for _ in ids)
    closest = min(counts[reason])
    if reason in _CLOSEST:
        what = _CLOSEST[reason]
    else:
        quoted = reason.removesuffix(".") + "." if " " in reason else reason
        what = f'encountered error "{quoted}"'
    return f"{head} The closest matching (container-instance {closest}) {what}. {_GUIDE}"


def listed(ids: Iterable[str]) -> str:
    """``(task <id>) (task <id>)``, as events name tasks."""
    return " ".join(f"(task {task_id})" for task_id in ids)
