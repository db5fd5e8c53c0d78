"""Container instances: registered, connected, drained, deregistered, gone.

Source: ECS API, RegisterContainerInstance, DeregisterContainerInstance, UpdateContainerInstancesState.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from awsorch.core.capacity.losses import end_instance
from awsorch.core.commands import SendTasks, WatchGroup
from awsorch.core.errors import client_error, invalid_parameter
from awsorch.core.events import (
    AgentConnected,
    AgentDisconnected,
    DeregisterInstance,
    InstanceGone,
    InstanceHealthReported,
    RegisterInstance,
    SetInstanceStatus,
)
from awsorch.core.model import ContainerInstance
from awsorch.core.model_access import is_external
from awsorch.core.rules.agent_updates import settled
from awsorch.core.rules.clusters import require_open
from awsorch.core.state import ClusterState, Transaction

FORCED = "Container instance deregistration forced by user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a request about several instances found, and ECS's reason for each id that it can't be about."""

    found: tuple[ContainerInstance, ...]
    refused: Mapping[str, str]


def register_instance(tx: Transaction[ClusterState], event: RegisterInstance) -> ContainerInstance:
    """A new instance; or the one that this agent registered before, brought up to date."""
    require_open(tx.state)
    known = _known_instance(tx.state, event)
    if known is None:
        instance = ContainerInstance(
            id=event.instance_id,
            arn=event.arn,
            ec2_instance_id=event.ec2_instance_id,
            resources=event.resources,
            attributes=event.attributes,
            custom=event.custom,
            agent_version=event.agent_version,
            agent_hash=event.agent_hash,
            docker_version=event.docker_version,
            registered_at=tx.now,
            status=_first_status(tx.state, event.ec2_instance_id),
            status_reason=event.status_reason,
            tags=event.tags,
            client_token=event.client_token,
            capacity_provider=_provider_of(tx, event.ec2_instance_id),
        )
        tx.put(instance)
        return instance
    if event.ec2_instance_id is not None and event.ec2_instance_id != known.ec2_instance_id:
        raise client_error(f"Container instance {known.id} is another machine than {event.ec2_instance_id}.")
    old_type, new_type = (a.get("ecs.instance-type") for a in (known.attributes, event.attributes))
    if old_type and new_type and old_type != new_type:
        raise client_error("Container instance type changes are not supported.")
    custom = {name: known.attributes.get(name) for name in known.custom}
    instance = replace(
        known,
        status_reason=event.status_reason,
        resources=event.resources,
        # An agent gives up where an attribute does not come back as it sent it, so what it says wins.
        attributes={**custom, **event.attributes},
        custom=tuple(dict.fromkeys((*known.custom, *event.custom))),
        agent_version=event.agent_version or known.agent_version,
        agent_hash=event.agent_hash or known.agent_hash,
        docker_version=event.docker_version or known.docker_version,
        tags={**known.tags, **event.tags},
        client_token=event.client_token,
        version=known.version + 1,
    )
    tx.put(instance)
    return instance


def _first_status(state: ClusterState, machine_id: str | None) -> str:
    """A machine whose end has been ordered takes no tasks, though its agent came up before EC2 ended it."""
    machine = state.machines.get(machine_id) if machine_id is not None else None
    return "DRAINING" if machine is not None and machine.is_leaving else "ACTIVE"


def _provider_of(tx: Transaction[ClusterState], machine_id: str | None) -> str | None:
    """The capacity provider whose machine it is. A machine that nobody has seen may be new in one of the groups."""
    if machine_id is None or is_external(machine_id):
        return None
    machine = tx.state.machines.get(machine_id)
    if machine is not None:
        return machine.provider
    for provider in tx.state.providers.values():
        if provider.group is not None:
            tx.send(WatchGroup(provider=provider.name, group=provider.group, hook=provider.draining))
    return None


def _known_instance(state: ClusterState, event: RegisterInstance) -> ContainerInstance | None:
    """By the ARN that the agent saved, else by a retried token, else by the EC2 instance that it runs on."""
    if event.known_id is not None:
        known = state.instances.get(event.known_id)
        if known is None or known.status == "INACTIVE":
            raise client_error(f"Referenced container instance {event.known_id} not registered.")
        return known
    ids = set(state.instances_by_token[event.client_token]) if event.client_token else set()
    if not ids and event.ec2_instance_id:
        # The agent lost its state: the same machine is the same instance, its old tasks are settled by manifest.
        ids = set(state.instances_by_ec2_id[event.ec2_instance_id])
    for instance_id in ids:
        if state.instances[instance_id].status != "INACTIVE":
            return state.instances[instance_id]
    return None


def deregister_instance(tx: Transaction[ClusterState], event: DeregisterInstance) -> ContainerInstance:
    """INACTIVE from now on. Its tasks stop a few at a time, by ``planners/mind_instances``."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is None or instance.status == "INACTIVE":
        raise client_error(f"Referenced container instance {event.instance_id} not found.")
    if tx.state.fleet.tasks_on(instance.id) and not event.force:
        raise invalid_parameter("Found running tasks on the instance.")
    return end_instance(tx, instance, FORCED if event.force else None)


def instance_gone(tx: Transaction[ClusterState], event: InstanceGone) -> ContainerInstance | None:
    """The machine is no more: as if deregistered by force, with the reason given. Unknown or ended ones are no news."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is None or instance.status == "INACTIVE":
        return instance
    return end_instance(tx, instance, event.reason)


def set_instance_status(tx: Transaction[ClusterState], event: SetInstanceStatus) -> Selection:
    """ACTIVE or DRAINING. Draining stops no standalone task and keeps new ones away; services replace theirs."""
    found, refused = [], {}
    for instance_id in event.instance_ids:
        instance = tx.state.instances.get(instance_id)
        if instance is None or instance.status not in ("ACTIVE", "DRAINING"):
            refused[instance_id] = "MISSING" if instance is None else "INACTIVE"
            continue
        found.append(set_status(tx, instance, event.status))
    return Selection(found=tuple(found), refused=refused)


def set_status(tx: Transaction[ClusterState], instance: ContainerInstance, status: str) -> ContainerInstance:
    """Make it DRAINING: services replace their tasks there; or ACTIVE again: they keep them."""
    if instance.status == status:
        return instance
    instance = replace(instance, status=status, version=instance.version + 1)
    tx.put(instance)
    for task_id in tx.state.fleet.tasks_on(instance.id):
        service = tx.state.tasks[task_id].service
        if service is not None:
            tx.wake(("keep_services", service.name))
    return instance


def agent_connected(tx: Transaction[ClusterState], event: AgentConnected) -> ContainerInstance:
    """The newest connection counts. All of the instance's unsettled tasks are sent again."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is None or instance.status == "INACTIVE":
        raise client_error(f"Referenced container instance {event.instance_id} not registered.")
    instance = replace(
        instance,
        agent_connected=True,
        agent_session=event.session,
        agent_version=event.agent_version or instance.agent_version,
        agent_hash=event.agent_hash or instance.agent_hash,
        docker_version=event.docker_version or instance.docker_version,
        disconnected_at=None,
        version=instance.version + (not instance.agent_connected),
    )
    instance = settled(instance)
    tx.put(instance)
    tx.send(SendTasks(instance_id=instance.id))
    return instance


def agent_disconnected(tx: Transaction[ClusterState], event: AgentDisconnected) -> None:
    """Only the newest connection's end is news. Tasks go on: a silent agent is not a dead machine."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is None or instance.agent_session != event.session or not instance.agent_connected:
        return
    tx.put(
        replace(
            instance,
            agent_connected=False,
            agent_session=None,
            disconnected_at=tx.now - event.silent_for,
            version=instance.version + 1,
        )
    )


def instance_health_reported(tx: Transaction[ClusterState], event: InstanceHealthReported) -> None:
    """Keep the newest health of each kind."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is not None and instance.status != "INACTIVE":
        tx.put(replace(instance, health={**instance.health, **event.health}))
