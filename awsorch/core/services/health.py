"""What the scheduler takes a service's task for: its containers' checks, its targets, and time where it has neither.

Source: ECS developer guide, "Deploy Amazon ECS services by replacing tasks", "Determine Amazon ECS task health".
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.model import Task
from awsorch.core.services.failures import forgive
from awsorch.core.services.targets import say_unhealthy, targets_state
from awsorch.core.state import ClusterState, Transaction

FAILED_CONTAINER_CHECKS = "Task failed container health checks"


def judge(tx: Transaction[ClusterState], task: Task) -> Task:
    """The task as it now counts, recorded where that changed. A time at which it could change by itself is woken at."""
    if task.service is None or task.last_status != "RUNNING" or task.desired_status != "RUNNING":
        return task
    health, reason, again_at = _verdict(tx.state, task, tx.now)
    if again_at is not None:
        tx.wake(("keep_services", task.service.name), again_at)
    proven = task.service.proven or health == "HEALTHY"
    known = replace(task.service, health=health, unhealthy_reason=reason, proven=proven)
    if known == task.service:
        return task
    if proven and not task.service.proven:
        forgive(tx, task)
    if health == "UNHEALTHY" and task.service.health != health:
        say_unhealthy(tx, task)
    task = replace(task, service=known)
    tx.put(task)
    return task


def _verdict(state: ClusterState, task: Task, now: float) -> tuple[str, str | None, float | None]:
    """(health, why it is unhealthy, when time alone could change it)."""
    assert task.service is not None
    verdicts: list[tuple[str, str | None]] = []
    if any(c.essential and c.has_health_check for c in task.containers):
        verdicts.append((task.health_status, FAILED_CONTAINER_CHECKS))
    if task.service.load_balancers:
        verdicts.append(targets_state(state, task))
    started = task.started_at or now
    if not verdicts:
        settled = started + state.gate.pace.settle_seconds
        return ("HEALTHY", None, None) if now >= settled else ("UNKNOWN", None, settled)
    for health, reason in verdicts:
        if health == "UNHEALTHY":
            service = state.services.get(task.service.name)
            patient_until = started + ((service.grace_seconds or 0) if service is not None else 0)
            return ("UNHEALTHY", reason, None) if now >= patient_until else ("UNKNOWN", None, patient_until)
    return ("HEALTHY" if all(health == "HEALTHY" for health, _ in verdicts) else "UNKNOWN"), None, None
