"""The containers of a local instance, for when the instance itself goes: Docker's, found by the agent's
labels.

It exists because on a laptop the instances share one Docker Engine, so terminating one ends nothing by
itself. The agent normally owns its containers; this touches them only when the agent is stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from awsorch.agent.settings import firelens_folder
from awsorch.local.ebs_files import release_mounts
from awsorch.local.files import remove_folder

INSTANCE_LABEL = "com.amazonaws.ecs.container-instance-arn"
_ARN = re.compile(rb"arn:aws[a-z-]*:ecs:[a-z0-9-]+:\d{12}:container-instance/[A-Za-z0-9_/-]+")
_TIMEOUT_SECONDS = 30


class EngineDown(OSError):
    """Docker Engine does not answer; the message says how it was tried."""


class InstanceContainers:
    """Finds and ends the containers that agents left. Blocking: call it in a thread. Raises EngineDown."""

    def __init__(self, connect: Callable[[], Any] | None = None) -> None:
        """`connect` returns a Docker client; from the environment (DOCKER_HOST) where none is given."""
        self._connect = connect or (lambda: docker.from_env(timeout=_TIMEOUT_SECONDS))

    def check(self) -> str:
        """The version of the engine that answers."""
        return str(self._with_client(lambda client: client.version()["Version"]))

    def kill(self, folder: Path) -> None:
        """End the running containers of the agent whose data folder this is, as power off would."""

        def end(client: Any) -> None:
            for container in _containers(client, folder, running=True):
                _unless_gone(container.kill)

        self._with_client(end)

    def remove(self, folder: Path) -> None:
        """Remove all containers of the agent whose data folder this is, and what their tasks left."""

        def clear(client: Any) -> None:
            for container in _containers(client, folder, running=False):
                _unless_gone(partial(container.remove, force=True, v=True))
            for arn in sorted(container_instance_arns(folder)):
                for volume in client.volumes.list(filters={"label": f"{INSTANCE_LABEL}={arn}"}):
                    _unless_gone(volume.remove)

        self._with_client(clear)
        remove_folder(Path(firelens_folder(str(folder))))
        release_mounts(folder)

    def _with_client(self, work: Callable[[Any], Any]) -> Any:
        try:
            client = self._connect()
            try:
                return work(client)
            finally:
                client.close()
        except (DockerException, OSError) as error:
            raise EngineDown(f"Docker Engine does not answer: {error}") from error


def container_instance_arns(folder: Path) -> set[str]:
    """The container instance ARNs that the state in an agent's data folder names."""
    if not folder.is_dir():
        return set()
    found: set[str] = set()
    for path in folder.rglob("*"):
        if path.is_file():
            found |= {arn.decode() for arn in _ARN.findall(path.read_bytes())}
    return found


def _containers(client: Any, folder: Path, *, running: bool) -> list[Any]:
    found: list[Any] = []
    for arn in sorted(container_instance_arns(folder)):
        wanted = {"label": f"{INSTANCE_LABEL}={arn}"}
        found += client.containers.list(all=not running, filters=wanted, ignore_removed=True)
    return found


def _unless_gone(act: Callable[[], Any]) -> None:
    try:
        act()
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:
            raise
