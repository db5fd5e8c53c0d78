"""What a service's task has behind load balancers: which targets they are, how they are, and what events call them.

Source: ECS developer guide, "Use load balancing to distribute Amazon ECS service traffic"; Elastic Load Balancing API,
TargetHealth.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.definitions.document import network_mode_of
from awsorch.core.model import LoadBalancer, Task
from awsorch.core.model_attachments import ADDRESS
from awsorch.core.model_services import Target, target_key
from awsorch.core.services.speech import say
from awsorch.core.state import ClusterState, Transaction

#: What makes a target ready without a health check: the target group has none.
_UNCHECKED = "Target.HealthCheckDisabled"


def address_of(state: ClusterState, task: Task, balancer: LoadBalancer) -> tuple[str, int] | None:
    """The target (id, port) that stands for the task: its instance and the published port; in awsvpc mode the address
    of its network interface and the container's port. A Classic Load Balancer knows instances only: port 0.

    None while there is no such thing: the port is not published yet, or the machine is no EC2 instance.
    """
    mode = network_mode_of(state.definitions[task.definition].definition)
    if mode == "awsvpc":
        address = _interface_address(task)
        return (address, balancer.container_port) if address else None
    instance = state.instances.get(task.instance_id or "")
    ec2_id = instance.ec2_instance_id if instance is not None else None
    if not ec2_id:
        return None
    if balancer.target_group_arn is None:
        return ec2_id, 0
    port = balancer.container_port if mode == "host" else _host_port(task, balancer)
    return (ec2_id, port) if port else None


def _host_port(task: Task, balancer: LoadBalancer) -> int | None:
    for container in task.containers:
        if container.name == balancer.container_name:
            for binding in container.network_bindings:
                if binding.container_port == balancer.container_port and binding.host_port:
                    return binding.host_port
    return None


def _interface_address(task: Task) -> str | None:
    return next((each.details[ADDRESS] for each in task.attachments if ADDRESS in each.details), None)


def target_of(state: ClusterState, task: Task, balancer: LoadBalancer) -> Target | None:
    """The task's target at a load balancer; None where it is not to be there."""
    address = address_of(state, task, balancer)
    if address is None:
        return None
    target = state.targets.get(target_key(balancer.group, *address))
    return target if target is not None and not target.leaving else None


def targets_state(state: ClusterState, task: Task) -> tuple[str, str | None]:
    """HEALTHY when every target is; UNHEALTHY, with the reason that ECS stops a task with, when one is; else UNKNOWN.

    A target that gets no traffic because nothing listens for its target group is ``unused``: that is no fault of the
    task, but it never becomes healthy either, and the service waits.
    """
    assert task.service is not None
    verdict = "HEALTHY"
    for balancer in task.service.load_balancers:
        target = target_of(state, task, balancer)
        if target is not None and is_unhealthy(target):
            return "UNHEALTHY", f"Task failed ELB health checks in {named(target.group)}"
        if target is None or not _is_ready(target):
            verdict = "UNKNOWN"
    return verdict, None


def withdraw(tx: Transaction[ClusterState], task: Task) -> None:
    """Have the task's targets leave their load balancers."""
    for key in tx.state.service_index.targets_of_task(task.id):
        target = tx.state.targets[key]
        if not target.leaving:
            tx.put(leaving(tx, target))


def leaving(tx: Transaction[ClusterState], target: Target) -> Target:
    """The target as it is to leave. A draining that somebody else began is not the one that is to be awaited."""
    state = None if target.state == "draining" else target.state
    return replace(target, leaving=True, state=state, changed_at=tx.now, revision=tx.state.revision + 1)


def is_unhealthy(target: Target) -> bool:
    """Whether the load balancer's health checks fail (``unhealthy.draining`` is a stage of that)."""
    return (target.state or "").startswith("unhealthy")


def _is_ready(target: Target) -> bool:
    return target.state == "healthy" or (target.state == "unavailable" and target.reason == _UNCHECKED)


def named(group: str) -> str:
    """A group as events name it: ``(target-group <arn>)`` or ``(elb <name>)``."""
    return f"(elb {group.removeprefix('elb/')})" if group.startswith("elb/") else f"(target-group {group})"


def say_unhealthy(tx: Transaction[ClusterState], task: Task) -> None:
    """Say which of the task's targets are unhealthy, and why."""
    assert task.service is not None
    for balancer in task.service.load_balancers:
        target = target_of(tx.state, task, balancer)
        if target is None or not is_unhealthy(target):
            continue
        instance = f" (instance {target.target_id})" if target.target_id.startswith("i-") else ""
        port = f" (port {target.port})" if target.port else ""
        why = target.description or target.reason or "Health checks failed"
        text = f"(task {task.id}){instance}{port} is unhealthy in {named(target.group)} due to (reason {why})"
        say(tx, task.service.name, text)
