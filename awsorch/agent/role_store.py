"""The credentials of tasks' roles, as the controller gave them: in memory only, by the id that containers know."""

from collections.abc import Mapping
from dataclasses import dataclass

from awsorch.agent.assignment import Assignment
from awsorch.agent.environment import credentials_id
from awsorch.wire import acs

TASK, EXECUTION = "TaskApplication", "TaskExecution"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    task_arn: str
    kind: str
    credentials: acs.IAMRoleCredentials


class RoleCredentialsStore:
    """What there is for the tasks of one instance, `tasks` by ARN."""

    def __init__(self, tasks: Mapping[str, Assignment]) -> None:
        self._tasks = tasks
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

    def of_task_role(self, wanted: str) -> acs.IAMRoleCredentials | None:
        """The credentials that a container may have for this id: its task's own. Those of execution roles are the
        agent's, and nobody is told their ids."""
        held = self._held.get(wanted)
        usable = held is not None and held.kind == TASK and held.task_arn in self._tasks
        return held.credentials if held is not None and usable else None

    def is_expected(self, wanted: str) -> bool:
        """Whether a task's containers know this id, so that its credentials are to come."""
        return any(credentials_id(each.task) == wanted for each in self._tasks.values())
