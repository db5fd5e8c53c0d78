"""Settings that are kept in files: the official agent's JSON, and the variables that systemd gives the agent.

Both are read as variables, so that they are checked where all are. What the environment says wins over the JSON file,
which is the last to be asked. /etc/ecs/ecs.config is systemd's to read for the agent; the doctor, which people start by
hand, reads it itself.
Source: ECS developer guide, "Amazon ECS container agent configuration"; the official agent's config package; systemd,
EnvironmentFile=.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from awsorch.agent.settings import SettingError

PATH_VARIABLE = "ECS_AGENT_CONFIG_FILE_PATH"
DEFAULT_PATH = Path("/etc/ecs_container_agent/config.json")
ENVIRONMENT_FILE = Path("/etc/ecs/ecs.config")
_NANOSECOND = 1e-9


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _duration(value: Any) -> str:
    """Go's own form of a duration is its nanoseconds."""
    return value if isinstance(value, str) else f"{float(value) * _NANOSECOND:.9f}s"


_MEMBERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Cluster": ("ECS_CLUSTER", _text),
    "APIEndpoint": ("ECS_BACKEND_HOST", _text),
    "AWSRegion": ("AWS_DEFAULT_REGION", _text),
    "DataDir": ("ECS_DATADIR", _text),
    "Checkpoint": ("ECS_CHECKPOINT", _text),
    "DockerEndpoint": ("DOCKER_HOST", _text),
    "External": ("ECS_EXTERNAL", _text),
    "ReservedPorts": ("ECS_RESERVED_PORTS", _text),
    "ReservedPortsUDP": ("ECS_RESERVED_PORTS_UDP", _text),
    "ReservedMemory": ("ECS_RESERVED_MEMORY", _text),
    "InstanceAttributes": ("ECS_INSTANCE_ATTRIBUTES", _text),
    "ContainerInstanceTags": ("ECS_CONTAINER_INSTANCE_TAGS", _text),
    "AvailableLoggingDrivers": ("ECS_AVAILABLE_LOGGING_DRIVERS", _text),
    "PrivilegedDisabled": ("ECS_DISABLE_PRIVILEGED", _text),
    "SELinuxCapable": ("ECS_SELINUX_CAPABLE", _text),
    "AppArmorCapable": ("ECS_APPARMOR_CAPABLE", _text),
    "DynamicHostPortRange": ("ECS_DYNAMIC_HOST_PORT_RANGE", _text),
    "EngineAuthType": ("ECS_ENGINE_AUTH_TYPE", _text),
    "EngineAuthData": ("ECS_ENGINE_AUTH_DATA", _text),
    "DisableMetrics": ("ECS_DISABLE_METRICS", _text),
    "DisableDockerHealthCheck": ("ECS_DISABLE_DOCKER_HEALTH_CHECK", _text),
    "TaskCleanupWaitDuration": ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", _duration),
    "DockerStopTimeout": ("ECS_CONTAINER_STOP_TIMEOUT", _duration),
    "ContainerStartTimeout": ("ECS_CONTAINER_START_TIMEOUT", _duration),
    "ContainerCreateTimeout": ("ECS_CONTAINER_CREATE_TIMEOUT", _duration),
    "ImagePullBehavior": ("ECS_IMAGE_PULL_BEHAVIOR", _text),
    "ImagePullTimeout": ("ECS_IMAGE_PULL_TIMEOUT", _duration),
    "ImagePullInactivityTimeout": ("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", _duration),
    "ImageCleanupDisabled": ("ECS_DISABLE_IMAGE_CLEANUP", _text),
    "ImageCleanupInterval": ("ECS_IMAGE_CLEANUP_INTERVAL", _duration),
    "MinimumImageDeletionAge": ("ECS_IMAGE_MINIMUM_CLEANUP_AGE", _duration),
    "NumImagesToDeletePerCycle": ("ECS_NUM_IMAGES_DELETE_PER_CYCLE", _text),
    "NonECSMinimumImageDeletionAge": ("NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE", _duration),
    "NumNonECSContainersToDeletePerCycle": ("NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE", _text),
    "DeleteNonECSImagesEnabled": ("ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP", _text),
    "ContainerMetadataEnabled": ("ECS_ENABLE_CONTAINER_METADATA", _text),
    "TaskIAMRoleEnabled": ("ECS_ENABLE_TASK_IAM_ROLE", _text),
    "TaskIAMRoleEnabledForNetworkHost": ("ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST", _text),
    "TaskENIEnabled": ("ECS_ENABLE_TASK_ENI", _text),
    "SpotInstanceDrainingEnabled": ("ECS_ENABLE_SPOT_INSTANCE_DRAINING", _text),
    "UpdatesEnabled": ("ECS_UPDATES_ENABLED", _text),
    "UpdateDownloadDir": ("ECS_UPDATE_DOWNLOAD_DIR", _text),
}
_BY_LOWER_CASE = {name.lower(): known for name, known in _MEMBERS.items()}


def with_config_file(
    environment: Mapping[str, str], *, default: Path = DEFAULT_PATH
) -> tuple[dict[str, str], list[str]]:
    """The environment with what the JSON file says besides, and a line for each member of it that has no effect.

    A file that is not there says nothing. Raises SettingError for one that is no JSON object.
    """
    path = Path(environment.get(PATH_VARIABLE, "").strip() or default)
    try:
        members = json.loads(path.read_text())
    except FileNotFoundError:
        return dict(environment), []
    except (OSError, ValueError) as error:
        raise SettingError(f"the configuration file {path} ({PATH_VARIABLE}) cannot be read: {error}") from error
    if not isinstance(members, dict):
        raise SettingError(f'the configuration file {path} must hold a JSON object such as {{"Cluster": "web"}}')
    said, unknown = {}, []
    for name, value in members.items():
        known = _BY_LOWER_CASE.get(name.lower())
        if known is None:
            unknown.append(f"{name} in {path} has no effect: this agent has no such setting")
        elif value not in (None, ""):
            said[known[0]] = _converted(path, name, known[1], value)
    return said | {name: value for name, value in environment.items() if value.strip() or name not in said}, unknown


def _converted(path: Path, name: str, convert: Callable[[Any], str], value: Any) -> str:
    try:
        return convert(value)
    except (TypeError, ValueError):
        raise SettingError(f"{name} in {path} cannot be used: it must be a duration such as 90s") from None


def read_environment_file(path: Path = ENVIRONMENT_FILE) -> dict[str, str]:
    """The variables of a file such as systemd reads: NAME=value lines, comments, quotes around a whole value. Without a
    file there are none. Raises SettingError for one that cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error}") from error
    variables = {}
    for line in map(str.strip, lines):
        name, separator, value = line.partition("=")
        if separator and not line.startswith(("#", ";")):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            variables[name.strip()] = value
    return variables
