"""The task metadata endpoint, versions 3 and 4: who asks is told by the container's endpoint id in the path.

A container may ask as often as it likes: what the engine says of a container in one state is asked once a second, and
so are tags.

Version 2 tells callers by their address, which only tasks with an address of their own have: others are refused, as in
ECS. What the engine does not say for the moment is left out of an answer, which comes all the same.
Source: ECS developer guide, "Amazon ECS task metadata endpoint version 4"; the official agent's handlers (errors).
"""

import asyncio
import binascii
import logging
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from awsorch.agent.api import APIError
from awsorch.agent.assignment import Assignment
from awsorch.agent.container_stats import ContainerStats
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.engine import EngineError
from awsorch.agent.metadata import Place, View, container_view, task_view
from awsorch.agent.pause import PAUSE, is_internal
from awsorch.agent.recent import Recent
from awsorch.agent.states import Status
from awsorch.agent.task_endpoint import CALLER, Answer, TaskEndpoint
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

TAGS_TIMEOUT = 4.0
DESCRIPTION_LASTS = 1.0
"""Seconds for which what the engine says of a container is good while its state is the same."""
TAGS_LAST = 1.0
"""Seconds for which tags are good: a container that asks all the time is not to ask ECS all the time."""


class Describes(Protocol):
    """The engine."""

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        """Raises EngineError."""


class Calls(Protocol):
    """ECS's API."""

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises APIError or NoCredentialsError."""


class TaskMetadata:
    """Answers for the tasks of one instance."""

    def __init__(
        self,
        tasks: Mapping[str, Assignment],
        engine: Describes,
        stats: ContainerStats,
        ecs: Calls,
        *,
        place: Place,
        instance_arn: str,
    ) -> None:
        self._tasks = tasks
        self._descriptions: Recent[tuple[str, Status], Mapping[str, Any] | None] = Recent(
            lambda key: engine.describe(key[0]), DESCRIPTION_LASTS
        )
        self._tags: Recent[str, dict[str, Any]] = Recent(
            lambda arn: ecs.call("ListTagsForResource", {"resourceArn": arn}), TAGS_LAST
        )
        self._stats = stats
        self._place = place
        self._instance_arn = instance_arn

    def serve(self, endpoint: TaskEndpoint) -> None:
        """Add its routes."""
        for version in (3, 4):
            base = f"/v{version}/{{id}}"
            endpoint.add_whole("GET", base, self._asker(version, self._container))
            endpoint.add_whole("GET", f"{base}/task", self._asker(version, self._task))
            endpoint.add_whole("GET", f"{base}/taskWithTags", self._asker(version, self._task_with_tags))
            endpoint.add_whole("GET", f"{base}/stats", self._asker(version, self._container_stats))
            endpoint.add_whole("GET", f"{base}/task/stats", self._asker(version, self._task_stats))
            endpoint.add_whole("GET", f"{base}/associations/{{type}}", self._associations(version))
            endpoint.add_whole("GET", f"{base}/associations/{{type}}/{{name}}", self._associations(version))
        for path, of_task, of_container in (
            ("metadata", self._task, self._container),
            ("metadataWithTags", self._task_with_tags, None),
            ("stats", self._task_stats, self._container_stats),
        ):
            endpoint.add_whole("GET", f"/v2/{path}", self._asker_2(of_task))
            if of_container is not None:
                endpoint.add_whole("GET", f"/v2/{path}/{{id}}", self._asker_2(of_container))

    def _asker_2(
        self, answer: Callable[[Assignment, str, int], Awaitable[View | None]]
    ) -> Callable[[Mapping[str, str]], Awaitable[Answer]]:
        """Version 2 tells callers by their address, and names containers by what Docker calls them."""

        async def ask(asked: Mapping[str, str]) -> Answer:
            assignment = await self._calling(asked[CALLER])
            if assignment is None:
                return Answer(status=400, body=_NO_ADDRESS)
            wanted = asked.get("id")
            names = (name for name, each in assignment.state.containers.items() if each.docker_id == wanted)
            name = next(names, None)
            if wanted is not None and name is None:
                return Answer(status=400, body=f"V2 metadata handler: unable to find container {wanted}")
            try:
                return Answer(body=await answer(assignment, name or "", 2))
            except EngineError as error:
                return Answer(status=500, body=f"V2 stats handler: unable to get container stats: {error}")

        return ask

    async def _calling(self, address: str) -> Assignment | None:
        """The task that calls from this address of the engine's bridge, where those with networks of their own have one
        for themselves."""
        for assignment in self._tasks.values():
            if assignment.task.elastic_network_interfaces and PAUSE in assignment.state.containers:
                found = await self._describe(assignment, PAUSE)
                bridge = ((found.get("NetworkSettings") or {}).get("Networks") or {}).get("bridge") or {}
                if address and bridge.get("IPAddress") == address:
                    return assignment
        return None

    def _asker(
        self, version: int, answer: Callable[[Assignment, str, int], Awaitable[View | None]]
    ) -> Callable[[Mapping[str, str]], Awaitable[Answer]]:
        async def ask(asked: Mapping[str, str]) -> Answer:
            found = self._find(asked["id"])
            if found is None:
                return _unknown(version)
            try:
                return Answer(body=await answer(*found, version))
            except EngineError as error:
                return Answer(status=500, body=f"V{version} stats handler: unable to get container stats: {error}")

        return ask

    def _associations(self, version: int) -> Callable[[Mapping[str, str]], Awaitable[Answer]]:
        """The names of a container's devices of one type, or what one of them is."""

        async def ask(asked: Mapping[str, str]) -> Answer:
            found = self._find(asked["id"])
            if found is None:
                return _unknown(version)
            assignment, container = found
            own = [
                each
                for each in assignment.task.associations
                if each.type == asked["type"] and container in each.containers
            ]
            if "name" not in asked:
                return Answer(body={"Associations": [each.name for each in own]})
            contents = [_content(each) for each in own if each.name == asked["name"]]
            if not contents:
                what = f"V{version} associations handler: unknown association {asked['name']}"
                return Answer(status=404 if version >= 4 else 500, body=what)
            return Answer(body=msgspec.Raw(contents[0]))

        return ask

    def _find(self, endpoint_id: str) -> tuple[Assignment, str] | None:
        for assignment in self._tasks.values():
            for name, each in assignment.names.endpoints.items():
                if each == endpoint_id:
                    return assignment, name
        return None

    async def _container(self, assignment: Assignment, name: str, version: int) -> View:
        return container_view(assignment, name, await self._describe(assignment, name), version=version)

    async def _task(self, assignment: Assignment, _: str, version: int) -> View:
        containers = assignment.state.containers.items()
        names = [name for name, state in containers if state.docker_id and not is_internal(name)]
        described = await asyncio.gather(*(self._describe(assignment, name) for name in names))
        return task_view(assignment, dict(zip(names, described, strict=True)), self._place, version=version)

    async def _container_stats(self, assignment: Assignment, name: str, version: int) -> View | None:
        docker_id = assignment.state.containers[name].docker_id
        found = await self._stats.of(docker_id, assignment.names.containers[name]) if docker_id is not None else None
        if found is not None and version < 4:
            found = {member: value for member, value in found.items() if member != "network_rate_stats"}
        return found

    async def _task_stats(self, assignment: Assignment, _: str, version: int) -> View:
        """By the containers' ids; null for one that does not run."""
        containers = assignment.state.containers.items()
        ids = {each.docker_id: name for name, each in containers if each.docker_id and not is_internal(name)}
        found = await asyncio.gather(*(self._container_stats(assignment, name, version) for name in ids.values()))
        return dict(zip(ids, found, strict=True))

    async def _task_with_tags(self, assignment: Assignment, name: str, version: int) -> View:
        view = await self._task(assignment, name, version)
        errors = []
        for member, arn in (("TaskTags", assignment.arn), ("ContainerInstanceTags", self._instance_arn)):
            try:
                async with asyncio.timeout(TAGS_TIMEOUT):
                    answer = await self._tags.get(arn)
            except (APIError, NoCredentialsError, TimeoutError) as error:
                errors.append(_tag_error(member, arn, error))
                continue
            tags = {each["key"]: each["value"] for each in answer.get("tags") or ()}
            if tags:
                view[member] = tags
        if errors and version >= 4:
            view["Errors"] = errors
        return view

    async def _describe(self, assignment: Assignment, name: str) -> Mapping[str, Any]:
        state = assignment.state.containers[name]
        docker_id = state.docker_id
        if docker_id is None:
            return {}
        try:
            return await self._descriptions.get((docker_id, state.known)) or {}
        except EngineError as error:
            LOG.warning("metadata of container %s without what the engine says: %s", docker_id[:12], error)
            return {}


def _unknown(version: int) -> Answer:
    what = f"V{version} metadata handler: unable to get container ID from request: unknown endpoint ID"
    return Answer(status=404 if version >= 4 else 500, body=what)


def _content(association: acs.Association) -> bytes:
    """What the association is, as its owner wrote it."""
    content = association.content or acs.AssociationContent()
    if content.encoding != "base64":
        return content.value.encode()
    try:
        return b64decode(content.value, validate=True)
    except binascii.Error:
        return content.value.encode()


def _tag_error(member: str, arn: str, error: Exception) -> View:
    code, status, request_id = "RequestCanceled", 504, ""
    if isinstance(error, NoCredentialsError):
        code, status = "AccessDeniedException", 400
    elif isinstance(error, APIError):
        code, status, request_id = error.code or "ServerException", error.status or 500, error.request_id
    return {
        "ErrorField": member,
        "ErrorCode": code,
        "ErrorMessage": str(error) or "ListTagsForResource was not answered in time",
        "StatusCode": status,
        "RequestId": request_id,
        "ResourceARN": arn,
    }


_NO_ADDRESS = "Unable to get task arn from request: the task has no address of its own"
