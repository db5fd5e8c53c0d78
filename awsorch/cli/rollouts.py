"""Following a rollout to its end, and saying how it ended: in words, and as an exit code.

What is followed is the service deployment, where the API has them, else the deployment in the service's own list. A
change that makes no deployment (another count) is over when the service is steady. Nothing here decides how a rollout
goes on: a command that is interrupted changes nothing about it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from awsorch.cli import watch
from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import short, tail
from awsorch.cli.printing import Printer
from awsorch.cli.services import Service, describe_services, primary_of
from awsorch.cli.session import Session
from awsorch.cli.targets import TargetReader
from awsorch.cli.tasks import why

DONE, FAILED, TOO_LATE, INTERRUPTED = 0, 1, 124, 130
"""Exit codes; TOO_LATE is that of `timeout`, INTERRUPTED a shell's for SIGINT."""
FAILURES = ("TaskFailedToStart", "EssentialContainerExited")
REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a command waits for: this service deployment (an ARN), this deployment (an id), else a steady service.

    ``turns_back``: it is the rollback of the service deployment that is wished for, not its success.
    """

    service: str
    service_deployment: str | None = None
    deployment: str | None = None
    turns_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A service at one moment: as it was described, (healthy, all) of its targets, seconds since the start.

    ``failures``: why tasks of its PRIMARY deployment stopped, as far as that was not told in an earlier snapshot.
    """

    service: Service
    service_deployment: dict[str, Any] | None = None
    targets: tuple[int, int] | None = None
    failures: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended: an exit code, and a sentence without the service's name."""

    code: int
    text: str


class View(Protocol):
    """Where a rollout is watched."""

    def __enter__(self) -> View: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, snapshot: Snapshot) -> None:
        """The service as it now is; events that were not shown before are shown."""


class TimedOut(Fault):
    """A rollout was not over in time."""

    exit_code = TOO_LATE


class Interrupted(Fault):
    """The person did not want to wait any more."""

    exit_code = INTERRUPTED


FAULTS: dict[int, type[Fault]] = {FAILED: Fault, TOO_LATE: TimedOut, INTERRUPTED: Interrupted}


def goal_of(service: Service) -> Goal:
    """The goal that an answer of CreateService or UpdateService sets: its deployment, where that is under way."""
    primary = primary_of(service)
    if primary is None or primary.get("rolloutState") == "COMPLETED":
        return Goal(service=service["serviceArn"])
    return Goal(
        service=service["serviceArn"],
        service_deployment=service.get("currentServiceDeployment"),
        deployment=primary["id"],
    )


def see_out(session: Session, printer: Printer, goal: Goal, view: View, timeout: float) -> None:
    """Follow a rollout to its end and print the outcome. Raises Fault when it is not the wished one."""
    follower = Follower(session=session, goal=goal, reader=TargetReader(session=session))
    snapshot, outcome = follower.follow(view, timeout)
    name = tail(goal.service)
    if printer.as_json:
        printer.show_json({"service": snapshot.service, "serviceDeployment": snapshot.service_deployment})
    if outcome.code != DONE:
        reasons = follower.reasons() if outcome.code in (FAILED, TOO_LATE) else []
        raise FAULTS[outcome.code]("\n".join([f"{name}: {outcome.text}", *reasons]))
    if not printer.as_json:
        click.echo(click.style(f"{name}: {outcome.text} ({snapshot.seconds:.1f} s)", fg="green"))


@dataclass(slots=True, kw_only=True)
class Follower:
    """Looks at one service until its goal is met, or never will be."""

    session: Session
    goal: Goal
    reader: TargetReader
    latest: Snapshot | None = None
    failed: int = 0
    told: set[str] = field(default_factory=set)

    def follow(self, view: View, timeout: float) -> tuple[Snapshot, Outcome]:
        """The last that was seen and how it ended; what happens meanwhile is shown."""
        began = time.monotonic()
        try:
            with view:
                while True:
                    self.latest = snapshot = self.look(began)
                    view.show(snapshot)
                    outcome = judge(self.goal, snapshot)
                    if outcome is None and snapshot.seconds >= timeout:
                        outcome = Outcome(code=TOO_LATE, text=f"not done within {timeout:g} s; {goes_on(self.goal)}")
                    if outcome is not None:
                        return snapshot, outcome
                    time.sleep(watch.LOOK_SECONDS)
        except KeyboardInterrupt:
            last = self.latest or Snapshot(service={})
            return last, Outcome(code=INTERRUPTED, text=f"not waiting any more; {goes_on(self.goal)}")

    def look(self, began: float) -> Snapshot:
        # The service is asked after its deployment: what is said of one that is over must not be older than its end.
        deployment = self.describe_deployment()
        found = watch.patiently(lambda: describe_services(self.session, [self.goal.service]))
        if not found:
            raise Fault(f"service {tail(self.goal.service)} does not exist (any more)")
        return Snapshot(
            service=found[0],
            service_deployment=deployment,
            targets=self.reader.count(found[0]),
            failures=self.new_failures(found[0]),
            seconds=time.monotonic() - began,
        )

    def describe_deployment(self) -> dict[str, Any] | None:
        arn = self.goal.service_deployment
        if arn is None:
            return None
        ask = self.session.ecs.describe_service_deployments
        answer = watch.patiently(lambda: ask(serviceDeploymentArns=[arn]))
        return next(iter(answer["serviceDeployments"]), None)

    def new_failures(self, service: Service) -> list[str]:
        """Why tasks failed since the last look, each reason once. Asked only where the number of failures changed."""
        primary = primary_of(service) or {}
        before, self.failed = self.failed, primary.get("failedTasks", 0)
        if self.failed in (before, 0):
            return []
        tasks = watch.patiently(lambda: failed_tasks(self.session, tail(self.goal.service), primary["id"]))
        new = {why(task): short(task["taskArn"]) for task in tasks if why(task) not in self.told}
        self.told |= set(new)
        return [f"task {task} stopped: {reason}" for reason, task in new.items()]

    def reasons(self) -> list[str]:
        """Why tasks of the deployment failed, the commonest reason first."""
        primary = primary_of(self.latest.service) if self.latest is not None else None
        deployment = self.goal.deployment or (primary or {}).get("id")
        failed = failed_tasks(self.session, tail(self.goal.service), deployment)
        examples = {why(task): short(task["taskArn"]) for task in failed}
        return [
            f"{number} task{'s' if number > 1 else ''} stopped, such as {examples[reason]}: {reason}"
            for reason, number in Counter(why(task) for task in failed).most_common(REASONS_SHOWN)
        ]


def failed_tasks(session: Session, service: str, deployment: str | None) -> list[dict[str, Any]]:
    """The tasks of one deployment that stopped by themselves or for their health, not because they were too many."""
    arns = session.list_all(
        "list_tasks", "taskArns", cluster=session.cluster, serviceName=service, desiredStatus="STOPPED"
    )
    return [
        task
        for task in session.describe_tasks(list(arns))
        if task.get("startedBy") == deployment
        and (task.get("stopCode") in FAILURES or "health check" in task.get("stoppedReason", ""))
    ]


def judge(goal: Goal, snapshot: Snapshot) -> Outcome | None:
    """How it ended, None while it has not."""
    service = snapshot.service
    if service["status"] != "ACTIVE":
        return Outcome(code=FAILED, text=f"the service is {service['status']}: it was deleted")
    if snapshot.service_deployment is not None:
        return judge_service_deployment(goal, snapshot.service_deployment, service)
    primary = primary_of(service)
    if primary is None:
        return None
    if goal.deployment not in (None, primary["id"]):
        reason = primary.get("rolloutStateReason") or "another one began"
        return Outcome(code=FAILED, text=f"deployment {goal.deployment} gave way to {primary['id']}: {reason}")
    if primary.get("rolloutState") == "FAILED":
        return Outcome(code=FAILED, text=f"the deployment failed: {primary.get('rolloutStateReason', '')}")
    if is_steady(service):
        return Outcome(code=DONE, text=say_done(service))
    return None


def judge_service_deployment(goal: Goal, deployment: dict[str, Any], service: Service) -> Outcome | None:
    reason = deployment.get("statusReason") or deployment.get("rollback", {}).get("reason") or "no reason given"
    match deployment["status"]:
        case "SUCCESSFUL":
            if goal.turns_back:
                return Outcome(code=FAILED, text="the deployment completed before it could be turned back")
            return Outcome(code=DONE, text=say_done(service))
        case "ROLLBACK_SUCCESSFUL":
            back = f"rolled back to {tail(service.get('taskDefinition'))}"
            if goal.turns_back:
                return Outcome(code=DONE, text=back)
            return Outcome(code=FAILED, text=f"the deployment failed and was {back}: {reason}")
        case "ROLLBACK_FAILED":
            return Outcome(code=FAILED, text=f"the deployment failed, and so did its rollback: {reason}")
        case "STOPPED":
            return Outcome(code=FAILED, text=f"the deployment was stopped: {reason}")
        case _:
            return None


def is_steady(service: Service) -> bool:
    """Whether one deployment is left and has all its tasks, as the services_stable waiter has it, and is COMPLETED."""
    deployments = service["deployments"]
    return (
        len(deployments) == 1
        and deployments[0].get("rolloutState", "COMPLETED") == "COMPLETED"
        and service["runningCount"] == service["desiredCount"]
        and service["pendingCount"] == 0
    )


def say_done(service: Service) -> str:
    count = service["desiredCount"]
    return f"{tail(service.get('taskDefinition'))} runs, {service['runningCount']} of {count} tasks"


def goes_on(goal: Goal) -> str:
    name = tail(goal.service)
    return f"the rollout goes on: see it with awsorch events -f {name}, take it back with awsorch rollback {name}"
