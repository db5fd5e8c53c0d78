"""Tasks of services on DRAINING instances: they count while they run, and others are to take their place.

Protected ones stay until their protection ends, as in a deployment.

Source: ECS developer guide, "Draining Amazon ECS container instances".
"""

from __future__ import annotations

from awsorch.core.service_index import Phases
from awsorch.core.services.tasks import is_protected
from awsorch.core.state import ClusterState, Transaction

_WISHED = ("pending", "unknown", "healthy", "unhealthy")


def displaced(tx: Transaction[ClusterState], phases: Phases) -> Phases:
    """Those of the tasks that are to leave their instance. The end of a protection is a time to look again."""
    found = Phases()
    instances = tx.state.instances_by_status["DRAINING"]
    if not instances:
        return found
    for phase in _WISHED:
        for task_id in phases.of(phase):
            task = tx.state.tasks[task_id]
            if task.instance_id not in instances or task.service is None:
                continue
            if is_protected(task, tx.now):
                tx.wake(("keep_services", task.service.name), task.service.protected_until or 0.0)
            else:
                found.of(phase)[task_id] = None
    return found


def without(phases: Phases, others: Phases) -> Phases:
    """The tasks that are not among the others."""
    if not others.live:
        return phases
    left = Phases(stopping=phases.stopping)
    for phase in _WISHED:
        left.of(phase).update(dict.fromkeys(task_id for task_id in phases.of(phase) if task_id not in others.of(phase)))
    return left
