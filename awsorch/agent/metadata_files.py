"""A file in each container that says what it is: ECS_CONTAINER_METADATA_FILE, if ECS_ENABLE_CONTAINER_METADATA is on.

The file's folder is the container's alone, mounted when it is created. What is known before the start is there from the
beginning; the rest follows, and with it the status READY. A file is replaced as a whole, so nobody reads half of one.
A file that cannot be written keeps no container from starting.
Source: ECS developer guide, "Amazon ECS container metadata file".
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from awsorch.agent.assignment import Assignment
from awsorch.agent.engine import CreateArguments, EngineError
from awsorch.agent.states import Status

LOG = logging.getLogger(__name__)

FILE = "ecs-container-metadata.json"
MOUNTED_AT = "/opt/ecs/metadata"
VARIABLE = "ECS_CONTAINER_METADATA_FILE"
READY = "READY"


class Describes(Protocol):
    """The engine."""

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        """Raises EngineError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What all files of an instance say; `cluster` is the configured one."""

    cluster: str = ""
    instance_arn: str = ""
    private_ip: str = ""
    public_ip: str = ""


class MetadataFiles:
    """The files of one instance's containers below `folder`; without one there are none. `private`: SELinux is to let
    each container have its own file."""

    def __init__(self, folder: Path | None = None, host: HostFacts | None = None, *, private: bool = False) -> None:
        self._folder = folder
        self._host = host or HostFacts()
        self._mode = "ro,Z" if private else "ro"

    def give(self, assignment: Assignment, name: str, arguments: CreateArguments) -> CreateArguments:
        """How to create the container with its file, whose first form is written now."""
        if self._folder is None or not self._write(assignment, name, self._before_start(assignment, name)):
            return arguments
        inside = f"{MOUNTED_AT}/{assignment.names.endpoints[name]}"
        host = dict(arguments.body.get("HostConfig") or {})
        host["Binds"] = [*(host.get("Binds") or ()), f"{self._path(assignment, name).parent}:{inside}:{self._mode}"]
        variables = [*(arguments.body.get("Env") or ()), f"{VARIABLE}={inside}/{FILE}"]
        return replace(arguments, body={**arguments.body, "Env": variables, "HostConfig": host})

    async def complete(self, assignment: Assignment, name: str, engine: Describes) -> None:
        """Write all that there is to say, if the container has a file: it runs."""
        docker_id = assignment.state.containers[name].docker_id
        if self._folder is None or docker_id is None or not self._path(assignment, name).exists():
            return
        try:
            found = await engine.describe(docker_id)
        except EngineError as error:
            LOG.warning("the metadata file of container %s is not complete: %s", docker_id[:12], error)
            return
        if found is not None:
            self._write(assignment, name, self._after_start(assignment, name, found))

    async def catch_up(self, assignments: Iterable[Assignment], engine: Describes) -> None:
        """Complete the files of containers that were started just before this agent's former life ended."""
        for assignment in list(assignments):
            for name, state in assignment.state.containers.items():
                if state.known is Status.RUNNING and not self._is_complete(assignment, name):
                    await self.complete(assignment, name, engine)

    def remove(self, assignment: Assignment) -> None:
        """The task's containers are gone."""
        if self._folder is not None:
            shutil.rmtree(self._folder / _id(assignment), ignore_errors=True)

    def _path(self, assignment: Assignment, name: str) -> Path:
        assert self._folder is not None
        return self._folder / _id(assignment) / assignment.names.containers[name] / FILE

    def _is_complete(self, assignment: Assignment, name: str) -> bool:
        try:
            said = json.loads(self._path(assignment, name).read_bytes()) if self._folder is not None else {}
        except (OSError, ValueError):
            return False
        return bool(said.get("MetadataFileStatus") == READY)

    def _write(self, assignment: Assignment, name: str, content: Mapping[str, Any]) -> bool:
        path = self._path(assignment, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(content, indent=4))
            os.replace(beside, path)
        except OSError as error:
            LOG.warning("container %s of %s gets no metadata file: %s", name, assignment.arn, error)
            return False
        return True

    def _before_start(self, assignment: Assignment, name: str) -> dict[str, Any]:
        return {
            "Cluster": self._host.cluster,
            "ContainerInstanceARN": self._host.instance_arn,
            "TaskARN": assignment.arn,
            "TaskDefinitionFamily": assignment.task.family,
            "TaskDefinitionRevision": assignment.task.version,
            "ContainerName": name,
        }

    def _after_start(self, assignment: Assignment, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
        whole = self._before_start(assignment, name) | {
            "ContainerID": found.get("Id"),
            "DockerContainerName": found.get("Name"),
            "ImageID": found.get("Image"),
            "ImageName": assignment.containers[name].image,
            "PortMappings": list(_ports(assignment, name)),
            "Networks": list(_networks(found)),
            "MetadataFileStatus": READY,
            "AvailabilityZone": assignment.task.zone,
            "HostPrivateIPv4Address": self._host.private_ip,
            "HostPublicIPv4Address": self._host.public_ip,
        }
        return {member: value for member, value in whole.items() if value not in (None, "")}


def _id(assignment: Assignment) -> str:
    return assignment.arn.rpartition("/")[2]


def _ports(assignment: Assignment, name: str) -> Iterator[dict[str, Any]]:
    for each in assignment.bindings.get(name, ()):
        for offset in range(each.count):
            yield {
                "ContainerPort": each.container_port + offset,
                "HostPort": each.host_port + offset,
                "BindIp": each.bind_ip,
                "Protocol": each.protocol,
            }


def _networks(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for mode, each in ((found.get("NetworkSettings") or {}).get("Networks") or {}).items():
        addresses = [each["IPAddress"]] if each.get("IPAddress") else []
        yield {"NetworkMode": mode, "IPv4Addresses": addresses}
