"""`awsorch run`: start tasks, and with --wait see them through to the end as `docker run` does."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from awsorch.cli.containers import Unreadable, open_engine
from awsorch.cli.definitions import register_document, revision_of
from awsorch.cli.documents import STANDARD_INPUT, read_documents
from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import short, tail
from awsorch.cli.logs import LogCopier, Request
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command
from awsorch.cli.tasks import status_of, why
from awsorch.cli.watch import watch

COUNT_LIMIT = 10
"""How many tasks one RunTask starts (ECS API reference)."""
NEVER_RAN = 125
"""Exit code for a task none of whose containers ran, as `docker run` has it."""
KILLED = {137, 143}
"""Exit codes of SIGKILL and SIGTERM: how the others end when one essential container has ended by itself."""
INTERRUPTED = 130


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
@click.option(
    "--container", "-c", metavar="NAME", help="Which container the overrides are for. [default: the first essential]"
)
@click.option("--group", metavar="NAME", help="Task group. [default: family:FAMILY]")
@click.option("--started-by", metavar="TEXT", help="A note of who started it, to filter by.")
@click.option(
    "--constraint",
    callback=parse_constraints,
    metavar="TYPE",
    multiple=True,
    help="distinctInstance or memberOf:EXPRESSION.",
)
@click.option(
    "--strategy",
    callback=parse_strategies,
    metavar="TYPE",
    multiple=True,
    help="random, spread:FIELD or binpack:cpu|memory; may be chained.",
)
@click.option("--tag", callback=parse_pairs, multiple=True, metavar="K=V", help="Tag the tasks.")
@api_command
def run(
    session: Session,
    printer: Printer,
    what: str,
    count: int,
    wait: bool,
    override_command: str | None,
    env: list[tuple[str, str]],
    container: str | None,
    **choices: Any,
) -> None:
    """Run tasks of a definition, or of a file (which is registered first). Prints the id of each task.

    A task that cannot be placed prints the reason of every failure and makes the exit code 1.
    """
    definition = definition_of(session, what)
    request = request_of(choices)
    if override_command is not None or env:
        overridden = override_of(override_command, env)
        overridden["name"] = container or first_essential(session, definition)
        request["overrides"] = {"containerOverrides": [overridden]}
    answer = run_tasks(session, definition, count, request)
    if not printer.as_json:
        for task in answer["tasks"]:
            click.echo(tail(task["taskArn"]), err=wait)
    elif not wait:
        printer.show_json(answer)
    refused = [reason_of(failure) for failure in answer["failures"]]
    if not wait or not answer["tasks"]:
        if refused:
            raise Fault("\n".join(refused))
        return
    for line in refused:
        printer.note(line)
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
    }
    return {name: value for name, value in members.items() if value}


def override_of(command: str | None, env: Sequence[tuple[str, str]]) -> dict[str, Any]:
    override: dict[str, Any] = {}
    if env:
        override["environment"] = [{"name": name, "value": value} for name, value in env]
    if command is not None:
        try:
            override["command"] = shlex.split(command)
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

    def see(self, task: dict[str, Any]) -> None:
        if self.copier is not None:
            self.copier.see(task)
        arn, status = task["taskArn"], status_of(task)
        if self.told.get(arn) != status:
            self.told[arn] = status
            reason = why(task)
            self.printer.note(f"{short(arn)} {status}{': ' + reason if reason else ''}")

    def finish(self) -> None:
        if self.copier is not None:
            for problem in self.copier.finish():
                self.printer.note(problem)


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
