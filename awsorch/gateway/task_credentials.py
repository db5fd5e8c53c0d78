"""What tasks' roles are worth at the moment of sending: payloads get credentials, which the state never has.

A container keeps the id of its credentials for its whole life, so that id follows from the task and a secret of the
controller's: the same after every restart, and nobody can guess it.
Source: agent protocol, IAMRoleCredentials; ECS developer guide, "Amazon ECS task IAM role".
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from awsorch.core.definitions.roles import EXECUTION, TASK
from awsorch.core.errors import Refusal
from awsorch.engine.ports import TaskRoles, Unanswered
from awsorch.wire import acs

_PAYLOAD = {TASK: "role_credentials", EXECUTION: "execution_role_credentials"}

Roles = Mapping[str, str]
"""The role type in the protocol's words → the role's ARN."""


@dataclass(slots=True)
class Filled:
    """Tasks that may be sent; why others can't be had; and those that nothing is known of yet."""

    ready: dict[str, acs.Task] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


class TaskCredentials:
    """``secret`` is what ids follow from, of 32 bytes or more."""

    def __init__(self, roles: TaskRoles, secret: bytes) -> None:
        self._roles = roles
        self._secret = secret

    async def fill(self, tasks: Mapping[str, acs.Task], roles: Mapping[str, Roles]) -> Filled:
        """Tasks with the credentials of their roles, all asked for at once."""
        filled = Filled({task_id: task for task_id, task in tasks.items() if task_id not in roles})

        async def one(task_id: str) -> None:
            task = tasks[task_id]
            try:
                given = {
                    _PAYLOAD[kind]: await self.of(task.arn, kind, role_arn) for kind, role_arn in roles[task_id].items()
                }
            except Refusal as refusal:
                filled.refused[task_id] = refusal.message
            except Unanswered:
                filled.waiting.add(task_id)
            else:
                filled.ready[task_id] = msgspec.structs.replace(task, **given)

        await asyncio.gather(*(one(task_id) for task_id in roles))
        return filled

    async def of(self, task_arn: str, kind: str, role_arn: str) -> acs.IAMRoleCredentials:
        """A task's credentials for one of its roles. Raises Refusal, Unanswered."""
        credentials = await self._roles.assume(role_arn, task_arn.rpartition("/")[2])
        return acs.IAMRoleCredentials(
            credentials_id=self._id(task_arn, kind),
            role_arn=role_arn,
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            session_token=credentials.session_token,
            expiration=datetime.fromtimestamp(credentials.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _id(self, task_arn: str, kind: str) -> str:
        digest = hmac.new(self._secret, f"credentials {kind} {task_arn}".encode(), hashlib.sha256).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))
