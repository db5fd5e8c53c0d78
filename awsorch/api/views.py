"""Records as ECS shows them: pure functions from a record to the output shape of the model.

Source: ECS API reference, data types Cluster, ContainerInstance, Task, Container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from awsorch.api.views_capacity import View, attachments_view, strategy_view
from awsorch.core.model import Cluster, Container, ContainerInstance, NetworkBinding, Resources, Task
from awsorch.core.model_attachments import ADDRESS, ADDRESS_6, Attachment
from awsorch.core.placement.slot import Free
from awsorch.core.services.deployments import revision_of
from awsorch.core.state import ClusterState
from awsorch.core.tags import tag_list

#: As what a cluster counts a task, by its lastStatus.
_COUNTED = {"PROVISIONING": "pending", "PENDING": "pending", "ACTIVATING": "pending", "RUNNING": "running"}
_HEALTH_ORDER = ("IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING", "OK")


def stamp(at: float | None) -> float | None:
    """A time as ECS writes it: seconds since the epoch, to the millisecond."""
    return None if at is None else round(at, 3)


def failure_view(arn: str, reason: str, detail: str | None = None) -> dict[str, str | None]:
    """A Failure."""
    return {"arn": arn, "reason": reason, "detail": detail}


def cluster_view(cluster: Cluster, state: ClusterState | None, include: frozenset[str]) -> View:
    """A Cluster; ``include`` as DescribeClusters has it. ``state`` None is a cluster with nothing in it."""
    counts = _Counts(state) if state is not None else _Counts(None)
    return {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": counts.instances,
        "runningTasksCount": counts.running,
        "pendingTasksCount": counts.pending,
        "activeServicesCount": counts.active_services,
        "statistics": counts.statistics() if "STATISTICS" in include else [],
        "tags": tag_list(cluster.tags) if "TAGS" in include else [],
        "settings": [{"name": n, "value": v} for n, v in cluster.settings.items()] if "SETTINGS" in include else [],
        "capacityProviders": list(cluster.capacity_providers),
        "defaultCapacityProviderStrategy": strategy_view(cluster.default_strategy),
        "configuration": cluster.configuration or None if "CONFIGURATIONS" in include else None,
        "serviceConnectDefaults": cluster.service_connect_defaults or None,
        **(attachments_view(cluster, state) if "ATTACHMENTS" in include else {}),
    }


class _Counts:
    """How much is in a cluster, by launch type. Tasks count by lastStatus: one that is being stopped still runs."""

    def __init__(self, state: ClusterState | None) -> None:
        self.instances = 0
        self.by_status: dict[tuple[str, str], int] = {}
        self.services: dict[tuple[str, str | None], int] = {}
        if state is None:
            return
        for service in state.services.values():
            revision = revision_of(state, service)
            if revision is not None:
                what = service.status.lower(), revision.launch_type
                self.services[what] = self.services.get(what, 0) + 1
        self.instances = sum(i.status in ("ACTIVE", "DRAINING") for i in state.instances.values())
        for task in _tasks_at_work(state):
            if (status := _COUNTED.get(task.last_status)) is not None:
                key = status, task.launch_type
                self.by_status[key] = self.by_status.get(key, 0) + 1

    @property
    def running(self) -> int:
        return sum(count for (status, _), count in self.by_status.items() if status == "running")

    @property
    def pending(self) -> int:
        return sum(count for (status, _), count in self.by_status.items() if status == "pending")

    @property
    def active_services(self) -> int:
        return sum(count for (status, _), count in self.services.items() if status == "active")

    def statistics(self) -> list[dict[str, str]]:
        kinds = (("EC2", "EC2"), ("FARGATE", "Fargate"), ("EXTERNAL", "External"))
        pairs = [
            (f"{status}{name}TasksCount", self.by_status.get((status, kind), 0))
            for kind, name in kinds
            for status in ("running", "pending")
        ]
        services = [
            (f"{status}{name}ServiceCount", self.services.get((status, kind), 0))
            for kind, name in kinds
            for status in ("active", "draining")
        ]
        return [{"name": name, "value": str(value)} for name, value in (*pairs, *services)]


def _tasks_at_work(state: ClusterState) -> Iterator[Task]:
    """Tasks that have not stopped, without a look at the many that have."""
    for slot in state.fleet.slots():
        for task_id in slot.tasks:
            yield state.tasks[task_id]
    for task_id in state.task_index.by_desired["RUNNING"]:
        if state.tasks[task_id].instance_id is None:
            yield state.tasks[task_id]


def instance_view(instance: ContainerInstance, state: ClusterState, include: frozenset[str]) -> View:
    """A ContainerInstance; ``include`` as DescribeContainerInstances has it."""
    fleet = state.fleet
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": instance.ec2_instance_id,
        "capacityProviderName": instance.capacity_provider,
        "version": state.version_of(instance),
        "versionInfo": {
            "agentVersion": instance.agent_version,
            "agentHash": instance.agent_hash,
            "dockerVersion": instance.docker_version,
        },
        "remainingResources": _remaining(instance.resources, fleet.free(instance.id)),
        "registeredResources": _registered(instance.resources),
        "status": instance.status,
        "statusReason": instance.status_reason,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": fleet.running_count(instance.id),
        "pendingTasksCount": fleet.pending_count(instance.id),
        "agentUpdateStatus": instance.agent_update_status,
        "attributes": [{"name": name, "value": value} for name, value in instance.attributes.items()],
        "registeredAt": stamp(instance.registered_at),
        "attachments": [],
        "tags": tag_list(instance.tags) if "TAGS" in include else [],
        "healthStatus": _health_view(instance.health) if "CONTAINER_INSTANCE_HEALTH" in include else None,
    }


def _number(name: str, value: int) -> View:
    return {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}


def _names(name: str, values: list[str]) -> View:
    filler = {"doubleValue": 0.0, "longValue": 0, "integerValue": 0}
    return {"name": name, "type": "STRINGSET", **filler, "stringSetValue": values}


def _registered(resources: Resources) -> list[View]:
    view = [
        _number("CPU", resources.cpu),
        _number("MEMORY", resources.memory),
        _names("PORTS", [str(port) for port in resources.reserved_tcp]),
        _names("PORTS_UDP", [str(port) for port in resources.reserved_udp]),
    ]
    return [*view, _names("GPU", list(resources.gpu_ids))] if resources.gpu_ids else view


def _remaining(resources: Resources, free: Free) -> list[View]:
    view = [
        _number("CPU", free.cpu),
        _number("MEMORY", free.memory),
        _names("PORTS", [str(port) for port in sorted(free.used_tcp)]),
        _names("PORTS_UDP", [str(port) for port in sorted(free.used_udp)]),
    ]
    return [*view, _names("GPU", list(free.gpu_ids))] if resources.gpu_ids else view


def _health_view(health: Mapping[str, Any]) -> View:
    statuses = [detail.get("status", "INSUFFICIENT_DATA") for detail in health.values()]
    worst = next((status for status in _HEALTH_ORDER if status in statuses), "INSUFFICIENT_DATA")
    return {"overallStatus": worst, "details": [_health_detail(kind, detail) for kind, detail in health.items()]}


def _health_detail(kind: str, detail: Mapping[str, Any]) -> View:
    times = {name: stamp(detail.get(name)) for name in ("lastUpdated", "lastStatusChange")}
    return {"type": kind, **detail, **times}


def task_view(task: Task, cluster: Cluster, state: ClusterState, include: frozenset[str]) -> View:
    """A Task; ``include`` as DescribeTasks has it."""
    instance = state.instances.get(task.instance_id) if task.instance_id else None
    architecture = instance.attributes.get("ecs.cpu-architecture") if instance else None
    return {
        "attachments": [attachment_view(each) for each in task.attachments],
        "attributes": [{"name": "ecs.cpu-architecture", "value": architecture}] if architecture else [],
        "availabilityZone": task.zone,
        "capacityProviderName": task.capacity_provider,
        "clusterArn": cluster.arn,
        "connectivity": task.connectivity,
        "connectivityAt": stamp(task.connectivity_at),
        "containerInstanceArn": _instance_arn(task, cluster) if task.instance_id else None,
        "containers": [container_view(c, task) for c in task.containers],
        "cpu": task.cpu,
        "createdAt": stamp(task.created_at),
        "desiredStatus": task.desired_status,
        "enableExecuteCommand": task.enable_execute_command,
        "executionStoppedAt": stamp(task.execution_stopped_at),
        "group": task.group,
        "healthStatus": task.health_status,
        "lastStatus": task.last_status,
        "launchType": task.launch_type,
        "memory": task.memory,
        "overrides": task.overrides,
        "pullStartedAt": stamp(task.pull_started_at),
        "pullStoppedAt": stamp(task.pull_stopped_at),
        "startedAt": stamp(task.started_at),
        "startedBy": task.started_by,
        "stopCode": task.stop_code,
        "stoppedAt": stamp(task.stopped_at),
        "stoppedReason": task.stopped_reason,
        "stoppingAt": stamp(task.stopping_at),
        "tags": tag_list(task.tags) if "TAGS" in include else [],
        "taskArn": task.arn,
        "taskDefinitionArn": task.definition_arn,
        "version": task.version,
    }


def attachment_view(attachment: Attachment) -> View:
    """An Attachment of a Task."""
    details = [{"name": name, "value": value} for name, value in attachment.details.items()]
    return {"id": attachment.id, "type": attachment.type, "status": attachment.status, "details": details}


def _interface_view(attachment: Attachment) -> View:
    """A NetworkInterface of a Container."""
    details = attachment.details
    return {
        "attachmentId": attachment.id,
        "privateIpv4Address": details[ADDRESS],
        "ipv6Address": details.get(ADDRESS_6),
    }


def stopped_task_view(task: Task) -> View:
    """What RunTask still tells of a task that has stopped, when it is repeated under the same clientToken."""
    return {"taskArn": task.arn, "lastStatus": task.last_status, "desiredStatus": task.desired_status}


def _instance_arn(task: Task, cluster: Cluster) -> str:
    return cluster.arn.replace(":cluster/", ":container-instance/") + f"/{task.instance_id}"


def container_view(container: Container, task: Task) -> View:
    """A Container of a Task."""
    return {
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": container.name,
        "image": container.image,
        "imageDigest": container.image_digest,
        "runtimeId": container.runtime_id,
        "lastStatus": container.last_status,
        "exitCode": container.exit_code,
        "reason": container.reason,
        "networkBindings": [_binding_view(b) for b in container.network_bindings],
        "networkInterfaces": [_interface_view(each) for each in task.attachments if ADDRESS in each.details],
        "healthStatus": container.health_status,
        "cpu": str(container.cpu),
        "memory": None if container.memory is None else str(container.memory),
        "memoryReservation": None if container.memory_reservation is None else str(container.memory_reservation),
        "gpuIds": list(container.gpu_ids) or None,
        "managedAgents": [_managed_agent(container, task)] if task.enable_execute_command else None,
    }


def _managed_agent(container: Container, task: Task) -> View:
    """The agent that runs commands in a container: the instance's own, so it is there as long as the container runs."""
    status = container.last_status if container.last_status in ("RUNNING", "STOPPED") else "PENDING"
    return {
        "name": "ExecuteCommandAgent",
        "lastStatus": status,
        "lastStartedAt": stamp(task.started_at) if status == "RUNNING" else None,
        "reason": "Received Container Stopped event" if status == "STOPPED" else None,
    }


def _binding_view(binding: NetworkBinding) -> View:
    return {
        "bindIP": binding.bind_ip,
        "containerPort": binding.container_port,
        "hostPort": binding.host_port,
        "protocol": binding.protocol,
        "containerPortRange": binding.container_port_range,
        "hostPortRange": binding.host_port_range,
    }
