"""`awsorch story`: why a task is where it is and how it got there.

DescribeStory is an operation of awsorch's own, beside ECS's: the same JSON protocol and signature under another target
prefix.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import click

from awsorch.cli.extension import ask_own
from awsorch.cli.identifiers import find_task, resource_kind, short, tail
from awsorch.cli.printing import Printer, say_time
from awsorch.cli.session import Session, api_command

ARN = re.compile(r"arn:aws[a-z-]*:ecs:[\w-]*:\d*:[\w/:-]+")


@click.command("story")
@click.argument("task", metavar="TASK")
@api_command
def story(session: Session, printer: Printer, task: str) -> None:
    """Tell what happened to a task, in order and with causes, and how its instance was chosen."""
    where, arn = find_task(session, task)
    told = describe_story(where, arn)
    if printer.as_json:
        printer.show_json(told)
        return
    printer.show_facts([("Task", told["arn"])])
    if placement := told.get("placement"):
        show_placement(printer, placement)
    printer.show_heading("What happened")
    printer.show_table(("WHEN", "WHAT", "CAUSE"), [entry_row(entry) for entry in told["entries"]])


def describe_story(session: Session, arn: str) -> dict[str, Any]:
    """Call DescribeStory. Raises Fault with the API's code and message when it is refused."""
    return ask_own(session, "DescribeStory", arn=arn)


def show_placement(printer: Printer, placement: dict[str, Any]) -> None:
    printer.show_heading("Placement")
    chosen = placement.get("chosen")
    printer.show_facts(
        [
            ("Instances considered", str(placement.get("considered", 0))),
            ("Chosen", tail(chosen) if chosen else "none"),
        ]
    )
    if refused := placement.get("refused"):
        rows = [[one["filter"], str(one["instances"]), one["reason"]] for one in refused]
        printer.show_table(("REFUSED BY", "INSTANCES", "REASON"), rows)


def entry_row(entry: dict[str, Any]) -> list[str]:
    when = say_time(datetime.fromtimestamp(entry["at"], UTC))
    return [when, shorten_arns(entry["what"]), shorten_arns(entry.get("cause", ""))]


def shorten_arns(text: str) -> str:
    """Text with every ARN cut to the kind and the short id of what it names."""
    return ARN.sub(lambda found: f"{resource_kind(found[0])} {short(found[0])}", text)
