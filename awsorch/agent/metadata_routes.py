"""The task metadata endpoint, versions 3 and 4: who asks is told by the container's endpoint id in the path.

Version 2 tells callers by their address, which only tasks with an address of their own have: others are refused, as in
ECS. What the engine does not say for the moment is left out of an answer, which comes all the same.
Source: ECS developer guide, "Amazon ECS task metadata endpoint version 4"; the official agent's handlers (errors).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from awsorch.agent.api import APIError
from awsorch.agent.assignment import Assignment
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.engine import EngineError
from awsorch.agent.metadata import Place, View, container_view, task_view
from awsorch.agent.task_endpoint import Answer, TaskEndpoint

LOG = logging.getLogger(__name__)

TAGS_TIMEOUT = 4.0


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
        self, tasks: Mapping[str, Assignment], engine: Describes, ecs: Calls, *, place: Place, instance_arn: str
    ) -> None:
        self._tasks = tasks
        self._engine = engine
        self._ecs = ecs
        self._place = place
        self._instance_arn = instance_arn

    def serve(self, endpoint: TaskEndpoint) -> None:
        """Add its routes."""
        for version in (3, 4):
            base = f"/v{version}/{{id}}"
            endpoint.add_whole("GET", base, self._asker(version, self._container))
            endpoint.add_whole("GET", f"{base}/task", self._asker(version, self._task))
            endpoint.add_whole("GET", f"{base}/taskWithTags", self._asker(version, self._task_with_tags))
        for path in ("/v2/metadata", "/v2/metadata/{id}", "/v2/metadataWithTags", "/v2/stats", "/v2/stats/{id}"):
            endpoint.add_whole("GET", path, _refuse_version_2)

    def _asker(
        self, version: int, answer: Callable[[Assignment, str, int], Awaitable[View]]
    ) -> Callable[[Mapping[str, str]], Awaitable[Answer]]:
        async def ask(asked: Mapping[str, str]) -> Answer:
            found = self._find(asked["id"])
            if found is None:
                what = f"V{version} metadata handler: unable to get container ID from request: unknown endpoint ID"
                return Answer(status=404 if version >= 4 else 500, body=what)
            return Answer(body=await answer(*found, version))

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
        names = [name for name, state in assignment.state.containers.items() if state.docker_id]
        described = await asyncio.gather(*(self._describe(assignment, name) for name in names))
        return task_view(assignment, dict(zip(names, described, strict=True)), self._place, version=version)

    async def _task_with_tags(self, assignment: Assignment, name: str, version: int) -> View:
        view = await self._task(assignment, name, version)
        errors = []
        for member, arn in (("TaskTags", assignment.arn), ("ContainerInstanceTags", self._instance_arn)):
            try:
                async with asyncio.timeout(TAGS_TIMEOUT):
                    answer = await self._ecs.call("ListTagsForResource", {"resourceArn": arn})
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
        docker_id = assignment.state.containers[name].docker_id
        if docker_id is None:
            return {}
        try:
            return await self._engine.describe(docker_id) or {}
        except EngineError as error:
            LOG.warning("metadata of container %s without what the engine says: %s", docker_id[:12], error)
            return {}


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


async def _refuse_version_2(_: Mapping[str, str]) -> Answer:
    return Answer(status=400, body="Unable to get task arn from request: the task has no address of its own")
