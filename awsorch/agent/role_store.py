"""The credentials of tasks' roles, as the controller gave them: in memory only, by the id that containers know."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from awsorch.agent.assignment import Assignment
from awsorch.agent.environment import credentials_id
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials

TASK, EXECUTION = "TaskApplication", "TaskExecution"
SOON = 900.0
"""Seconds before their end at which SDKs begin to ask for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    task_arn: str
    kind: str
    credentials: acs.IAMRoleCredentials


class RoleCredentialsStore:
    """What there is for the tasks of one instance, `tasks` by ARN. `clock` gives seconds since the epoch."""

    def __init__(self, tasks: Mapping[str, Assignment], clock: Callable[[], float]) -> None:
        self._tasks = tasks
        self._clock = clock
        self._fresh = asyncio.Event()
        self._held: dict[str, _Held] = {}

    def take_task(self, task: acs.Task) -> None:
        """Hold what came with a task that is known by now."""
        for kind, given in ((TASK, task.role_credentials), (EXECUTION, task.execution_role_credentials)):
            if given is not None:
                self.take(task.arn, kind, given)

    def take(self, task_arn: str, kind: str, given: acs.IAMRoleCredentials) -> None:
        """Hold fresh credentials of a task's role in the place of the former ones."""
        self._held = {each: held for each, held in self._held.items() if held.task_arn in self._tasks}
        self._held[given.credentials_id] = _Held(task_arn=task_arn, kind=kind, credentials=given)
        self._fresh.set()
        self._fresh = asyncio.Event()

    async def of_execution_role(self, task: acs.Task) -> Credentials | None:
        """What the agent itself may use for a task; waits for it while there is none that is good. None for a task
        without such a role."""
        named = task.execution_role_credentials
        if named is None:
            return None
        while True:
            held = self._held.get(named.credentials_id)
            if held is not None and held.kind == EXECUTION and _expiry(held.credentials) > self._clock():
                return _keys(held.credentials)
            await self._fresh.wait()

    def of_task(self, task: acs.Task) -> Credentials | None:
        """What the agent signs with in a task's own name; None for a task without a role, and while there is nothing
        good."""
        named = task.role_credentials
        held = self.of_task_role(named.credentials_id) if named is not None else None
        return _keys(held) if held is not None else None

    def of_task_role(self, wanted: str) -> acs.IAMRoleCredentials | None:
        """The credentials that a container may have for this id: its task's own, while they are good. Those of
        execution roles are the agent's, and nobody is told their ids."""
        held = self._held.get(wanted)
        if held is None or held.kind != TASK or held.task_arn not in self._tasks:
            return None
        return held.credentials if _expiry(held.credentials) > self._clock() else None

    def of_any_role(self, wanted: str) -> acs.IAMRoleCredentials | None:
        """The same, or an execution role's: for the host's own engine, which sends containers' lines in its name."""
        held = self._held.get(wanted)
        return held.credentials if held is not None and held.task_arn in self._tasks else None

    def are_wanted(self) -> bool:
        """Whether there is a task with a role whose credentials are not here, or not good for long."""
        return any(
            self._is_short_of(given)
            for each in self._tasks.values()
            if not each.is_stopped
            for given in (each.task.role_credentials, each.task.execution_role_credentials)
            if given is not None
        )

    def _is_short_of(self, named: acs.IAMRoleCredentials) -> bool:
        held = self._held.get(named.credentials_id)
        return held is None or _expiry(held.credentials) <= self._clock() + SOON

    def is_expected(self, wanted: str) -> bool:
        """Whether a task's containers know this id, so that its credentials are to come."""
        return any(credentials_id(each.task) == wanted for each in self._tasks.values())


def _keys(given: acs.IAMRoleCredentials) -> Credentials:
    return Credentials(
        access_key_id=given.access_key_id,
        secret_access_key=given.secret_access_key,
        session_token=given.session_token or None,
    )


def _expiry(given: acs.IAMRoleCredentials) -> float:
    """Seconds since the epoch; what says no time is taken to be good."""
    try:
        return datetime.fromisoformat(given.expiration).timestamp()
    except ValueError:
        return float("inf")
