"""Tasks as ACS sends them, with little to say."""

import itertools
import json
from pathlib import Path
from typing import Any

from awsorch.wire import acs

_numbers = itertools.count(1)


def a_container(name: str = "app", image: str = "simulated", **fields: Any) -> acs.Container:
    """An essential container; `config` and `host_config` (dicts) go into dockerConfig."""
    config, host_config = fields.pop("config", {}), fields.pop("host_config", {})
    defaults: dict[str, Any] = {"essential": True, "memory": 32}
    docker_config = acs.DockerConfig(
        version="1.30", config=json.dumps(config), host_config=json.dumps({"NetworkMode": "bridge", **host_config})
    )
    return acs.Container(name=name, image=image, docker_config=docker_config, **{**defaults, **fields})


def a_task(*containers: acs.Container, **fields: Any) -> acs.Task:
    """A task that shall run, with an ARN of its own."""
    defaults: dict[str, Any] = {
        "arn": f"arn:aws:ecs:us-east-1:123456789012:task/c1/{next(_numbers):032x}",
        "desired_status": "RUNNING",
        "family": "web",
        "version": "7",
        "overrides": "{}",
        "network_mode": "bridge",
        "task_cluster_arn": "arn:aws:ecs:us-east-1:123456789012:cluster/c1",
    }
    return acs.Task(containers=containers or (a_container(),), **{**defaults, **fields})


def stop(task: acs.Task) -> acs.Task:
    return acs.Task(arn=task.arn, desired_status="STOPPED")


def short(name: str = "app", code: int = 0, seconds: float = 5.0, **fields: Any) -> acs.Container:
    """A container that a simulated engine ends by itself."""
    environment = {"SIMULATED_RUN_SECONDS": str(seconds), "SIMULATED_EXIT_CODE": str(code)}
    return a_container(name, environment=environment, **fields)


def board_of(folder: Path) -> tuple[acs.Volume, acs.MountPoint]:
    """A folder of the host that containers find at /board."""
    volume = acs.Volume(name="board", type="host", host=acs.HostVolume(source_path=str(folder)))
    return volume, acs.MountPoint(source_volume="board", container_path="/board")
