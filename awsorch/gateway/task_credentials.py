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
from awsorch.engine.ports import RoleCredentials, TaskRoles, Unanswered
from awsorch.wire import acs

_PAYLOAD = {TASK: "role_credentials", EXECUTION: "execution_role_credentials"}

Roles = Mapping[str, str]
"""The role type in the protocol's words → the role's ARN."""


@dataclass(slots=True)
class Outcome:
    """Of tasks whose roles were asked for: who can't have one, and why; who has to ask again; the rest have theirs."""

    refused: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


class TaskCredentials:
    """``secret`` is what ids follow from, of 32 bytes or more."""

    def __init__(self, roles: TaskRoles, secret: bytes) -> None:
        self._roles = roles
        self._secret = secret

    def attach(self, task: acs.Task, roles: Roles) -> acs.Task | None:
        """The task with the credentials of its roles; None where they have to be asked for first."""
        given = {}
        for kind, role_arn in roles.items():
            known = self._roles.known(role_arn, _session(task.arn))
            if known is None:
                return None
            given[_PAYLOAD[kind]] = self._shown(task.arn, kind, role_arn, known)
        return msgspec.structs.replace(task, **given)

    async def ask(self, wanted: Mapping[str, tuple[str, Roles]]) -> Outcome:
        """Have the roles of tasks, {task id: (ARN, roles)}, all at once, for ``attach``."""
        outcome = Outcome()

        async def one(task_id: str, task_arn: str, roles: Roles) -> None:
            try:
                for role_arn in roles.values():
                    await self._roles.assume(role_arn, _session(task_arn))
            except Refusal as refusal:
                outcome.refused[task_id] = refusal.message
            except Unanswered:
                outcome.waiting.add(task_id)

        await asyncio.gather(*(one(task_id, *each) for task_id, each in wanted.items()))
        return outcome

    async def of(self, task_arn: str, kind: str, role_arn: str) -> acs.IAMRoleCredentials:
        """A task's credentials for one of its roles. Raises Refusal, Unanswered."""
        return self._shown(task_arn, kind, role_arn, await self._roles.assume(role_arn, _session(task_arn)))

    def _shown(self, task_arn: str, kind: str, role_arn: str, credentials: RoleCredentials) -> acs.IAMRoleCredentials:
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


def _session(task_arn: str) -> str:
    """A role's session has the name of the task that it is for."""
    return task_arn.rpartition("/")[2]
