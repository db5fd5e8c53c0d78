"""Task metadata: what a container may know of itself and its task, in the shapes that ECS gives them.

A view is made of what the agent knows and of what the engine says of the containers; members without a value are left
out. Version 3 has fewer of them than version 4. Nothing is asked here.
Source: ECS developer guide, "Amazon ECS task metadata endpoint version 4" and "version 3".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from awsorch.agent.assignment import Assignment
from awsorch.agent.docker_config import log_options
from awsorch.agent.pause import is_internal
from awsorch.agent.ports import Binding
from awsorch.agent.states import ContainerState, Status
from awsorch.wire import acs

View = dict[str, Any]
LEAST_CPU = 2
"""Fewer CPU units than these are shown as these, as Docker counts them."""
_ONLY_IN_4 = ("LogDriver", "LogOptions", "ContainerARN", "Snapshotter", "RestartCount")
_TASK_ONLY_IN_4 = ("VPCID", "LaunchType", "ServiceName", "AvailabilityZoneID", "FaultInjectionEnabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the instance is, and what its cluster is called in the settings."""

    cluster: str
    zone_id: str = ""
    vpc_id: str = ""


def task_view(
    assignment: Assignment, described: Mapping[str, Mapping[str, Any]], place: Place, *, version: int
) -> View:
    """A task with its containers. `described`: container name → what Docker's inspect says of it, as far as it does."""
    task, state = assignment.task, assignment.state
    limits = {"CPU": task.cpu or None, "Memory": task.memory or None}
    view = {
        "Cluster": place.cluster,
        "TaskARN": task.arn,
        "Family": task.family,
        "Revision": task.version,
        "ServiceName": task.service_name,
        "DesiredStatus": _desired(assignment),
        "KnownStatus": state.known.name,
        "Limits": _with_value(limits),
        "PullStartedAt": _time(state.pull_started_at),
        "PullStoppedAt": _time(state.pull_stopped_at),
        "ExecutionStoppedAt": _time(state.execution_stopped_at),
        "AvailabilityZone": task.zone,
        "AvailabilityZoneID": place.zone_id,
        "LaunchType": task.launch_type or "EC2",
        "VPCID": place.vpc_id,
        "Containers": [
            container_view(assignment, each.name, described.get(each.name, {}), version=version)
            for each in task.containers
            if each.name in described
        ],
        "FaultInjectionEnabled": task.enable_fault_injection,
    }
    return _with_value(view if version >= 4 else _without(view, _TASK_ONLY_IN_4))


def container_view(assignment: Assignment, name: str, found: Mapping[str, Any], *, version: int) -> View:
    """One container; `found` is what Docker's inspect says of it."""
    container, state = assignment.containers[name], assignment.state.containers[name]
    config, host = found.get("Config") or {}, found.get("HostConfig") or {}
    own_network = assignment.task.elastic_network_interfaces
    shipped = log_options(container, "awslogs")
    log = host.get("LogConfig") or {} if shipped is None else {"Type": "awslogs", "Config": shipped}
    view = {
        "DockerId": found.get("Id") or state.docker_id,
        "Name": name,
        "DockerName": assignment.names.containers[name],
        "Image": container.image,
        "ImageID": found.get("Image"),
        "Ports": list(ports_view(assignment.bindings.get(name, ()), state, version)),
        "Labels": config.get("Labels"),
        "DesiredStatus": _desired(assignment),
        "KnownStatus": state.known.name,
        "ExitCode": state.exit_code,
        "Limits": {"CPU": max(container.cpu, LEAST_CPU) if version < 4 else container.cpu, "Memory": container.memory},
        "CreatedAt": _docker_time(found.get("Created")),
        "StartedAt": _time(state.began_at),
        "FinishedAt": _time(state.finished_at),
        "Type": "CNI_PAUSE" if is_internal(name) else "NORMAL",
        "Health": _health(found, state) if container.health_check_type else None,
        "Volumes": list(_volumes(found)),
        "LogDriver": log.get("Type"),
        "LogOptions": log.get("Config"),
        "ContainerARN": container.container_arn,
        "Snapshotter": found.get("Driver"),
        "RestartCount": state.restarts if container.restart_policy is not None else None,
        "Networks": list(_networks(found, version)) if not own_network else [_own_network(own_network[0], version)],
    }
    return _with_value(view if version >= 4 else _without(view, _ONLY_IN_4))


def _desired(assignment: Assignment) -> str:
    return "STOPPED" if assignment.state.stopping else "RUNNING"


def ports_view(bindings: tuple[Binding, ...], state: ContainerState, version: int) -> Iterator[View]:
    """The ports of a container that runs; version 4 says on which of the host's addresses."""
    if state.known is not Status.RUNNING:
        return
    for each in bindings:
        for offset in range(each.count):
            port: View = {
                "ContainerPort": each.container_port + offset,
                "Protocol": each.protocol,
                "HostPort": each.host_port + offset,
            }
            yield port | {"HostIp": each.bind_ip} if version >= 4 else port


def _health(found: Mapping[str, Any], state: ContainerState) -> View:
    checks = ((found.get("State") or {}).get("Health") or {}).get("Log") or [{}]
    last = checks[-1]
    health = {"status": state.health.name, "statusSince": _time(state.health_at)}
    if last:
        health |= {"exitCode": last.get("ExitCode"), "output": last.get("Output")}
    return _with_value(health)


def _volumes(found: Mapping[str, Any]) -> Iterator[View]:
    for each in found.get("Mounts") or ():
        yield _with_value(
            {"DockerName": each.get("Name"), "Source": each.get("Source"), "Destination": each.get("Destination")}
        )


def _networks(found: Mapping[str, Any], version: int) -> Iterator[View]:
    for mode, each in ((found.get("NetworkSettings") or {}).get("Networks") or {}).items():
        addresses = [each["IPAddress"]] if each.get("IPAddress") else []
        newer = [each["GlobalIPv6Address"]] if each.get("GlobalIPv6Address") else []
        network: View = {"NetworkMode": mode, "IPv4Addresses": addresses}
        yield network | {"IPv6Addresses": newer} if version >= 4 and newer else network


def _own_network(interface: acs.ElasticNetworkInterface, version: int) -> View:
    """The network of all of a task's containers; version 4 tells more of it."""
    network: View = {
        "NetworkMode": "awsvpc",
        "IPv4Addresses": [each.private_address for each in interface.ipv4_addresses],
    }
    if version < 4:
        return network
    gateway, gateway_6 = interface.subnet_gateway_ipv4_address, interface.subnet_gateway_ipv6_address
    return network | _with_value(
        {
            "IPv6Addresses": [each.address for each in interface.ipv6_addresses],
            "AttachmentIndex": interface.index,
            "MACAddress": interface.mac_address,
            "IPv4SubnetCIDRBlock": str(IPv4Interface(gateway).network) if gateway else "",
            "IPv6SubnetCIDRBlock": str(IPv6Interface(gateway_6).network) if gateway_6 else "",
            "DomainNameServers": list(interface.domain_name_servers),
            "DomainNameSearchList": list(interface.domain_name),
            "PrivateDNSName": interface.private_dns_name,
            "SubnetGatewayIpv4Address": gateway,
            "SubnetGatewayIpv6Address": gateway_6,
        }
    )


def _without(view: View, members: tuple[str, ...]) -> View:
    return {name: value for name, value in view.items() if name not in members}


def _with_value(view: View) -> View:
    return {name: value for name, value in view.items() if value not in (None, "", [], {})}


def _time(at: float | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _docker_time(text: str | None) -> str | None:
    return None if not text or text.startswith("0001") else text
