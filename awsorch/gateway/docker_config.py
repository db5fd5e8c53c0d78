"""What a container definition says of Docker itself, as the two JSON strings that ACS carries through to the engine.

Pure. Keys and units are the Docker Engine API's (bytes, nanoseconds); a key that is absent leaves the engine's or
the agent's own value. Source: ECS API, ContainerDefinition; Docker Engine API, container create.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from awsorch.core.definitions.document import network_mode_of
from awsorch.wire import acs

Document = Mapping[str, Any]

MIB = 1024 * 1024
SECOND_NS = 1_000_000_000
_OLDEST_API = (1, 18)
_API_ATTRIBUTE = re.compile(r"com\.amazonaws\.ecs\.capability\.docker-remote-api\.(\d+)\.(\d+)")
_PERMISSIONS = {"read": "r", "write": "w", "mknod": "m"}


def docker_config(document: Document, container: Document, *, task_id: str) -> acs.DockerConfig:
    """`container` with its overrides merged; `document` is the task definition that it is in."""
    return acs.DockerConfig(
        version=_api_version(document),
        config=_to_json(_config(container)),
        host_config=_to_json(_host_config(document, container, task_id)),
    )


def _api_version(document: Document) -> str:
    """The newest Docker API that the definition asks for: registering worked it out as required attributes."""
    found = (_API_ATTRIBUTE.fullmatch(each["name"]) for each in document.get("requiresAttributes", ()))
    major, minor = max(((int(m[1]), int(m[2])) for m in found if m), default=_OLDEST_API)
    return f"{major}.{minor}"


def _config(container: Document) -> Document:
    return {
        "User": container.get("user"),
        "WorkingDir": container.get("workingDirectory"),
        "Hostname": container.get("hostname"),
        "Labels": container.get("dockerLabels"),
        "OpenStdin": container.get("interactive"),
        "Tty": container.get("pseudoTerminal"),
        "NetworkDisabled": container.get("disableNetworking"),
        "Healthcheck": _health_check(container.get("healthCheck")),
    }


def _health_check(given: Document | None) -> Document | None:
    if given is None:
        return None
    check = {
        "Test": list(given["command"]),
        "Interval": given.get("interval", 30) * SECOND_NS,
        "Timeout": given.get("timeout", 5) * SECOND_NS,
        "Retries": given.get("retries", 3),
    }
    if given.get("startPeriod"):
        check["StartPeriod"] = given["startPeriod"] * SECOND_NS
    return check


def _host_config(document: Document, container: Document, task_id: str) -> Document:
    mode = network_mode_of(document)
    reservation = container.get("memoryReservation")
    return {
        # An awsvpc task's containers share a network that only the agent knows.
        "NetworkMode": None if mode == "awsvpc" else mode,
        # A namespace that a task shares is the agent's to make; the host's, or none, is the engine's.
        "PidMode": "host" if document.get("pidMode") == "host" else None,
        "IpcMode": document["ipcMode"] if document.get("ipcMode") in ("host", "none") else None,
        "Privileged": container.get("privileged"),
        "ReadonlyRootfs": container.get("readonlyRootFilesystem"),
        "MemoryReservation": reservation * MIB if reservation else None,
        "Ulimits": [
            {"Name": each["name"], "Soft": each["softLimit"], "Hard": each["hardLimit"]}
            for each in container.get("ulimits", ())
        ],
        "ExtraHosts": [f"{each['hostname']}:{each['ipAddress']}" for each in container.get("extraHosts", ())],
        "Dns": container.get("dnsServers"),
        "DnsSearch": container.get("dnsSearchDomains"),
        "SecurityOpt": container.get("dockerSecurityOptions"),
        "Sysctls": {each["namespace"]: each["value"] for each in container.get("systemControls", ())},
        "LogConfig": _log_config(container, task_id),
        **_linux(container),
    }


def _linux(container: Document) -> Document:
    given = container.get("linuxParameters") or {}
    capabilities = given.get("capabilities") or {}
    shared_memory = given.get("sharedMemorySize")
    return {
        "CapAdd": capabilities.get("add"),
        "CapDrop": capabilities.get("drop"),
        "Devices": [_device(each) for each in given.get("devices", ())],
        "Init": given.get("initProcessEnabled"),
        "ShmSize": shared_memory * MIB if shared_memory else None,
        "Tmpfs": {each["containerPath"]: _tmpfs_options(each) for each in given.get("tmpfs", ())},
        **_swap(container.get("memory"), given),
    }


def _swap(memory: int | None, given: Document) -> Document:
    """Swap is only limited together with memory, and swappiness is only looked at together with maxSwap."""
    most = given.get("maxSwap")
    if most is None or not memory:
        return {}
    return {"MemorySwap": (memory + most) * MIB, "MemorySwappiness": given.get("swappiness")}


def _device(given: Document) -> Document:
    permissions = given.get("permissions") or tuple(_PERMISSIONS)
    return {
        "PathOnHost": given["hostPath"],
        "PathInContainer": given.get("containerPath") or given["hostPath"],
        "CgroupPermissions": "".join(_PERMISSIONS[each] for each in permissions),
    }


def _tmpfs_options(given: Document) -> str:
    return ",".join((*given.get("mountOptions", ()), f"size={given['size']}m"))


def _log_config(container: Document, task_id: str) -> Document | None:
    given = container.get("logConfiguration")
    if given is None:
        return None
    options = dict(given.get("options", {}))
    if given["logDriver"] == "awslogs":
        prefix = options.pop("awslogs-stream-prefix", None)
        if prefix is not None:
            options["awslogs-stream"] = f"{prefix}/{container['name']}/{task_id}"
    return {"Type": given["logDriver"], "Config": options}


def _to_json(values: Document) -> str:
    """Without what is not set: no key, and nothing that is empty."""
    kept = {key: value for key, value in values.items() if value is not None and value not in ([], {}, (), "")}
    return msgspec.json.encode(kept).decode()
