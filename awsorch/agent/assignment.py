"""A task that this agent has been given: its payload, what is known of it, and its report to the controller."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from awsorch.agent import lifecycle, plan
from awsorch.agent.events import Decision, Event, Report
from awsorch.agent.ports import Binding
from awsorch.agent.settings import Settings
from awsorch.agent.state_file import Life
from awsorch.agent.states import ContainerChange, ContainerRules, Status, TaskState, begin, reported_as
from awsorch.wire import acs

REASON_LENGTH = 1024


class Assignment:
    """The mutable record of one task. Only the supervisor changes it."""

    def __init__(self, task: acs.Task, life: Life, settings: Settings) -> None:
        self.task = task
        self.rules: tuple[ContainerRules, ...] = plan.rules_of(task, settings)
        self.containers = {each.name: each for each in task.containers}
        self.state: TaskState = life.state
        self.names = life.names
        self.bindings = dict(life.bindings)
        self.stop_reported = life.stop_reported
        self.shipped = dict(life.shipped)
        self.look: asyncio.TimerHandle | None = None
        self.report_timer: asyncio.TimerHandle | None = None
        self.cleanup: asyncio.TimerHandle | None = None

    @property
    def arn(self) -> str:
        return self.task.arn

    @property
    def is_stopped(self) -> bool:
        return self.state.known is Status.STOPPED

    def life(self) -> Life:
        return Life(
            state=self.state,
            names=self.names,
            bindings=self.bindings,
            stop_reported=self.stop_reported,
            shipped=self.shipped,
        )

    def advance(self, event: Event, now: float) -> Decision:
        decision = lifecycle.advance(self.rules, self.state, event, now)
        self.state = decision.state
        return decision

    def cancel_timers(self) -> None:
        for timer in (self.look, self.report_timer, self.cleanup):
            if timer is not None:
                timer.cancel()
        self.look = self.report_timer = self.cleanup = None


def fresh_life(task: acs.Task, names: plan.Names, settings: Settings) -> Life:
    return Life(state=begin(plan.rules_of(task, settings)), names=names)


def report_body(assignment: Assignment, report: Report, cluster: str) -> bytes:
    """The JSON of SubmitTaskStateChange."""
    state = assignment.state
    body: dict[str, Any] = {
        "cluster": cluster,
        "task": assignment.arn,
        "status": reported_as(report.status),
        "reason": report.reason[:REASON_LENGTH],
        "containers": [_change(each, assignment.bindings.get(each.name, ())) for each in report.changes],
    }
    times = {
        "pullStartedAt": state.pull_started_at,
        "pullStoppedAt": state.pull_stopped_at,
        "executionStoppedAt": state.execution_stopped_at,
    }
    body.update({name: at for name, at in times.items() if at is not None})
    return msgspec.json.encode(body)


def refusal_body(task: acs.Task, reason: str, cluster: str) -> bytes:
    """The report of a task that was never taken on."""
    return msgspec.json.encode(
        {
            "cluster": cluster,
            "task": task.arn,
            "status": "STOPPED",
            "reason": reason[:REASON_LENGTH],
            "containers": [],
        }
    )


def _change(change: ContainerChange, bindings: Iterable[Binding]) -> dict[str, Any]:
    entry: dict[str, Any] = {"containerName": change.name, "status": reported_as(change.status)}
    if change.docker_id is not None:
        entry["runtimeId"] = change.docker_id
    if change.exit_code is not None:
        entry["exitCode"] = change.exit_code
    if change.reason:
        entry["reason"] = change.reason[:REASON_LENGTH]
    if change.image_digest:
        entry["imageDigest"] = change.image_digest
    network = [binding_entry(each) for each in bindings]
    if network and change.docker_id is not None:
        entry["networkBindings"] = network
    return entry


def binding_entry(binding: Binding) -> dict[str, Any]:
    """A network binding as reports have it."""
    entry: dict[str, Any] = {"bindIP": binding.bind_ip, "protocol": binding.protocol}
    if not binding.is_range:
        return {**entry, "containerPort": binding.container_port, "hostPort": binding.host_port}
    last = binding.count - 1
    return {
        **entry,
        "containerPortRange": f"{binding.container_port}-{binding.container_port + last}",
        "hostPortRange": f"{binding.host_port}-{binding.host_port + last}",
    }
