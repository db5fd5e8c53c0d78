"""`awsorch ps` and `awsorch stop`, and how a task is put into words."""

from __future__ import annotations

from typing import Any

import click

from awsorch.cli.identifiers import find_instance, find_task, short, tail
from awsorch.cli.printing import Printer, say_when
from awsorch.cli.session import Session, api_command

COLUMNS = ("TASK", "DEFINITION", "STATUS", "HEALTH", "INSTANCE", "PORTS", "SINCE")
REASON = "REASON"


@click.command("ps")
@click.option("--all", "-a", "everything", is_flag=True, help="Stopped tasks too, with the reason of each.")
@click.option("--family", metavar="NAME", help="Only tasks of this family of task definitions.")
@click.option("--started-by", metavar="TEXT", help="Only tasks started by this.")
@click.option("--instance", metavar="ID", help="Only tasks on this container instance.")
@api_command
def ps(
    session: Session,
    printer: Printer,
    everything: bool,
    family: str | None,
    started_by: str | None,
    instance: str | None,
) -> None:
    """List tasks, the newest first."""
    filters = {"family": family, "startedBy": started_by}
    arguments = {name: value for name, value in filters.items() if value}
    if instance:
        session, arguments["containerInstance"] = find_instance(session, instance)
    arns = [
        arn
        for status in (("RUNNING", "STOPPED") if everything else ("RUNNING",))
        for arn in session.list_all(
            "list_tasks", "taskArns", cluster=session.cluster, desiredStatus=status, **arguments
        )
    ]
    tasks = sorted(session.describe_tasks(arns), key=lambda task: task["createdAt"], reverse=True)
    if printer.as_json:
        printer.show_json({"tasks": tasks})
        return
    columns = (*COLUMNS, REASON) if everything else COLUMNS
    printer.show_table(columns, [[*row(task), why(task)][: len(columns)] for task in tasks])


@click.command("stop")
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@click.option("--reason", metavar="TEXT", help="Why; the task keeps it as its stoppedReason.")
@api_command
def stop(session: Session, printer: Printer, tasks: tuple[str, ...], reason: str | None) -> None:
    """Stop tasks: SIGTERM, then SIGKILL when a container's stopTimeout has passed."""
    found = [find_task(session, text) for text in tasks]
    extra = {"reason": reason} if reason else {}
    for where, task in found:
        answer = where.ecs.stop_task(cluster=where.cluster, task=task, **extra)
        if printer.as_json:
            printer.show_json(answer)
        else:
            click.echo(tail(answer["task"]["taskArn"]))


def row(task: dict[str, Any]) -> list[str]:
    """The cells of `awsorch ps` for a task."""
    return [
        short(task["taskArn"]),
        tail(task["taskDefinitionArn"]),
        status_of(task),
        health_of(task),
        short(task.get("containerInstanceArn")),
        ", ".join(ports_of(task)),
        say_when(task.get("stoppedAt") or task.get("startedAt") or task["createdAt"]),
    ]


def status_of(task: dict[str, Any]) -> str:
    """The task's status, and what it is on its way to: "RUNNING", "RUNNING > STOPPED"."""
    last, desired = task["lastStatus"], task["desiredStatus"]
    return f"{last} > {desired}" if desired == "STOPPED" and last != "STOPPED" else str(last)


def health_of(task: dict[str, Any]) -> str:
    health = task.get("healthStatus", "UNKNOWN")
    return "" if health == "UNKNOWN" else str(health)


def ports_of(task: dict[str, Any]) -> list[str]:
    """Where the task's ports are published: "127.0.0.1:32768->80/tcp", one entry a binding."""
    return [
        f"{binding.get('bindIP', '0.0.0.0')}:{binding['hostPort']}->{container_port(binding)}"
        for container in task.get("containers", [])
        for binding in container.get("networkBindings", [])
        if "hostPort" in binding
    ]


def container_port(binding: dict[str, Any]) -> str:
    return f"{binding.get('containerPort', '?')}/{binding.get('protocol', 'tcp')}"


def why(task: dict[str, Any]) -> str:
    """Why a task stopped: its exit codes or what its containers say, and the task's own reason."""
    if task["lastStatus"] != "STOPPED":
        return ""
    containers = task.get("containers", [])
    exits = [f"{one['name']} exit {one['exitCode']}" for one in containers if "exitCode" in one]
    reasons = [f"{one['name']}: {one['reason']}" for one in containers if one.get("reason")]
    own = task.get("stoppedReason", "")
    if any(one.get("reason") == own for one in containers):
        own = ""
    return "; ".join(part for part in (", ".join(exits), *reasons, own) if part)
