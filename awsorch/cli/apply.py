"""`awsorch apply`: an application's task definitions and services made to be as its files say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from botocore.exceptions import ClientError

from awsorch.cli.applications import Item, read_application
from awsorch.cli.definitions import revision_of
from awsorch.cli.deploy import waiting_options
from awsorch.cli.faults import Fault, describe_refusal
from awsorch.cli.identifiers import tail
from awsorch.cli.plan import CREATE, LEAVE, REGISTER, UPDATE, DefinitionStep, Plan, ServiceStep, make_plan
from awsorch.cli.printing import Printer
from awsorch.cli.rollout_view import open_view
from awsorch.cli.rollouts import goal_of, see_out
from awsorch.cli.services import Service
from awsorch.cli.session import Session, api_command

MARKS = {REGISTER: ("+", "green"), CREATE: ("+", "green"), UPDATE: ("~", "yellow"), LEAVE: ("=", "white")}
CHANGES = 2
"""Exit code of --plan --exit-code when there is something to do."""


@click.command("apply")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    help='JSON or YAML; "-" reads standard input.',
)
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done.")
@click.option(
    "--exit-code", "tells", is_flag=True, help=f"With --plan: exit with {CHANGES} when there is something to do."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask; nobody is asked where there is no terminal.")
@waiting_options
@api_command
def apply(
    session: Session, printer: Printer, files: tuple[str, ...], wait: bool, timeout: float, **choices: bool
) -> None:
    """Register the task definitions and create or update the services of an application.

    Files have the lists `taskDefinitions` (of RegisterTaskDefinition's shape) and `services` (of CreateService's). A
    service that names just the family of a task definition of these files runs the revision that they make. What
    differs is shown first; services are then rolled out in the order of the files, until one fails. Applied again, it
    does nothing. Exit codes as for deploy. With --json: the plan, then each service as it ends, a document each.
    """
    if choices["tells"] and not choices["only_plan"]:
        raise click.UsageError("--exit-code goes with --plan")
    plan = make_plan(session, read_application(files))
    show_plan(printer, plan)
    if choices["only_plan"]:
        click.get_current_context().exit(CHANGES if plan.changes and choices["tells"] else 0)
    if plan.changes and not choices["yes"] and sys.stdin.isatty() and sys.stdout.isatty():
        click.confirm("Go ahead?", abort=True)
    carry_out(session, printer, plan, timeout if wait else None)


def show_plan(printer: Printer, plan: Plan) -> None:
    """Print every step with what it changes."""
    if printer.as_json:
        steps: tuple[DefinitionStep | ServiceStep, ...] = (*plan.definitions, *plan.services)
        printer.show_json({"steps": [step_json(step) for step in steps]})
        return
    for line, colour in (*definition_lines(plan), *service_lines(plan)):
        click.echo(click.style(line, fg=colour))
    if not plan.changes:
        click.echo("nothing to do")


def definition_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    for step in plan.definitions:
        current = tail(step.current) if step.current else "the first revision"
        mark, colour = MARKS[step.action]
        yield f"{mark} {step.action} task definition {step.family} ({current})", colour
        yield from ((f"    {line}", colour) for line in step.differences)


def service_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    for step in plan.services:
        mark, colour = MARKS[step.action]
        what = f", {tail(step.definition)}" if step.action == CREATE else ""
        count = f" with {step.request['desiredCount']} tasks" if "desiredCount" in step.request and what else ""
        yield f"{mark} {step.action} service {step.name}{what}{count}", colour
        yield from ((f"    {line}", colour) for line in step.differences)


def step_json(step: DefinitionStep | ServiceStep) -> dict[str, Any]:
    named = {"family": step.family} if isinstance(step, DefinitionStep) else {"serviceName": step.name}
    return {"action": step.action, **named, "differences": list(step.differences)}


def carry_out(session: Session, printer: Printer, plan: Plan, timeout: float | None) -> None:
    """Do what is planned. Services whose turn did not come are named when one fails. ``timeout`` None: do not wait."""
    registered = {step.family: register(session, printer, step) for step in plan.definitions if step.action == REGISTER}
    for number, step in enumerate(plan.services):
        try:
            follow(session, printer, step, put(session, step, registered), timeout)
        except Fault as fault:
            later = [one.name for one in plan.services[number + 1 :] if one.action != LEAVE]
            if not later:
                raise
            raise type(fault)(f"{fault.message}\nnot begun: {', '.join(later)}") from None


def register(session: Session, printer: Printer, step: DefinitionStep) -> str:
    """Register a task definition; answers its ARN."""
    answer = asked(step.item, lambda: session.ecs.register_task_definition(**step.item.value))
    if not printer.as_json:
        click.echo(f"registered {revision_of(answer)}")
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def put(session: Session, step: ServiceStep, registered: Mapping[str, str]) -> Service:
    """Make a service be as its step says; answers it as it then is."""
    request = {"cluster": session.cluster, **step.request}
    if step.definition is not None:
        request["taskDefinition"] = registered.get(step.definition, step.definition)
    if step.known is None:
        created: Service = asked(step.item, lambda: session.ecs.create_service(**request))["service"]
        return created
    arn, service = step.known["serviceArn"], step.known
    setting, removing = step.tags
    if setting:
        tags = [{"key": key, "value": value} for key, value in setting.items()]
        asked(step.item, lambda: session.ecs.tag_resource(resourceArn=arn, tags=tags))
    if removing:
        asked(step.item, lambda: session.ecs.untag_resource(resourceArn=arn, tagKeys=list(removing)))
    if step.request or step.definition is not None:
        service = asked(step.item, lambda: session.ecs.update_service(service=arn, **request))["service"]
    return service


def follow(session: Session, printer: Printer, step: ServiceStep, service: Service, timeout: float | None) -> None:
    """See the rollout of a service through; one that is left is looked at only where its deployment is not over."""
    goal = goal_of(service)
    if timeout is not None and (step.action != LEAVE or goal.deployment is not None):
        see_out(session, printer, goal, open_view(printer, step.known), timeout)
    elif printer.as_json:
        printer.show_json({"service": service})
    elif step.action != LEAVE:
        click.echo(f"{step.name}: {step.action}d")


def asked(item: Item, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The API's answer; a refusal names the file and line that it is about."""
    try:
        return ask()
    except ClientError as error:
        raise Fault(f"{item.place()}: {describe_refusal(error.response['Error'])}") from None
