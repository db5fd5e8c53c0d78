"""Agents that do at once what they are told, for a served API: what is to run runs, what is to stop stops."""

from __future__ import annotations

from awsorch.core.commands import Command, SendTasks
from awsorch.core.events import ContainerReport, OpenGate, TaskReported
from awsorch.core.model import Pace, Task
from tests.support.served import ServedApi

#: Tasks count as healthy as soon as they run.
AT_ONCE = Pace(settle_seconds=0.0, poll_seconds=0.05)


class ObedientAgents:
    """The agents of one cluster. Containers of images in ``broken`` never start; while ``paused`` nothing is done."""

    def __init__(self, api: ServedApi, cluster: str = "default") -> None:
        self.broken: set[str] = set()
        self.paused = False
        self._api = api
        self._cluster = cluster
        api.submit(cluster, OpenGate(pace=AT_ONCE))
        api.carry_out = self._carry_out

    def _carry_out(self, partition: str, command: Command) -> None:
        if self.paused or partition != f"cluster/{self._cluster}" or not isinstance(command, SendTasks):
            return
        tasks = self._api.controller.clusters[self._cluster].state.tasks
        for task_id in command.task_ids or [key for key, t in tasks.items() if t.instance_id == command.instance_id]:
            self._obey(tasks[task_id])

    def _obey(self, task: Task) -> None:
        if task.told_status == "STOPPED":
            self._report(task, "STOPPED", exit_code=0)
        elif any(container.image in self.broken for container in task.containers):
            self._report(task, "STOPPED", reason="CannotPullContainerError: no such image")
        else:
            self._report(task, "RUNNING")

    def _report(self, task: Task, status: str, exit_code: int | None = None, reason: str | None = None) -> None:
        containers = tuple(
            ContainerReport(name=c.name, status=status, exit_code=exit_code, reason=reason, runtime_id="abc")
            for c in task.containers
        )
        event = TaskReported(task_id=task.id, status=status, containers=containers)
        self._api.controller.clusters[self._cluster].post(event)
