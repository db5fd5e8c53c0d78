"""Task scale-in protection for the containers of a task, forwarded to ECS: they need no credentials and no SDK.

Containers call `$ECS_AGENT_URI/task-protection/v1/state`; what they get is what the official agent answers. As its
calls are, these are signed by the task's role, so a task has to have one. A controller of awsorch in an AWS account
can't verify such a signature; it is asked again in the name of the instance, which may ask for its own tasks.
Source: ECS developer guide, "Amazon ECS task scale-in protection endpoint"; the official agent's handlers.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from awsorch.agent.api import APIError
from awsorch.agent.assignment import Assignment
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.task_endpoint import Answer, TaskEndpoint, error_body
from awsorch.wire.sigv4 import Credentials

LOG = logging.getLogger(__name__)

PATH = "/task-protection/v1/state"
CALL_TIMEOUT = 4.0
_UNKNOWN_KEY = "UnrecognizedClientException"


class Calls(Protocol):
    """ECS's API."""

    async def call(
        self, operation: str, request: Mapping[str, Any], signer: Credentials | None = None
    ) -> dict[str, Any]:
        """One operation, signed with the instance's own keys if no others are given. Raises APIError or
        NoCredentialsError."""


class _Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """The body of a PUT."""

    protection_enabled: bool | None = None
    expires_in_minutes: int | None = None


_FIELDS = {name.lower(): name for name in _Wanted.__struct_encode_fields__}


class TaskProtection:
    """The protection of the tasks of one instance."""

    def __init__(self, ecs: Calls, cluster: str, tasks: Mapping[str, Assignment], roles: RoleCredentialsStore) -> None:
        self._ecs = ecs
        self._cluster = cluster
        self._tasks = tasks
        self._roles = roles

    def serve(self, endpoint: TaskEndpoint) -> None:
        """Add its routes."""
        endpoint.add("GET", PATH, self.get)
        endpoint.add("PUT", PATH, self.update)

    async def get(self, endpoint_id: str, _: bytes) -> Answer:
        """The protection of the task whose container this is."""
        task = self._task_of(endpoint_id)
        return _NO_TASK if task is None else await self._ask("GetTaskProtection", task, {})

    async def update(self, endpoint_id: str, body: bytes) -> Answer:
        """Protect the task whose container this is, for so many minutes (ECS's default: 120), or no longer."""
        try:
            wanted = _decode(body)
        except ValueError as error:
            return _invalid(f"UpdateTaskProtection: failed to decode request: {error}")
        task = self._task_of(endpoint_id)
        if task is None:
            return _NO_TASK
        if wanted.protection_enabled is None:
            return _invalid("Invalid request: does not contain 'ProtectionEnabled' field", task)
        request: dict[str, Any] = {"protectionEnabled": wanted.protection_enabled}
        if wanted.expires_in_minutes is not None:
            request["expiresInMinutes"] = wanted.expires_in_minutes
        return await self._ask("UpdateTaskProtection", task, request)

    def _task_of(self, endpoint_id: str) -> str | None:
        return next((arn for arn, each in self._tasks.items() if endpoint_id in each.names.endpoints.values()), None)

    async def _ask(self, operation: str, task: str, request: Mapping[str, Any]) -> Answer:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answer = await self._call(operation, task, request)
        except TimeoutError:
            refusal = _error(504, "RequestCanceled", "Timed out calling ECS Task Protection API", task)
        except NoCredentialsError as error:
            refusal = _error(403, "AccessDeniedException", f"Invalid Request: {error}", task)
        except APIError as error:
            status = error.status if error.status >= 400 else 500
            refusal = _error(status, error.code or "ServerException", error.message, task, error.request_id)
        else:
            return _translate(answer, task)
        LOG.warning("%s: %s", operation, refusal.body)
        return refusal

    async def _call(self, operation: str, task: str, request: Mapping[str, Any]) -> dict[str, Any]:
        role = self._roles.of_task(self._tasks[task].task)
        if role is None:
            raise NoCredentialsError("no task IAM role credentials available for task")
        whole = {"cluster": self._cluster, "tasks": [task], **request}
        try:
            return await self._ecs.call(operation, whole, role)
        except APIError as error:
            if error.code != _UNKNOWN_KEY:
                raise
        return await self._ecs.call(operation, whole)


def _decode(body: bytes) -> _Wanted:
    """Raises ValueError. As with the official agent, the case of a field's name does not matter."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("too many levels") from None
    if not isinstance(value, dict):
        raise ValueError('expected an object such as {"ProtectionEnabled":true,"ExpiresInMinutes":60}')
    return msgspec.convert({_FIELDS.get(name.lower(), name): each for name, each in value.items()}, _Wanted)


def _translate(answer: Mapping[str, Any], task: str) -> Answer:
    """ECS answers for many tasks and was asked about one."""
    match answer.get("failures") or (), answer.get("protectedTasks") or ():
        case [{"arn": arn, "reason": reason, **rest}], _:
            return Answer(body={"failure": {"Arn": arn, "Detail": rest.get("detail"), "Reason": reason}})
        case (), [{"taskArn": arn, "protectionEnabled": bool(enabled), **rest}]:
            expires = _date(rest.get("expirationDate"))
            return Answer(
                body={"protection": {"ExpirationDate": expires, "ProtectionEnabled": enabled, "TaskArn": arn}}
            )
    LOG.error("ECS answered something else than one protection or one failure for task %s: %s", task, answer)
    return _error(500, "ServerException", "Unexpected error occurred", task)


def _date(seconds: object) -> str | None:
    """RFC 3339; ECS's times have milliseconds."""
    if not isinstance(seconds, int | float):
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def _invalid(message: str, task: str = "") -> Answer:
    return _error(400, "InvalidParameterException", message, task)


def _error(status: int, code: str, message: str, task: str = "", request_id: str = "") -> Answer:
    body = error_body(code, message)
    if task:
        body["error"] = {"Arn": task, **body["error"]}
    return Answer(status=status, body={"requestID": request_id, **body} if request_id else body)


_NO_TASK = _error(404, "ResourceNotFoundException", "Failed to find a task for the request")
