"""Seeing tasks through to the end, as `docker run` does: what they print, how they fare, and an exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from awsorch.cli.containers import Unreadable, open_engine
from awsorch.cli.identifiers import short
from awsorch.cli.logs import LogCopier, Request
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session
from awsorch.cli.tasks import status_of, why
from awsorch.cli.watch import watch

NEVER_RAN = 125
"""Exit code for a task none of whose containers ran, as `docker run` has it."""
KILLED = {137, 143}
"""Exit codes of SIGKILL and SIGTERM: how the others end when one essential container has ended by itself."""
INTERRUPTED = 130


def see_through(session: Session, printer: Printer, arns: list[str]) -> int:
    """Show what the tasks print until they stopped; answers the exit code of the first that did not end with 0."""
    progress = Progress(printer=printer, copier=open_copier(printer, several=len(arns) > 1))
    try:
        ended = watch(session, arns, progress.see)
    except KeyboardInterrupt:
        printer.note(f"not waiting any more; stop with: awsorch stop {' '.join(short(arn) for arn in arns)}")
        return INTERRUPTED
    progress.finish()
    if printer.as_json:
        printer.show_json({"tasks": ended, "failures": []})
    essential = essential_containers(session, ended[0]["taskDefinitionArn"])
    codes = [exit_code(task, essential) for task in ended]
    return next((code for code in codes if code), 0)


def open_copier(printer: Printer, several: bool) -> LogCopier | None:
    """What copies the containers' lines; None where no engine answers or standard output is for JSON."""
    if printer.as_json:
        return None
    try:
        return LogCopier(engine=open_engine(), request=Request(follow=True), label_tasks=several)
    except Unreadable as problem:
        printer.note(problem.message)
        return None


@dataclass(slots=True, kw_only=True)
class Progress:
    """Tells, beside the containers' own lines, when a task's status changes."""

    printer: Printer
    copier: LogCopier | None
    told: dict[str, str] = field(default_factory=dict)
    complaints: int = 0

    def see(self, task: dict[str, Any]) -> None:
        if self.copier is not None:
            self.copier.see(task)
            self.tell_problems(self.copier.problems)
        arn, status = task["taskArn"], status_of(task)
        if self.told.get(arn) != status:
            self.told[arn] = status
            reason = why(task)
            self.printer.note(f"{short(arn)} {status}{': ' + reason if reason else ''}")

    def finish(self) -> None:
        if self.copier is not None:
            self.tell_problems(self.copier.finish())

    def tell_problems(self, problems: list[str]) -> None:
        for problem in problems[self.complaints :]:
            self.printer.note(problem)
            self.complaints += 1


def essential_containers(session: Session, definition: str) -> set[str]:
    answer = session.ecs.describe_task_definition(taskDefinition=definition)
    containers = answer["taskDefinition"]["containerDefinitions"]
    return {one["name"] for one in containers if one.get("essential", True)}


def exit_code(task: dict[str, Any], essential: set[str]) -> int:
    """The exit code that stands for a task: that of the essential container whose end ended it.

    DescribeTasks does not say which that was. The others were stopped by a signal then, so a container that ended
    otherwise is taken before one that was killed; NEVER_RAN when no essential container has an exit code.
    """
    containers = task.get("containers", [])
    codes = [one["exitCode"] for one in containers if one["name"] in essential and "exitCode" in one]
    if not codes:
        return NEVER_RAN
    by_themselves = [code for code in codes if code not in KILLED] or codes
    return next((int(code) for code in by_themselves if code), 0)
