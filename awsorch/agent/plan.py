"""From a task as ACS sends it to what Docker is asked for: names, rules of life, arguments of create calls.

Pure: random suffixes and ports are handed in. `dockerConfig` is laid over everything that is derived from plain
fields, so a key in its JSON wins, as with the official agent.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from awsorch.agent import ebs, efs, engine, gpus
from awsorch.agent.docker_config import ConfigError, decode, lay_over, log_options
from awsorch.agent.environment import NONE, Inputs, Placement, variables
from awsorch.agent.host import Needs
from awsorch.agent.log_config import complete
from awsorch.agent.pause import PAUSE
from awsorch.agent.ports import Binding, Wanted
from awsorch.agent.settings import InstanceSettings, Settings
from awsorch.agent.states import Condition, ContainerRules, Dependency, RestartRule
from awsorch.wire import acs

NOTHING = InstanceSettings()
MINIMUM_MEMORY = 4 * 1024 * 1024
MINIMUM_CPU_SHARES = 2
MAXIMUM_CPU_SHARES = 262144
NETWORK_MODES = ("", "bridge", "host", "none", "awsvpc")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")
_CONDITIONS = {
    "START": Condition.START,
    "COMPLETE": Condition.COMPLETE,
    "SUCCESS": Condition.SUCCESS,
    "HEALTHY": Condition.HEALTHY,
}


class InvalidTaskError(Exception):
    """A task that cannot be understood; the text is what goes after "Error loading task - "."""


class UnsupportedTaskError(Exception):
    """A task that is well formed and asks for something this agent does not offer as a capability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a task's objects are called in Docker, and by what id each container calls its agent (`endpoints`, secret).

    Chosen once and stored before anything is created.
    """

    containers: dict[str, str]
    volumes: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)


def check(task: acs.Task, offers: InstanceSettings = NOTHING) -> None:
    """Raises InvalidTaskError or UnsupportedTaskError."""
    names = [each.name for each in task.containers]
    if len(set(names)) < len(names) or not all(names):
        raise InvalidTaskError("every container needs a name of its own")
    for container in task.containers:
        _command(container)
        wanted_ports(container)
        for dependency in container.depends_on:
            if dependency.condition not in _CONDITIONS:
                raise InvalidTaskError(
                    f"container {container.name}: dependsOn condition must be one of "
                    f"{', '.join(_CONDITIONS)}, not {dependency.condition!r}"
                )
    for volume in task.volumes:
        _check_volume(volume)
    _check_supported(task, offers)


def _check_volume(volume: acs.Volume) -> None:
    match volume.type or "host":
        case "host":
            # a type that is left out needs no config object: the empty one is what it would say
            complete = volume.host is not None or not volume.type
        case "docker":
            complete = volume.docker_volume_configuration is not None
        case "efs":
            complete = volume.efs_volume_configuration is not None
        case "attachment" | "fsxWindowsFileServer":
            complete = True
        case _:
            raise InvalidTaskError(f"volume {volume.name}: unknown type {volume.type!r}")
    if not complete:
        raise InvalidTaskError(f"volume {volume.name}: type {volume.type} without its configuration")


def _windows_volume(task: acs.Task) -> str:
    named = next((each.name for each in task.volumes if each.type == "fsxWindowsFileServer"), None)
    client = "FSx for Windows File Server is mounted by a client that Windows has and Linux has not"
    return f"the volume {named}: {client}" if named is not None else ""


def _check_supported(task: acs.Task, offers: InstanceSettings) -> None:
    what = ""
    if task.network_mode not in NETWORK_MODES or (task.network_mode == "awsvpc" and not offers.task_interfaces):
        what = f"network mode {task.network_mode}"
    elif task.pid_mode not in ("", "host", "task") or task.ipc_mode not in ("", "host", "none", "task"):
        what = f"pidMode {task.pid_mode or 'none'} with ipcMode {task.ipc_mode or 'none'}"
    else:
        what = ebs.unsupported(task, offered=offers.block_volumes)
        what = what or gpus.unsupported(task, offers.gpus) or efs.unsupported(task, offers) or _windows_volume(task)
    if what:
        raise UnsupportedTaskError(f"resource cannot be initialized for task {task.arn}: {what}")


def rules_of(task: acs.Task, settings: Settings) -> tuple[ContainerRules, ...]:
    """How the containers live: links and a log router imply START, volumesFrom implies CREATED."""
    router = next((each.name for each in task.containers if each.firelens_configuration is not None), None)
    return tuple(_container_rules(each, settings, router) for each in task.containers)


def _container_rules(container: acs.Container, settings: Settings, router: str | None) -> ContainerRules:
    waits = [Dependency(on=each.container_name, condition=_CONDITIONS[each.condition]) for each in container.depends_on]
    waits += [Dependency(on=link.partition(":")[0], condition=Condition.START) for link in container.links]
    waits += [Dependency(on=each.source_container, condition=Condition.CREATED) for each in container.volumes_from]
    if router is not None and log_options(container, "awsfirelens") is not None:
        waits.append(Dependency(on=router, condition=Condition.START))
    policy = container.restart_policy
    return ContainerRules(
        name=container.name,
        essential=container.essential,
        depends_on=tuple(dict.fromkeys(waits)),
        start_timeout=container.start_timeout or None,
        stop_timeout=container.stop_timeout or settings.engine.stop_timeout,
        restart=RestartRule(
            ignored_exit_codes=policy.ignored_exit_codes, attempt_period=float(policy.restart_attempt_period)
        )
        if policy is not None and policy.enabled
        else None,
    )


def names_for(task: acs.Task, suffix: Callable[[], str]) -> Names:
    """Names of the form ecs-<family>-<version>-<name>-<suffix>; shared volumes keep their own."""
    prefix = f"ecs-{task.family or 'task'}-{task.version or '0'}"
    return Names(
        containers={each.name: _docker_name(prefix, each.name, suffix()) for each in task.containers},
        volumes={
            each.name: each.name if _is_shared(each) else _docker_name(prefix, each.name, suffix())
            for each in task.volumes
            if not _source_path(each)
        },
        endpoints={each.name: suffix() for each in task.containers},
    )


def _docker_name(prefix: str, name: str, suffix: str) -> str:
    return f"{prefix}-{_NOT_IN_NAMES.sub('', name)}-{suffix}"


def _is_shared(volume: acs.Volume) -> bool:
    config = volume.docker_volume_configuration
    return config is not None and config.scope == "shared"


def _source_path(volume: acs.Volume) -> str:
    return volume.host.source_path if volume.host is not None else ""


def wanted_ports(container: acs.Container) -> tuple[Wanted, ...]:
    """The ports to publish. Raises InvalidTaskError for a protocol or range that makes no sense."""
    wanted = []
    for mapping in container.port_mappings:
        protocol = mapping.protocol or "tcp"
        if protocol not in ("tcp", "udp"):
            raise InvalidTaskError(f"container {container.name}: unknown protocol {protocol!r}")
        first, count = mapping.container_port, 1
        if mapping.container_port_range:
            low, _, high = mapping.container_port_range.partition("-")
            if not (low.isdecimal() and high.isdecimal() and 0 < int(low) <= int(high) <= 65535):
                raise InvalidTaskError(
                    f"container {container.name}: invalid port range {mapping.container_port_range!r}"
                )
            first, count = int(low), int(high) - int(low) + 1
        wanted.append(
            Wanted(
                container_port=first,
                protocol=protocol,
                host_port=mapping.host_port,
                count=count,
                is_range=bool(mapping.container_port_range),
            )
        )
    return tuple(wanted)


def is_bridged(task: acs.Task, container: acs.Container) -> bool:
    """Only a bridge has ports to publish and traffic to count; in the host's own network a port is simply there."""
    return task.network_mode != "awsvpc" and _network_mode(task, container) not in ("host", "none")


def _network_mode(task: acs.Task, container: acs.Container) -> str:
    over = decode(container, "hostConfig", lenient=True)
    return str(over.get("NetworkMode") or task.network_mode or "default")


def create_arguments(
    task: acs.Task,
    container: acs.Container,
    *,
    names: Names,
    bindings: tuple[Binding, ...],
    place: Placement,
    inputs: Inputs = NONE,
    cgroup: str = "",
) -> engine.CreateArguments:
    """The create call for one container, below the `cgroup` of its task if that has one. Raises ConfigError."""
    body: dict[str, Any] = {
        "Image": container.image,
        "Env": variables(task, container, names.endpoints.get(container.name, ""), place, inputs),
        "ExposedPorts": {
            f"{port}/{each.protocol}": {}
            for each in wanted_ports(container)
            for port in range(each.container_port, each.container_port + each.count)
        },
    }
    command = _command(container)
    if command:
        body["Cmd"] = list(command)
    if container.entry_point is not None:
        body["Entrypoint"] = list(container.entry_point)
    lay_over(body, decode(container, "config"))
    body["Labels"] = {**(body.get("Labels") or {}), **_labels(task, container, place)}
    host = _host_config(task, container, names, bindings)
    lay_over(host, decode(container, "hostConfig"))
    if host.get("LogConfig"):
        host["LogConfig"] = complete(host["LogConfig"], task, container, place, inputs.log_options)
    gpus.give(task, container, place, body, host)
    if container.name == PAUSE:
        _hold(task, body, host)
    else:
        _join(task, names, body, host)
    if cgroup:
        host.setdefault("CgroupParent", cgroup)
    body["HostConfig"] = host
    return engine.CreateArguments(name=names.containers[container.name], body=body)


def _labels(task: acs.Task, container: acs.Container, place: Placement) -> dict[str, str]:
    return {
        engine.TASK_ARN_LABEL: task.arn,
        engine.CONTAINER_NAME_LABEL: container.name,
        engine.FAMILY_LABEL: task.family,
        engine.VERSION_LABEL: task.version,
        engine.CLUSTER_LABEL: place.cluster,
        engine.INSTANCE_LABEL: place.instance_arn,
    }


def _host_config(
    task: acs.Task, container: acs.Container, names: Names, bindings: tuple[Binding, ...]
) -> dict[str, Any]:
    host: dict[str, Any] = {
        "CpuShares": min(max(container.cpu, MINIMUM_CPU_SHARES), MAXIMUM_CPU_SHARES),
        "Binds": [_bind(task, mount, names) for mount in container.mount_points],
        "Links": [_link(link, names) for link in container.links],
        "VolumesFrom": [
            names.containers[each.source_container] + (":ro" if each.read_only else "")
            for each in container.volumes_from
        ],
        "PortBindings": {
            f"{each.container_port + offset}/{each.protocol}": [
                {"HostIp": each.bind_ip, "HostPort": str(each.host_port + offset)}
            ]
            for each in bindings
            for offset in range(each.count)
        },
    }
    if container.memory:
        host["Memory"] = max(container.memory * 1024 * 1024, MINIMUM_MEMORY)
    if task.network_mode:
        host["NetworkMode"] = task.network_mode
    if task.pid_mode == "host":
        host["PidMode"] = task.pid_mode
    if task.ipc_mode in ("host", "none"):
        host["IpcMode"] = task.ipc_mode
    return host


def _hold(task: acs.Task, body: dict[str, Any], host: dict[str, Any]) -> None:
    """The pause container holds the network that it gets on the bridge, under the task's name, or none; and what else
    the others share."""
    own = task.network_mode == "awsvpc"
    host["NetworkMode"] = "bridge" if own else "none"
    host["PidMode"], host["IpcMode"] = "", "shareable" if task.ipc_mode == "task" else "private"
    if own:
        body["Hostname"] = next((each.private_dns_name for each in task.elastic_network_interfaces), "")


def _join(task: acs.Task, names: Names, body: dict[str, Any], host: dict[str, Any]) -> None:
    """The others share what it holds. Docker refuses what a network of another container has already."""
    shared = f"container:{names.containers.get(PAUSE, '')}"
    if task.pid_mode == "task":
        host["PidMode"] = shared
    if task.ipc_mode == "task":
        host["IpcMode"] = shared
    if task.network_mode != "awsvpc":
        return
    host["NetworkMode"], host["PortBindings"], body["ExposedPorts"] = shared, {}, {}
    for member in ("Hostname", "Domainname", "MacAddress"):
        body.pop(member, None)
    for member in ("Dns", "DnsSearch", "DnsOptions", "ExtraHosts", "Links"):
        host.pop(member, None)


def _bind(task: acs.Task, mount: acs.MountPoint, names: Names) -> str:
    volume = next((each for each in task.volumes if each.name == mount.source_volume), None)
    if volume is None:
        raise ConfigError(f"HostConfigError: mount point of an unknown volume {mount.source_volume!r}")
    source = _source_path(volume) or names.volumes[volume.name]
    return f"{source}:{mount.container_path}" + (":ro" if mount.read_only else "")


def _link(link: str, names: Names) -> str:
    name, _, alias = link.partition(":")
    return f"{names.containers[name]}:{alias or name}"


def _command(container: acs.Container) -> tuple[str, ...]:
    """The command, or the one that run-time overrides replace it with."""
    try:
        overrides = json.loads(container.overrides or "{}")
    except ValueError:
        raise InvalidTaskError(f"container {container.name}: overrides are not valid JSON") from None
    if not isinstance(overrides, dict) or set(overrides) - {"command"}:
        raise InvalidTaskError(f"container {container.name}: only the command can be overridden")
    command = overrides.get("command")
    return tuple(command) if command is not None else container.command


def volumes_for(
    task: acs.Task, container: acs.Container, names: Names, place: Placement
) -> list[tuple[engine.VolumeArguments, bool]]:
    """The named volumes that the container mounts, each with whether it may be created. The task's own ones carry the
    instance's label, so that whoever clears the instance finds them."""
    mounted = {each.source_volume for each in container.mount_points}
    wanted = []
    for volume in task.volumes:
        if volume.name not in mounted or volume.name not in names.volumes:
            continue
        if volume.efs_volume_configuration is not None:
            labels = {engine.INSTANCE_LABEL: place.instance_arn}
            wanted.append((efs.volume_of(volume, task, names.volumes[volume.name], place, labels), True))
            continue
        config = volume.docker_volume_configuration or acs.DockerVolume()
        arguments = engine.VolumeArguments(
            name=names.volumes[volume.name],
            driver=config.driver,
            options=config.driver_opts,
            labels=config.labels
            if _is_shared(volume)
            else {**config.labels, engine.INSTANCE_LABEL: place.instance_arn},
        )
        wanted.append((arguments, not _is_shared(volume) or config.autoprovision))
    return wanted


def task_volumes(task: acs.Task, names: Names) -> list[str]:
    """The names in Docker of the volumes that go when the task is cleaned up."""
    return [names.volumes[each.name] for each in task.volumes if each.name in names.volumes and not _is_shared(each)]


def needs_of(task: acs.Task) -> Needs:
    """What the task takes from the host; FARGATE tasks are not counted."""
    if task.launch_type == "FARGATE":
        return Needs()
    cpu = round(task.cpu * 1024) or sum(each.cpu for each in task.containers)
    memory = task.memory or sum(_memory_need(each) for each in task.containers)
    own_ports = task.network_mode == "awsvpc"
    ports = frozenset(
        (each.host_port + offset, each.protocol)
        for container in task.containers
        for each in wanted_ports(container)
        if each.host_port and not own_ports
        for offset in range(each.count)
    )
    return Needs(cpu=cpu, memory=memory, ports=ports)


def _memory_need(container: acs.Container) -> int:
    reservation = decode(container, "hostConfig", lenient=True).get("MemoryReservation") or 0
    return int(reservation) // (1024 * 1024) or container.memory
