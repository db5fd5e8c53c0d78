"""What must always hold, whatever happened: ``check(state)`` names every promise that is broken, in words."""

from __future__ import annotations

from collections.abc import Iterator

from awsorch.core.invariants_services import broken_services
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.placement.fleet import Fleet
from awsorch.core.state import ClusterState, RegistryState, State


def check(state: State) -> list[str]:
    """The broken promises of a state; an empty list when all is well."""
    if isinstance(state, ClusterState):
        services = broken_services(state)
        return [*_instances(state), *_tasks(state), *_tokens(state), *_fleet(state), *services]
    if isinstance(state, RegistryState):
        return list(_registry(state))
    return []


def _instances(state: ClusterState) -> Iterator[str]:
    for instance in state.instances.values():
        if instance.agent_connected and instance.agent_session is None:
            yield f"instance {instance.id} is connected through no session"
        if instance.agent_connected and instance.status == "INACTIVE":
            yield f"instance {instance.id} is INACTIVE and connected"
        held = [t for t in state.tasks.values() if t.instance_id == instance.id and t.holds_resources]
        yield from _overcommitted(instance, held)


def _overcommitted(instance: ContainerInstance, held: list[Task]) -> Iterator[str]:
    resources = instance.resources
    cpu = sum(t.demand.cpu for t in held)
    memory = sum(t.demand.memory for t in held)
    if held and cpu > resources.cpu:
        yield f"instance {instance.id} is over-committed: {cpu} CPU units of {resources.cpu}"
    if held and memory > resources.memory:
        yield f"instance {instance.id} is over-committed: {memory} MiB of {resources.memory}"
    for name in ("tcp_ports", "udp_ports"):
        ports = [port for t in held for port in getattr(t.demand, name)]
        if len(ports) != len(set(ports)):
            yield f"instance {instance.id} gave one of its {name} twice: {sorted(ports)}"
    gpus = [gpu for t in held for gpu in t.gpu_ids]
    if len(gpus) != len(set(gpus)):
        yield f"instance {instance.id} gave a GPU twice: {sorted(gpus)}"


def _tasks(state: ClusterState) -> Iterator[str]:
    for task in state.tasks.values():
        stopped = task.last_status == "STOPPED"
        if stopped and (task.desired_status != "STOPPED" or task.stopped_at is None):
            yield f"task {task.id} is STOPPED but not wished so, or without stoppedAt"
        if task.desired_status == "STOPPED" and not (task.stop_code and task.stopped_reason and task.stopping_at):
            yield f"task {task.id} is to be STOPPED without a code, a reason or stoppingAt"
        if stopped and any(c.last_status != "STOPPED" for c in task.containers):
            yield f"task {task.id} is STOPPED and has containers that are not"
        if task.last_status == "RUNNING" and task.started_at is None:
            yield f"task {task.id} is RUNNING without startedAt"
        if task.definition not in state.definitions:
            yield f"task {task.id} has lost its task definition {task.definition}"
        if task.held and not stopped:
            yield f"task {task.id} is held and has not been given up"
        if task.holds_resources and task.instance_id not in state.instances:
            yield f"task {task.id} is on instance {task.instance_id}, which is not known"


def _tokens(state: ClusterState) -> Iterator[str]:
    for token in state.tokens.values():
        if not token.task_ids:
            yield f"token {token.token} stands for no task"


def _fleet(state: ClusterState) -> Iterator[str]:
    """The derived index says the same as one built afresh from the records."""
    fresh = Fleet()
    for instance in state.instances.values():
        fresh.instance_changed(None, instance)
    for task in state.tasks.values():
        fresh.task_changed(None, task)
    for instance_id in state.instances:
        if fresh.free(instance_id) != state.fleet.free(instance_id):
            yield f"the index of instance {instance_id} has drifted from its records"
        views = [(set(one.tasks_on(instance_id)), set(one.held_on(instance_id))) for one in (fresh, state.fleet)]
        if views[0] != views[1]:
            yield f"the tasks indexed on instance {instance_id} are not those of the records"


def _registry(state: RegistryState) -> Iterator[str]:
    for definition in state.definitions.values():
        family = state.families.get(definition.family)
        if family is None or family.last_revision < definition.revision:
            yield f"family {definition.family} has not counted revision {definition.revision}"
