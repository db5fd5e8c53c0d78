"""What an operator can set: the official agent's ECS_* environment variables, by the same names and defaults.

AWSORCH_* variables exist only where ECS has none. Durations are in seconds once read (Go syntax in the
environment: "90s", "1m30s"), memory in MiB. Values are read and checked here and nowhere else.
"""

import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.agent.gpu_inventory import read_inventory
from awsorch.agent.network_commands import has_ipv6

DEFAULT_RESERVED_PORTS = (22, 2375, 2376, 51678, 51679)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
LONGEST_FOLDER = 50
PULL_BEHAVIORS = ("default", "always", "once", "prefer-cached")


class SettingError(Exception):
    """A variable that cannot be used; the text names it and says what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSettings:
    """What this instance is and offers. `cpu` in CPU units, None for what the engine's host has; `gpus` are ids. The
    folder `efs_folder` stands in for EFS. With `task_interfaces` tasks may have network interfaces of their own; with
    `block_metadata` those do not reach EC2's metadata service; `ipv6`: the kernel has it. With `block_volumes` they may
    have EBS volumes, mounted in `mount_namespace` (a file; empty for the agent's own) where the engine is elsewhere;
    files in `ebs_folder` stand in for their devices."""

    cpu: int | None = None
    memory: int | None = None
    reserved_memory: int = 0
    reserved_ports: tuple[int, ...] = DEFAULT_RESERVED_PORTS
    reserved_ports_udp: tuple[int, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    os_family: str = "LINUX"
    logging_drivers: tuple[str, ...] = ("json-file", "none")
    privileged_disabled: bool = False
    selinux_capable: bool = False
    apparmor_capable: bool = False
    gpus: tuple[str, ...] = ()
    gpu_runtime: str = "nvidia"
    task_interfaces: bool = False
    block_metadata: bool = False
    ipv6: bool = False
    volume_plugin_capabilities: tuple[str, ...] = ()
    efs_folder: str = ""
    block_volumes: bool = False
    ebs_folder: str = ""
    mount_namespace: str = ""
    port_bind_address: str = "0.0.0.0"
    dynamic_port_range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Limits of whole tasks: whether there are any, the period of CPU quotas in seconds, processes (0: any number).
    `parent` is the cgroup of all tasks' containers; empty: the agent makes one, on this machine's own engine."""

    enabled: bool = True
    cpu_period: float = 0.1
    pids: int = 0
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How containers and images are handled. With `awslogs_by_agent` the agent brings lines to CloudWatch Logs, not the
    engine; with `awslogs_by_execution_role` the engine does in the name of the task's execution role. `ecr_registry`,
    a host and port, stands in for all registries of ECR."""

    docker_host: str = "unix:///var/run/docker.sock"
    limits: LimitSettings = field(default_factory=LimitSettings)
    cleanup_wait: float = 3 * 3600.0
    stop_timeout: float = 30.0
    start_timeout: float = 180.0
    create_timeout: float = 240.0
    pull_timeout: float = 2 * 3600.0
    pull_inactivity_timeout: float = 60.0
    pull_behavior: str = "default"
    image_cleanup_disabled: bool = False
    image_cleanup_interval: float = 1800.0
    image_minimum_age: float = 3600.0
    images_per_cleanup: int = 5
    untracked_cleanup: bool = False
    untracked_minimum_age: float = 3600.0
    untracked_excluded: tuple[str, ...] = ()
    containers_per_cleanup: int = 5
    auth_type: str = ""
    auth_data: str = field(default="", repr=False)
    ecr_registry: str = ""
    awslogs_by_agent: bool = False
    awslogs_by_execution_role: bool = False
    health_check_disabled: bool = False
    metrics_disabled: bool = False
    report_delay: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an agent needs to know before it starts. `introspection_port` 0: no introspection.

    `task_endpoint_port` 0: any free one. `task_endpoint_rate`: a container's calls a second, and at once. An external
    instance joins by an activation, and is `managed_instance_id` from then on. With `spot_draining` a notice that EC2
    will take the instance back is looked for every `spot_interval` seconds. With `task_roles` containers are led to
    this agent at 169.254.170.2, with `task_roles_on_host` those in the host's network are; where a front leads them
    there, it calls at `task_front`, an address. `container_environment` is what all containers find, unless they say
    otherwise. With `updates_enabled` other releases of the agent are kept in `update_dir`.
    """

    cluster: str = "default"
    region: str = ""
    backend_host: str = ""
    external: bool = False
    activation_id: str = ""
    activation_code: str = field(default="", repr=False)
    managed_instance_id: str = ""
    data_dir: str = ""
    checkpoint: bool = False
    metadata_endpoint: str = "http://169.254.169.254"
    spot_draining: bool = False
    spot_interval: float = 1.0
    metadata_files: bool = False
    task_roles: bool = False
    task_roles_on_host: bool = False
    task_front: str = ""
    container_environment: Mapping[str, str] = field(default_factory=dict)
    introspection_address: str = "127.0.0.1"
    introspection_port: int = 51678
    task_endpoint_port: int = 51679
    task_endpoint_rate: tuple[int, int] = (40, 60)
    updates_enabled: bool = False
    update_dir: str = ""
    log_level: str = "info"
    log_file: str = ""
    instance: InstanceSettings = field(default_factory=InstanceSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)


def firelens_folder(data_dir: str) -> str:
    """Where tasks' log routers have their files; empty for an agent without a data folder. A socket's path may have 107
    characters, so that of a deep data folder is under /run."""
    if not data_dir:
        return ""
    folder = f"{data_dir}/firelens"
    if len(folder) <= LONGEST_FOLDER:
        return folder
    return f"/run/awsorch/firelens-{zlib.crc32(data_dir.encode()):08x}"


def parse_duration(text: str) -> float:
    """Seconds of a Go duration; raises ValueError with an example of a right one."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('a duration such as "90s", "10m" or "1h30m"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def load(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises SettingError for the first variable that makes no sense."""
    return _load(_Reader(environment))


def known_variables() -> frozenset[str]:
    """Every variable that `load` looks at."""
    read = _Reader({})
    _load(read)
    return frozenset(read.names)


def _load(read: "_Reader") -> Settings:
    data_dir = read("ECS_DATADIR", str, "")
    return Settings(
        cluster=read("ECS_CLUSTER", str, "default"),
        region=read("AWS_DEFAULT_REGION", str, read("AWS_REGION", str, "")),
        backend_host=_with_scheme(read("ECS_BACKEND_HOST", str, "")),
        external=read("ECS_EXTERNAL", _boolean, False),
        activation_id=read("AWSORCH_ACTIVATION_ID", str, ""),
        activation_code=read("AWSORCH_ACTIVATION_CODE", str, ""),
        managed_instance_id=read("AWSORCH_MANAGED_INSTANCE_ID", str, ""),
        data_dir=data_dir,
        checkpoint=read("ECS_CHECKPOINT", _boolean, bool(data_dir)),
        metadata_endpoint=read("AWS_EC2_METADATA_SERVICE_ENDPOINT", str, "http://169.254.169.254"),
        spot_draining=read("ECS_ENABLE_SPOT_INSTANCE_DRAINING", _boolean, False),
        spot_interval=max(read("AWSORCH_SPOT_NOTICE_INTERVAL", parse_duration, 1.0), 0.1),
        metadata_files=read("ECS_ENABLE_CONTAINER_METADATA", _boolean, False),
        task_roles=read("ECS_ENABLE_TASK_IAM_ROLE", _boolean, False),
        task_roles_on_host=read("ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST", _boolean, False),
        task_front=read("AWSORCH_TASK_FRONT", str, ""),
        container_environment=read("AWSORCH_CONTAINER_ENVIRONMENT", _string_map, {}),
        introspection_address=read("AWSORCH_INTROSPECTION_ADDRESS", str, "127.0.0.1"),
        introspection_port=read("AWSORCH_INTROSPECTION_PORT", _integer, 51678),
        task_endpoint_port=read("AWSORCH_TASK_ENDPOINT_PORT", _port_or_any, 51679),
        task_endpoint_rate=read("ECS_TASK_METADATA_RPS_LIMIT", _rate, (40, 60)),
        updates_enabled=read("ECS_UPDATES_ENABLED", _boolean, False),
        update_dir=read("ECS_UPDATE_DOWNLOAD_DIR", str, f"{data_dir or '.'}/updates"),
        log_level=read("ECS_LOGLEVEL", str, "info"),
        log_file=read("ECS_LOGFILE", str, ""),
        instance=_load_instance(read),
        engine=_load_engine(read),
    )


def _load_instance(read: "_Reader") -> InstanceSettings:
    return InstanceSettings(
        cpu=read("AWSORCH_INSTANCE_CPU", _integer, None),
        memory=read("AWSORCH_INSTANCE_MEMORY", _integer, None),
        reserved_memory=read("ECS_RESERVED_MEMORY", _integer, 0),
        reserved_ports=read("ECS_RESERVED_PORTS", _ports, DEFAULT_RESERVED_PORTS),
        reserved_ports_udp=read("ECS_RESERVED_PORTS_UDP", _ports, ()),
        attributes=read("ECS_INSTANCE_ATTRIBUTES", _string_map, {}),
        tags=read("ECS_CONTAINER_INSTANCE_TAGS", _string_map, {}),
        os_family=read("ECS_DETAILED_OS_FAMILY", str, "LINUX"),
        logging_drivers=read("ECS_AVAILABLE_LOGGING_DRIVERS", _strings, ("json-file", "none")),
        privileged_disabled=read("ECS_DISABLE_PRIVILEGED", _boolean, False),
        selinux_capable=read("ECS_SELINUX_CAPABLE", _boolean, False),
        apparmor_capable=read("ECS_APPARMOR_CAPABLE", _boolean, False),
        volume_plugin_capabilities=read("ECS_VOLUME_PLUGIN_CAPABILITIES", _strings, ()),
        efs_folder=read("AWSORCH_EFS_FOLDER", str, ""),
        block_volumes=read("ECS_EBSTA_SUPPORTED", _boolean, False),
        ebs_folder=read("AWSORCH_EBS_FOLDER", str, ""),
        mount_namespace=read("AWSORCH_MOUNT_NAMESPACE", str, ""),
        gpus=_gpus(read),
        task_interfaces=read("ECS_ENABLE_TASK_ENI", _boolean, False),
        block_metadata=read("ECS_AWSVPC_BLOCK_IMDS", _boolean, False),
        ipv6=has_ipv6(),
        gpu_runtime=read("ECS_NVIDIA_RUNTIME", str, "nvidia"),
        port_bind_address=read("AWSORCH_PORT_BIND_ADDRESS", str, "0.0.0.0"),
        dynamic_port_range=read("ECS_DYNAMIC_HOST_PORT_RANGE", _port_range, None),
    )


def _gpus(read: "_Reader") -> tuple[str, ...]:
    """Those that are named, else those that ECS's set-up of the instance found."""
    named = read("AWSORCH_GPUS", _strings, ())
    wanted = read("ECS_ENABLE_GPU_SUPPORT", _boolean, False)
    return named or (read_inventory() if wanted else ())


def _load_engine(read: "_Reader") -> EngineSettings:
    return EngineSettings(
        docker_host=read("DOCKER_HOST", str, "unix:///var/run/docker.sock"),
        limits=LimitSettings(
            enabled=read("ECS_ENABLE_TASK_CPU_MEM_LIMIT", _boolean, True),
            cpu_period=min(max(read("ECS_CGROUP_CPU_PERIOD", parse_duration, 0.1), 0.008), 0.1),
            pids=read("ECS_TASK_PIDS_LIMIT", _integer, 0),
            parent=read("AWSORCH_CGROUP_PARENT", str, ""),
        ),
        cleanup_wait=max(read("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", parse_duration, 10800.0), 1.0),
        stop_timeout=max(read("ECS_CONTAINER_STOP_TIMEOUT", parse_duration, 30.0), 1.0),
        start_timeout=max(read("ECS_CONTAINER_START_TIMEOUT", parse_duration, 180.0), 45.0),
        create_timeout=max(read("ECS_CONTAINER_CREATE_TIMEOUT", parse_duration, 240.0), 60.0),
        pull_timeout=read("ECS_IMAGE_PULL_TIMEOUT", parse_duration, 7200.0),
        pull_inactivity_timeout=read("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", parse_duration, 60.0),
        pull_behavior=read("ECS_IMAGE_PULL_BEHAVIOR", _pull_behavior, "default"),
        image_cleanup_disabled=read("ECS_DISABLE_IMAGE_CLEANUP", _boolean, False),
        image_cleanup_interval=max(read("ECS_IMAGE_CLEANUP_INTERVAL", parse_duration, 1800.0), 600.0),
        image_minimum_age=read("ECS_IMAGE_MINIMUM_CLEANUP_AGE", parse_duration, 3600.0),
        images_per_cleanup=read("ECS_NUM_IMAGES_DELETE_PER_CYCLE", _integer, 5),
        untracked_cleanup=read("ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP", _boolean, False),
        untracked_minimum_age=read("NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE", parse_duration, 3600.0),
        untracked_excluded=read("ECS_EXCLUDE_UNTRACKED_IMAGE", _names, ()),
        containers_per_cleanup=read("NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE", _integer, 5),
        auth_type=read("ECS_ENGINE_AUTH_TYPE", str, ""),
        auth_data=read("ECS_ENGINE_AUTH_DATA", str, ""),
        ecr_registry=read("AWSORCH_ECR_REGISTRY", str, ""),
        awslogs_by_agent=read("AWSORCH_AWSLOGS_BY_AGENT", _boolean, False),
        awslogs_by_execution_role=read("ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE", _boolean, False),
        health_check_disabled=read("ECS_DISABLE_DOCKER_HEALTH_CHECK", _boolean, False),
        metrics_disabled=read("ECS_DISABLE_METRICS", _boolean, False),
        report_delay=read("AWSORCH_CONTAINER_REPORT_DELAY", parse_duration, 1.0),
    )


class _Reader:
    """Reads one variable after the other and says which one is wrong."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.names: set[str] = set()

    def __call__(self, name: str, parse: Callable[[str], Any], default: Any) -> Any:
        self.names.add(name)
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            shown = text if name != "ECS_ENGINE_AUTH_DATA" else "(hidden)"
            raise SettingError(f"{name}={shown!r} cannot be used: it must be {error}") from None


def _with_scheme(host: str) -> str:
    return host if not host or "://" in host else f"https://{host}"


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false", "1", "0", "t", "f"):
        raise ValueError("true or false")
    return lowered in ("true", "1", "t")


def _integer(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("a whole number, not negative")
    return int(text)


def _pull_behavior(text: str) -> str:
    if text not in PULL_BEHAVIORS:
        raise ValueError("one of " + ", ".join(PULL_BEHAVIORS))
    return text


def _port_or_any(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError("a port such as 51679, or 0 for any that is free")
    return int(text)


def _rate(text: str) -> tuple[int, int]:
    rate, _, burst = (part.strip() for part in text.partition(","))
    if not (rate.isdecimal() and burst.isdecimal() and int(rate) > 0 and int(burst) > 0):
        raise ValueError('the calls a second and at once, such as "40,60"')
    return int(rate), int(burst)


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise ValueError('a range of ports such as "32768-60999"')
    return int(first), int(last)


def _ports(text: str) -> tuple[int, ...]:
    value = _json(text)
    if not isinstance(value, list) or not all(isinstance(port, int) and 0 < port < 65536 for port in value):
        raise ValueError("a JSON list of ports such as [22,80]")
    return tuple(value)


def _strings(text: str) -> tuple[str, ...]:
    value = _json(text)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('a JSON list of strings such as ["json-file"]')
    return tuple(value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for each in text.split(",") if (name := each.strip()))


def _string_map(text: str) -> dict[str, str]:
    value = _json(text)
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError('a JSON object of strings such as {"stack": "blue"}')
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("valid JSON") from None
