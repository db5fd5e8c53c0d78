"""`awsorch run`: start tasks, and with --wait see them through to the end as `docker run` does."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from awsorch.cli.definitions import register_document, revision_of
from awsorch.cli.documents import STANDARD_INPUT, read_documents
from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import short, tail
from awsorch.cli.printing import Printer
from awsorch.cli.see_through import see_through
from awsorch.cli.session import Session, api_command

COUNT_LIMIT = 10
"""How many tasks one RunTask starts (ECS API reference)."""
CONSTRAINTS = "distinctInstance or memberOf:EXPRESSION; may be given again."
STRATEGIES = "random, spread:FIELD or binpack:cpu|memory; may be given again, the first counts most."


def parse_pairs(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    """NAME=VALUE, any number of them."""
    pairs = []
    for text in values:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", ctx, option)
        pairs.append((name, value))
    return pairs


def parse_constraints(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[dict[str, str]]:
    """`distinctInstance` or `memberOf:EXPRESSION`, as ECS's placementConstraints."""
    return [
        typed(ctx, option, text, "expression", alone=("distinctInstance",), wanting=("memberOf",)) for text in values
    ]


def parse_strategies(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[dict[str, str]]:
    """`random`, `spread:FIELD` or `binpack:FIELD`, as ECS's placementStrategy."""
    return [typed(ctx, option, text, "field", alone=("random",), wanting=("spread", "binpack")) for text in values]


def typed(
    ctx: click.Context,
    option: click.Parameter,
    text: str,
    detail: str,
    *,
    alone: tuple[str, ...],
    wanting: tuple[str, ...],
) -> dict[str, str]:
    """`type` for the types that stand alone, `type:detail` for those that want the detail."""
    kind, _, given = text.partition(":")
    if kind in alone and not given:
        return {"type": kind}
    if kind in wanting and given:
        return {"type": kind, detail: given}
    forms = [*alone, *(f"{one}:{detail.upper()}" for one in wanting)]
    raise click.BadParameter(f"{text!r} is none of {', '.join(forms)}", ctx, option)


@click.command("run")
@click.argument("what", metavar="FILE|FAMILY[:REVISION]")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="How many tasks.")
@click.option("--wait", is_flag=True, help="See the tasks through to the end; exit with the container's exit code.")
@click.option("--override-command", metavar="COMMAND", help="Run this instead, split into words as a shell does.")
@click.option("--env", "-e", callback=parse_pairs, multiple=True, metavar="K=V", help="Set an environment variable.")
@click.option("--container", "-c", metavar="NAME", help="Whom the overrides are for. [default: the first essential]")
@click.option("--group", metavar="NAME", help="Task group. [default: family:FAMILY]")
@click.option("--started-by", metavar="TEXT", help="A note of who started it, to filter by.")
@click.option("--constraint", callback=parse_constraints, metavar="TYPE", multiple=True, help=CONSTRAINTS)
@click.option("--strategy", callback=parse_strategies, metavar="TYPE", multiple=True, help=STRATEGIES)
@click.option("--tag", callback=parse_pairs, multiple=True, metavar="K=V", help="Tag the tasks.")
@click.option("--subnet", multiple=True, metavar="ID", help="Where a task with a network of its own (awsvpc) may be.")
@click.option("--security-group", multiple=True, metavar="ID", help="A security group of its network interface.")
@click.option("--exec", "execute", is_flag=True, help="Let `awsorch exec` run commands in the containers.")
@api_command
def run(session: Session, printer: Printer, what: str, count: int, wait: bool, **choices: Any) -> None:
    """Run tasks of a definition, or of a file (which is registered first). Prints the id of each task.

    A task that cannot be placed prints the reason of every failure and makes the exit code 1.
    """
    request, definition = request_of(choices), definition_of(session, what)
    if overridden := override_of(choices):
        overridden["name"] = choices["container"] or first_essential(session, definition)
        request["overrides"] = {"containerOverrides": [overridden]}
    answer = run_tasks(session, definition, count, request)
    refused = [reason_of(failure) for failure in answer["failures"]]
    waiting = wait and bool(answer["tasks"])
    if not printer.as_json:
        for task in answer["tasks"]:
            click.echo(tail(task["taskArn"]), err=waiting)
    elif not waiting:
        printer.show_json(answer)
    if refused and not waiting:
        raise Fault("\n".join(refused))
    for line in refused:
        printer.note(line)
    if waiting:
        code = see_through(session, printer, [task["taskArn"] for task in answer["tasks"]])
        click.get_current_context().exit(code or (1 if refused else 0))


def definition_of(session: Session, what: str) -> str:
    """The family, revision or ARN to run: registered from a file when `what` names one, else as it is."""
    is_file = what == STANDARD_INPUT or Path(what).suffix in (".json", ".yaml", ".yml") or "/" in what
    if what.startswith("arn:") or not is_file:
        return what
    documents = read_documents([what])
    if len(documents) != 1:
        raise Fault(f"{what} holds {len(documents)} task definitions: register it, then run one by its family")
    return revision_of(register_document(session, documents[0]))


def request_of(choices: dict[str, Any]) -> dict[str, Any]:
    """RunTask's members for the options that were given."""
    members = {
        "group": choices["group"],
        "startedBy": choices["started_by"],
        "placementConstraints": choices["constraint"],
        "placementStrategy": choices["strategy"],
        "tags": [{"key": name, "value": value} for name, value in choices["tag"]],
        "networkConfiguration": network_of(choices["subnet"], choices["security_group"]),
        "enableExecuteCommand": choices["execute"],
    }
    return {name: value for name, value in members.items() if value}


def network_of(subnets: tuple[str, ...], groups: tuple[str, ...]) -> dict[str, Any]:
    """The networkConfiguration of these subnets and security groups; empty for none."""
    if not subnets:
        if groups:
            raise click.BadParameter("give the --subnet as well", param_hint="--security-group")
        return {}
    chosen = {"securityGroups": list(groups)} if groups else {}
    return {"awsvpcConfiguration": {"subnets": list(subnets), **chosen}}


def override_of(choices: dict[str, Any]) -> dict[str, Any]:
    """What the options change of a container; empty for nothing."""
    override: dict[str, Any] = {}
    if choices["env"]:
        override["environment"] = [{"name": name, "value": value} for name, value in choices["env"]]
    if choices["override_command"] is not None:
        try:
            override["command"] = shlex.split(choices["override_command"])
        except ValueError as error:
            raise click.BadParameter(f"{error}", param_hint="--override-command") from None
    return override


def first_essential(session: Session, definition: str) -> str:
    """The container that overrides are for when none is named."""
    answer = session.ecs.describe_task_definition(taskDefinition=definition)
    containers = answer["taskDefinition"]["containerDefinitions"]
    return str(next(one["name"] for one in containers if one.get("essential", True)))


def run_tasks(session: Session, definition: str, count: int, request: dict[str, Any]) -> dict[str, Any]:
    """RunTask in as many calls as the count needs; one answer of the same shape."""
    tasks: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for start in range(0, count, COUNT_LIMIT):
        some = min(COUNT_LIMIT, count - start)
        answer = session.ecs.run_task(cluster=session.cluster, taskDefinition=definition, count=some, **request)
        tasks += answer["tasks"]
        failures += answer["failures"]
        if answer["failures"]:
            break
    return {"tasks": tasks, "failures": failures}


def reason_of(failure: dict[str, Any]) -> str:
    """Why a task was not placed, and on which instance: "not placed: RESOURCE:MEMORY (instance 1a2b3c4d)"."""
    where = f" (instance {short(failure['arn'])})" if failure.get("arn") else ""
    detail = f": {failure['detail']}" if failure.get("detail") else ""
    return f"not placed: {failure.get('reason', 'no reason given')}{detail}{where}"
