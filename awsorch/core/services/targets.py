"""What load balancers say of a task: healthy only if every one of its targets is.

Source: ECS developer guide, "Use load balancing to distribute Amazon ECS service traffic".
"""

from __future__ import annotations

from awsorch.core.model import Task
from awsorch.core.state import ClusterState


def targets_state(state: ClusterState, task: Task) -> tuple[str, str | None]:
    """HEALTHY, UNHEALTHY with the reason that ECS stops a task with, or UNKNOWN."""
    assert task.service is not None
    targets = [state.targets[key] for key in state.service_index.targets_of_task(task.id)]
    for target in targets:
        if target.state == "unhealthy":
            name = target.group.removeprefix("elb/")
            place = f"(elb {name})" if target.group.startswith("elb/") else f"(target-group {name})"
            return "UNHEALTHY", f"Task failed ELB health checks in {place}"
    wanted = len(task.service.load_balancers)
    return ("HEALTHY" if len(targets) == wanted and all(t.state == "healthy" for t in targets) else "UNKNOWN"), None
