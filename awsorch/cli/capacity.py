"""`awsorch capacity`: how full a cluster is, what waits, and what will be launched or ended next.

DescribeCapacity is an operation of awsorch's own, beside ECS's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from awsorch.cli import watch
from awsorch.cli.capacity_view import drawing, one_line, show_capacity
from awsorch.cli.extension import ask_own
from awsorch.cli.printing import Printer
from awsorch.cli.rollouts import INTERRUPTED
from awsorch.cli.session import Session, api_command

MOST = 40
"""So many instances are shown one by one; of more, those of a zone and type share a line."""
EVERY = 10_000
"""The most that DescribeCapacity tells one by one."""


@click.command("capacity")
@click.option("-w", "--watch", "watching", is_flag=True, help="Go on until Ctrl-C: a view that moves on a terminal.")
@click.option("--all", "every", is_flag=True, help=f"Show each instance, even of more than {MOST}.")
@api_command
def capacity(session: Session, printer: Printer, watching: bool, every: bool) -> None:
    """Show how full the instances are, which tasks wait and why, and what is launched or ended next, with prices.

    Watched in a pipe it prints a line for each change, with --json a document on a line of its own.
    """
    most = EVERY if every or printer.as_json else MOST
    if not watching:
        told = describe_capacity(session, most)
        show(printer, told, is_summed(told, most))
        return
    try:
        if printer.as_json or not sys.stdout.isatty():
            tell_changes(printer, looks(session, most))
        else:
            draw_changes(looks(session, most), most)
    except KeyboardInterrupt:
        click.get_current_context().exit(INTERRUPTED)


def describe_capacity(session: Session, most: int) -> dict[str, Any]:
    """Call DescribeCapacity."""
    return ask_own(session, "DescribeCapacity", maxInstances=most)


def is_summed(told: dict[str, Any], most: int) -> bool:
    """Whether there are too many instances to show each."""
    return bool(told["totals"]["instances"] > most)


def show(printer: Printer, told: dict[str, Any], summed: bool) -> None:
    """Print it once, in the form for who reads."""
    if printer.as_json:
        printer.show_json(told)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(drawing(told, summed))
    else:
        show_capacity(printer, told, summed)


def looks(session: Session, most: int) -> Iterator[dict[str, Any]]:
    """The capacity again and again; a controller that is away for a while is waited for."""
    while True:
        yield watch.patiently(lambda: describe_capacity(session, most))
        time.sleep(watch.LOOK_SECONDS)


def tell_changes(printer: Printer, looked: Iterator[dict[str, Any]]) -> None:
    """A line for each look that tells something new."""
    said = ""
    for told in looked:
        line = one_line(told)
        if line != said:
            said = line
            when = datetime.fromtimestamp(told["at"]).astimezone().strftime("%H:%M:%S")
            click.echo(json.dumps(told, ensure_ascii=False) if printer.as_json else f"{when}  {line}")


def draw_changes(looked: Iterator[dict[str, Any]], most: int) -> None:
    """Redraw it in place, on a screen of its own as far as it is long."""
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(highlight=False), refresh_per_second=4, vertical_overflow="ellipsis") as live:
        for told in looked:
            live.update(drawing(told, is_summed(told, most)))
