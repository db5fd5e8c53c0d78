"""`awsorch deploy` and `awsorch scale`: change a service and see the change through to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from awsorch.cli.definition_edits import parse_images, registration_of, with_images
from awsorch.cli.definitions import revision_of
from awsorch.cli.durations import parse_seconds
from awsorch.cli.identifiers import tail
from awsorch.cli.printing import Printer
from awsorch.cli.rollout_view import open_view
from awsorch.cli.rollouts import Goal, goal_of, see_out
from awsorch.cli.services import Service, find_service, primary_of, require_active
from awsorch.cli.session import Session, api_command


def waiting_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that begins a rollout."""
    wait = click.option("--wait/--no-wait", default=True, help="See the rollout through, or return at once.")
    timeout = click.option(
        "--timeout",
        default="30m",
        show_default=True,
        callback=parse_seconds,
        metavar="TIME",
        help="Wait no longer than this (90s, 10m, 1h); the exit code is 124 then, and the rollout goes on.",
    )
    return wait(timeout(command))


@click.command("deploy")
@click.argument("service", metavar="SERVICE")
@click.option(
    "--task-definition", "-t", metavar="FAMILY[:REVISION]", help="What to run. [default: the family's newest]"
)
@click.option(
    "--image",
    "-i",
    "images",
    multiple=True,
    callback=parse_images,
    metavar="[CONTAINER=]IMAGE",
    help="Register a revision of what runs now with this image, and run that; may be given again.",
)
@click.option("--force", is_flag=True, help="Start new tasks even where nothing changes.")
@waiting_options
@api_command
def deploy(session: Session, printer: Printer, service: str, wait: bool, timeout: float, **choices: Any) -> None:
    """Roll a service out to another revision, and watch it.

    Without options it goes to the newest revision of the family that it runs; with --force alone, to the same one anew.
    Exit code 0: completed; 1: failed or rolled back, and why; 124: not within --timeout; 130: interrupted.
    """
    where, found = find_service(session, service)
    require_active(found)
    definition = choose_definition(where, printer, found, **choices)
    answer = where.ecs.update_service(
        cluster=where.cluster,
        service=found["serviceArn"],
        taskDefinition=definition,
        forceNewDeployment=choices["force"],
    )
    finish(where, printer, before=found, after=answer["service"], wait=wait, timeout=timeout)


@click.command("scale")
@click.argument("service", metavar="SERVICE")
@click.argument("count", type=click.IntRange(min=0), metavar="COUNT")
@waiting_options
@api_command
def scale(session: Session, printer: Printer, service: str, count: int, wait: bool, timeout: float) -> None:
    """Set how many tasks a service is to have, and wait until it has them. Exit codes as for deploy."""
    where, found = find_service(session, service)
    require_active(found)
    answer = where.ecs.update_service(cluster=where.cluster, service=found["serviceArn"], desiredCount=count)
    if wait:
        goal = Goal(service=found["serviceArn"])
        see_out(where, printer, goal, open_view(printer, found), timeout)
    elif printer.as_json:
        printer.show_json(answer)
    else:
        click.echo(f"{found['serviceName']}: {count} tasks wished for, {found['runningCount']} run")


def choose_definition(
    session: Session,
    printer: Printer,
    service: Service,
    task_definition: str | None,
    images: dict[str, str],
    force: bool,
) -> str:
    """The task definition to run, registered first where it is one with other images."""
    current = str(service["taskDefinition"])
    if not images:
        return task_definition or (current if force else tail(current).partition(":")[0])
    described = session.ecs.describe_task_definition(taskDefinition=task_definition or current, include=["TAGS"])
    request = registration_of(described)
    edited = with_images(request, images)
    if edited == request:
        return str(described["taskDefinition"]["taskDefinitionArn"])
    answer = session.ecs.register_task_definition(**edited)
    if not printer.as_json:
        click.echo(f"registered {revision_of(answer)}")
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def finish(session: Session, printer: Printer, *, before: Service, after: Service, wait: bool, timeout: float) -> None:
    """What follows an UpdateService: nothing where it began no deployment and none was under way, else the rollout."""
    name, definition = after["serviceName"], tail(after.get("taskDefinition"))
    goal = goal_of(after)
    begun = (primary_of(after) or {}).get("id") != (primary_of(before) or {}).get("id")
    if wait and goal.deployment is not None:
        see_out(session, printer, goal, open_view(printer, before), timeout)
    elif printer.as_json:
        printer.show_json({"service": after})
    elif begun:
        click.echo(f"{name}: deployment {goal.deployment} of {definition} began")
    else:
        click.echo(f"{name}: nothing to do, {definition} runs already (awsorch deploy {name} --force starts it anew)")
