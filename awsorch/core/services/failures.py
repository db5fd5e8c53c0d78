"""Which ended tasks are failures of their deployment, when the circuit breaker opens, how long to pause before more.

Source: ECS developer guide, "How the Amazon ECS deployment circuit breaker detects failures", "Amazon ECS service
throttle logic".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from typing import Any

from awsorch.core.model import Task
from awsorch.core.model_services import Deployment, Service
from awsorch.core.state import ClusterState, Transaction

#: The pause after the first round of failures, doubled with each one more up to the limit (ECS: 27 minutes). Seconds.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 27 * 60.0
#: From this round of failures on the service says that it can't start tasks.
INCONSISTENT_ROUNDS = 3
_LEAST, _MOST = 3, 200


def count_end(tx: Transaction[ClusterState], task: Task) -> None:
    """A task of a service has STOPPED: count it if it failed. One that was stopped for other reasons is no failure."""
    if task.service is None or not _failed(task):
        return
    deployment = tx.state.deployments.get(f"{task.service.name}/{task.service.deployment}")
    if deployment is not None:
        tx.put(replace(deployment, failed_tasks=deployment.failed_tasks + 1, failures_at=tx.now))


def forgive(tx: Transaction[ClusterState], task: Task) -> None:
    """A task of a deployment is healthy for the first time: failures in a row begin anew, unless asked otherwise."""
    assert task.service is not None
    deployment = tx.state.deployments.get(f"{task.service.name}/{task.service.deployment}")
    service = tx.state.services.get(task.service.name)
    if deployment is None or service is None:
        return
    resets = breaker(service).get("resetOnHealthyTask", True)
    failed = 0 if resets else deployment.failed_tasks
    tx.put(
        replace(deployment, proven=True, failed_tasks=failed, failures_at=deployment.failures_at if failed else None)
    )


def _failed(task: Task) -> bool:
    """It never started, ended by itself before it was ever healthy, or was stopped because of its health."""
    assert task.service is not None
    if task.stop_code == "TaskFailedToStart":
        return True
    if task.stop_code == "EssentialContainerExited":
        return not task.service.proven
    return task.stop_code == "ServiceSchedulerInitiated" and task.service.health == "UNHEALTHY"


def breaker(service: Service) -> Mapping[str, Any]:
    """The service's deploymentCircuitBreaker."""
    found: Mapping[str, Any] = service.configuration.get("deploymentCircuitBreaker", {})
    return found


def threshold(service: Service) -> int:
    """How many failures in a row open the circuit breaker: half the desired count, 3 to 200, unless asked otherwise."""
    asked = breaker(service).get("thresholdConfiguration", {})
    kind, value = asked.get("type", "BOUNDED_PERCENT"), asked.get("value", 50)
    if kind == "COUNT":
        return max(1, int(value))
    share = ceil(service.desired_count * float(value) / 100)
    return max(1, share) if kind == "UNBOUNDED_PERCENT" else min(max(share, _LEAST), _MOST)


def is_open(service: Service, deployment: Deployment) -> bool:
    """Whether the circuit breaker stops this deployment."""
    return bool(breaker(service).get("enable")) and deployment.failed_tasks >= threshold(service)


def rounds(service: Service, deployment: Deployment) -> int:
    """How often in a row everything that was started failed."""
    return ceil(deployment.failed_tasks / max(service.desired_count, 1))


def next_start(service: Service, deployment: Deployment) -> float:
    """When the deployment may start tasks again; 0 for at once."""
    if not deployment.failed_tasks or deployment.failures_at is None:
        return 0.0
    pause = FIRST_PAUSE_S * 2.0 ** min(rounds(service, deployment) - 1, 20)
    return deployment.failures_at + min(pause, LONGEST_PAUSE_S)
