"""`awsorch history`: every revision that a service ran, how each ended, and what changed from one to the next."""

from __future__ import annotations

import functools
from typing import Any

import click

from awsorch.cli.differences import differences
from awsorch.cli.identifiers import SHORT, tail
from awsorch.cli.normal_forms import normal_definition
from awsorch.cli.printing import Printer, say_time
from awsorch.cli.revisions import (
    History,
    Revision,
    content_of,
    find_revision,
    number_of,
    read_history,
    say_revision,
)
from awsorch.cli.services import find_service
from awsorch.cli.session import Session, api_command

COLUMNS = ("REVISION", "DEFINITION", "BEGAN", "TOOK", "ENDED", "TASKS", "WHY")
SAME = "nothing: the same revision was started anew"


@click.command("history")
@click.argument("service", metavar="SERVICE")
@click.option(
    "--between",
    nargs=2,
    metavar="REVISION REVISION",
    help="Only what changed between these two: 8 or FAMILY:8 of the task definition, or REVISION as shown.",
)
@api_command
def history(session: Session, printer: Printer, service: str, between: tuple[str, str] | None) -> None:
    """Show every revision that a service ran, the newest first: when, how it ended and why, and what changed.

    ECS keeps service deployments for 90 days.
    """
    where, found = find_service(session, service)
    known = read_history(where, found)
    if printer.as_json:
        printer.show_json(
            {"serviceDeployments": list(known.deployments), "serviceRevisions": list(known.revisions.values())}
        )
        return
    comparison = Comparison(where)
    if between:
        first, second = (find_revision(known, text) for text in between)
        comparison.show(printer, first, second)
        return
    printer.show_table(COLUMNS, [row(known, deployment) for deployment in known.deployments])
    for deployment in known.deployments:
        source, target = known.source(deployment), known.target(deployment)
        if source is not None and target is not None:
            comparison.show(printer, source, target)


def row(known: History, deployment: dict[str, Any]) -> list[str]:
    """The cells of one service deployment."""
    target = known.target(deployment)
    current = known.current
    runs = target is not None and current is not None and number_of(target) == number_of(current)
    counts = deployment["targetServiceRevision"]
    return [
        tail(deployment["targetServiceRevision"]["arn"])[:SHORT],
        (tail(target["taskDefinition"]) if target else "") + (" (current)" if runs else ""),
        say_time(deployment.get("startedAt") or deployment["createdAt"]),
        took(deployment),
        deployment["status"],
        f"{counts['runningTaskCount']}/{counts['requestedTaskCount']}",
        deployment.get("rollback", {}).get("reason") or deployment.get("statusReason") or "",
    ]


def took(deployment: dict[str, Any]) -> str:
    """How long a service deployment took; empty while it goes on."""
    if "finishedAt" not in deployment:
        return ""
    seconds = (deployment["finishedAt"] - (deployment.get("startedAt") or deployment["createdAt"])).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


class Comparison:
    """Says what changed between revisions; each task definition is asked for once."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.definition = functools.cache(self.describe)

    def show(self, printer: Printer, before: Revision, after: Revision) -> None:
        """Print what changed, a line each."""
        printer.show_heading(f"{say_revision(before)} -> {say_revision(after)}")
        for line in self.compare(before, after) or [SAME]:
            click.echo(f"  {line}")

    def compare(self, before: Revision, after: Revision) -> list[str]:
        """What changed in the service revision's own members and in the task definition."""
        old, new = content_of(before), content_of(after)
        old_name, new_name = old.pop("taskDefinition"), new.pop("taskDefinition")
        found = list(differences(old, new))
        if old_name != new_name:
            changed = list(differences(self.definition(old_name), self.definition(new_name)))
            found += changed or [f"taskDefinition: {tail(old_name)} -> {tail(new_name)}, which say the same"]
        return found

    def describe(self, name: str) -> dict[str, Any]:
        """The content of a task definition; empty for one that was deleted."""
        from botocore.exceptions import ClientError

        try:
            answer = self.session.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
        except ClientError:
            return {}
        return normal_definition(answer["taskDefinition"] | {"tags": answer.get("tags", [])})
