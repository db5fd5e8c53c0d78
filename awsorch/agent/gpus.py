"""The GPUs of an instance, and the containers that have them: each is pinned to the ones that its task was placed for.

Source: ECS developer guide, "Task definitions for GPU workloads"; agent protocol, Docker objects created (GPU).
"""

from collections.abc import Mapping
from typing import Any

from awsorch.agent.environment import Placement
from awsorch.wire import acs

VISIBLE = "NVIDIA_VISIBLE_DEVICES"


def gpus_of(task: acs.Task, container: acs.Container) -> tuple[str, ...]:
    """The ids of those that the container has."""
    return tuple(each.name for each in task.associations if each.type == "gpu" and container.name in each.containers)


def give(
    task: acs.Task, container: acs.Container, place: Placement, body: dict[str, Any], host: dict[str, Any]
) -> None:
    """Have a create call ask for a container's GPUs; nothing where it has none."""
    ids = gpus_of(task, container)
    if not ids:
        return
    if place.gpu_runtime:
        host.setdefault("Runtime", place.gpu_runtime)
        body["Env"] = [*body["Env"], f"{VISIBLE}={','.join(ids)}"]
    else:
        host["DeviceRequests"] = [_request(ids)]


def _request(ids: tuple[str, ...]) -> Mapping[str, Any]:
    return {"Driver": "nvidia", "DeviceIDs": list(ids), "Capabilities": [["gpu"]]}


def unsupported(task: acs.Task, offered: tuple[str, ...]) -> str:
    """What the task wants that the instance does not have; empty for nothing."""
    for each in task.associations:
        if each.type != "gpu":
            return f"devices of type {each.type}"
        if each.name not in offered:
            return f"the GPU {each.name}, which this instance does not have"
    return ""
