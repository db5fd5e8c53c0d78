"""`awsorch logs`: what the containers of a task print."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from awsorch.cli.cloudwatch import CloudWatch
from awsorch.cli.containers import Unreadable, copy_lines, find_container, open_engine, read_lines
from awsorch.cli.durations import parse_since
from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import find_task, short, tail
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command
from awsorch.cli.watch import LOOK_SECONDS, look, patiently, watch

COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which lines to read: `tail` of them or all, since when or from the start, and whether to wait for more."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None


@click.command("logs")
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--task", "named", metavar="TASK", help="The same as the argument.")
@click.option("--service", metavar="NAME", help="All tasks of a service; with -f those that are started later, too.")
@click.option("-c", "--container", metavar="NAME", help="Only this container. [default: all, each line labelled]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the containers end.")
@click.option(
    "--tail", "lines", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each container."
)
@click.option(
    "--since", callback=parse_since, metavar="WHEN", help="Only lines since a time or an age (90s, 10m, 2h, 1d)."
)
@api_command
def logs(
    session: Session,
    printer: Printer,
    task: str | None,
    named: str | None,
    service: str | None,
    container: str | None,
    follow: bool,
    lines: int | None,
    since: datetime | None,
) -> None:
    """Print what a task's containers wrote: from Docker Engine on this machine (log drivers json-file, local and
    journald), or from CloudWatch Logs (awslogs with a stream prefix)."""
    if len([each for each in (task, named, service) if each]) != 1:
        raise click.UsageError("Name one task, or a service with --service.")
    request = Request(follow=follow, tail=lines, since=since)
    if service:
        read_service(session, service, request, container)
        return
    where, arn = find_task(session, task or named or "")
    found = where.describe_tasks([arn])
    if not found:
        raise Fault(f"task {tail(arn)} does not exist (any more)")
    require_container(found[0], container)
    copier = LogCopier(engine=engine_or_why(), request=request, container=container, cloudwatch=CloudWatch(where))
    if follow:
        watch(where, [found[0]["taskArn"]], copier.see)
    else:
        copier.see(found[0])
    if problems := copier.finish():
        raise Fault("\n".join(problems))
    if not copier.copied:
        reason = found[0].get("stoppedReason") or f"the task is {found[0]['lastStatus']}"
        raise Fault(f"no container of the task was started, so there is nothing to read: {reason}")


def read_service(session: Session, service: str, request: Request, container: str | None) -> None:
    """Copy the lines of a service's tasks, with labels; following, until it is interrupted. Problems with single
    containers are told as they come."""
    copier = LogCopier(
        engine=engine_or_why(),
        request=request,
        container=container,
        label_tasks=True,
        cloudwatch=CloudWatch(session),
    )
    while True:
        arns = patiently(
            lambda: list(session.list_all("list_tasks", "taskArns", cluster=session.cluster, serviceName=service))
        )
        for task in look(session, arns):
            require_container(task, container)
            copier.see(task)
        while copier.problems:
            click.echo(copier.problems.pop(0), err=True)
        if not request.follow:
            break
        time.sleep(LOOK_SECONDS)
    if not copier.copied:
        raise Fault(f"no container of service {service} was started, so there is nothing to read")


def engine_or_why() -> Any:
    """A client of this machine's Docker Engine, or why there is none: lines may be elsewhere."""
    try:
        return open_engine()
    except Unreadable as problem:
        return problem


def require_container(task: dict[str, Any], name: str | None) -> None:
    names = [one["name"] for one in task.get("containers", [])]
    if name is not None and name not in names:
        raise Fault(f"the task has no container {name!r}; it has {', '.join(names)}")


@dataclass(slots=True, kw_only=True)
class LogCopier:
    """Copies what containers print to standard output, each from the moment it is first seen to exist.

    Following, every container has a thread of its own, and lines of different containers mix as they come. With more
    than one container or task a label tells whose a line is.
    """

    engine: Any
    request: Request
    container: str | None = None
    label_tasks: bool = False
    cloudwatch: CloudWatch | None = None
    copied: set[str] = field(default_factory=set)
    threads: list[threading.Thread] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def see(self, task: dict[str, Any]) -> None:
        """Begin with the containers of a task that were not there before."""
        for one, label in zip(task.get("containers", []), self.labels(task), strict=True):
            runtime_id = one.get("runtimeId")
            if not runtime_id or runtime_id in self.copied or self.container not in (None, one["name"]):
                continue
            self.copied.add(runtime_id)
            if self.request.follow and one.get("lastStatus") != "STOPPED":
                thread = threading.Thread(target=self.copy, args=(task, one, label), daemon=True)
                thread.start()
                self.threads.append(thread)
            else:
                self.copy(task, one, label)

    def finish(self) -> list[str]:
        """Wait until all is copied; answers what could not be read, and why."""
        for thread in self.threads:
            thread.join()
        return self.problems

    def copy(self, task: dict[str, Any], container: dict[str, Any], label: str) -> None:
        try:
            copy_lines(self.lines(task, container), label, click.echo)
        except Unreadable as problem:
            self.problems.append(problem.message)

    def lines(self, task: dict[str, Any], container: dict[str, Any]) -> Iterator[str]:
        """Of an engine on this machine that has them, else of CloudWatch Logs. Raises Unreadable."""
        request = self.request
        try:
            found = find_container(self.engine, container["runtimeId"], container["name"])
        except Unreadable:
            if self.cloudwatch is None:
                raise
            lines = self.cloudwatch.lines(
                task, container["name"], follow=request.follow, last=request.tail, since=request.since
            )
            if lines is None:
                raise
            return lines
        return read_lines(found, request.follow, request.tail, request.since)

    def labels(self, task: dict[str, Any]) -> list[str]:
        """The label of each container, of one width and a colour of its own; empty where there is only one."""
        names = [one["name"] for one in task.get("containers", [])]
        if self.container is not None or len(names) < 2:
            names = [""] * len(names)
        if self.label_tasks:
            names = [f"{short(task['taskArn'])} {name}".rstrip() for name in names]
        width = max((len(name) for name in names), default=0)
        return [
            click.style(name.ljust(width), fg=COLOURS[index % len(COLOURS)]) if name else ""
            for index, name in enumerate(names)
        ]
