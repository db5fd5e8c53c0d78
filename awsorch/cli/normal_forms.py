"""Task definitions and services in a form in which what ECS fills in by itself makes no difference.

A file says what its author cares about, an answer of the API says everything. Both are brought into one form before
they are compared. Source: RegisterTaskDefinition, CreateService, UpdateService (ECS API reference).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from awsorch.cli.differences import NAMES
from awsorch.cli.documents import request_shape

CONTAINER = {"cpu": 0, "essential": True, "versionConsistency": "enabled"}
HEALTH_CHECK = {"interval": 30, "timeout": 5, "retries": 3}
ROLES = ("taskRoleArn", "executionRoleArn")
OWN_PORT = ("host", "awsvpc")
"""Network modes in which a port of the container is the same port of its host."""
SIZE = re.compile(r"\s*(\d+|\d*\.\d+)\s*(vcpu|gb)\s*", re.IGNORECASE)
PERCENTS = {
    "REPLICA": {"maximumPercent": 200, "minimumHealthyPercent": 100},
    "DAEMON": {"maximumPercent": 100, "minimumHealthyPercent": 0},
}
BREAKER = {
    "enable": False,
    "rollback": False,
    "resetOnHealthyTask": True,
    "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
}
SERVICE: Mapping[str, Any] = {
    "loadBalancers": [],
    "serviceRegistries": [],
    "placementConstraints": [],
    "placementStrategy": [],
    "volumeConfigurations": [],
    "healthCheckGracePeriodSeconds": 0,
    "propagateTags": "NONE",
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
    "serviceConnectConfiguration": {"enabled": False},
    "deploymentConfiguration": {
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
        "deploymentCircuitBreaker": BREAKER,
        "alarms": {"alarmNames": [], "enable": False, "rollback": False},
    },
}
"""What a service is when nothing is said of it. Of a member that is not here ECS decides, and its choice is kept."""


def normal_definition(document: Mapping[str, Any]) -> dict[str, Any]:
    """A task definition, as a request or as an answer has it, with every default filled in and nothing empty."""
    members = request_shape("RegisterTaskDefinition").members
    normal = {name: value for name, value in document.items() if name in members}
    mode = str(normal.get("networkMode") or "bridge")
    normal["networkMode"] = mode
    normal["containerDefinitions"] = [normal_container(one, mode) for one in normal.get("containerDefinitions", [])]
    for name in ("cpu", "memory"):
        if name in normal:
            normal[name] = normal_size(str(normal[name]))
    for name in ROLES:
        if name in normal:
            # A role may be given by its name; the answer has the ARN.
            normal[name] = str(normal[name]).partition(":role/")[2] or normal[name]
    if not normal.get("enableFaultInjection"):
        normal.pop("enableFaultInjection", None)
    kept: dict[str, Any] = without_empty(normal)
    return kept


def normal_container(container: Mapping[str, Any], network_mode: str) -> dict[str, Any]:
    # The image comes first: it is what people look for in a list of differences.
    normal = {"image": container.get("image"), **CONTAINER, **container}
    normal["portMappings"] = [normal_port(one, network_mode) for one in container.get("portMappings") or []]
    normal["mountPoints"] = [{"readOnly": False, **one} for one in container.get("mountPoints") or []]
    normal["volumesFrom"] = [{"readOnly": False, **one} for one in container.get("volumesFrom") or []]
    if check := container.get("healthCheck"):
        command = list(check.get("command", []))
        if command[:1] not in (["CMD"], ["CMD-SHELL"], ["NONE"]):
            command = ["CMD", *command]
        normal["healthCheck"] = {**HEALTH_CHECK, **check, "command": command}
    return normal


def normal_port(mapping: Mapping[str, Any], network_mode: str) -> dict[str, Any]:
    normal = {"protocol": "tcp", **mapping}
    if "containerPort" in normal:
        normal.setdefault("hostPort", normal["containerPort"] if network_mode in OWN_PORT else 0)
    return normal


def normal_size(text: str) -> str:
    """CPU units or MiB as ECS shows them: "1024" for "1 vCPU" and for "1GB"."""
    size = SIZE.fullmatch(text)
    return f"{float(size[1]) * 1024:g}" if size else text


def without_empty(value: Any) -> Any:
    """A value without members that are null, [] or {}: for ECS they are as good as absent."""
    if isinstance(value, Mapping):
        inner = {name: without_empty(item) for name, item in value.items()}
        return {name: item for name, item in inner.items() if item not in (None, [], {})}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def filled_service(wish: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """A wished service with the defaults of all members that this API shows of it."""
    percents = PERCENTS[wish.get("schedulingStrategy", "REPLICA")]
    configuration = {**SERVICE["deploymentConfiguration"], **percents}
    return filled(wish, known, {**SERVICE, "deploymentConfiguration": configuration})


def filled(wish: Mapping[str, Any], known: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(wish)
    for name, default in defaults.items():
        if name not in known:
            continue
        if isinstance(default, Mapping):
            whole[name] = filled(whole.get(name, {}), known[name], default)
        else:
            whole.setdefault(name, default)
    return whole


def restricted(known: Any, wish: Any, member: str = "") -> Any:
    """What is known, restricted to what a wish speaks of: what ECS added by itself is no difference."""
    if isinstance(known, Mapping) and isinstance(wish, Mapping):
        return {name: restricted(known[name], wish[name], name) for name in wish if name in known}
    if isinstance(known, list) and isinstance(wish, list):
        return [restricted(item, counterpart(item, index, wish, member), member) for index, item in enumerate(known)]
    return known


def counterpart(item: Any, index: int, wish: list[Any], member: str) -> Any:
    """The item of a wished list that stands for a known one: that of the same name, else the one in its place."""
    names = [name for name in NAMES.get(member, ()) if isinstance(item, Mapping) and name in item]
    for other in wish if names else ():
        if isinstance(other, Mapping) and all(other.get(name) == item[name] for name in names):
            return other
    return wish[index] if index < len(wish) and not names else None
