"""`awsorch plan`: what more tasks would take, without doing it.

PlanCapacity is an operation of awsorch's own, beside ECS's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from awsorch.cli.capacity_words import (
    View,
    say_at,
    say_change,
    say_count,
    say_outlook,
    say_refused,
    say_type,
)
from awsorch.cli.extension import ask_own
from awsorch.cli.identifiers import tail
from awsorch.cli.pairs import parse_pairs
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command

COLUMNS = ("ADDED", "DEFINITION", "COUNT", "FIT NOW", "LAUNCHED FOR", "NO ROOM")
LAUNCH_COLUMNS = ("PROVIDER", "LAUNCHES", "TYPE", "ZONE", "PRICE")
NO_ROOM = 2
"""Exit code when some of the tasks would find no room, launched instances and all."""


def parse_counts(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """NAME=COUNT, as a dictionary of whole numbers."""
    pairs = parse_pairs("a service or task definition", "web=20")(ctx, option, values)
    for name, count in pairs.items():
        if not count.isdecimal() or int(count) < 1:
            raise click.BadParameter(f"{name}={count}: {count!r} is not a number of tasks such as 20", ctx, option)
    return {name: int(count) for name, count in pairs.items()}


@click.command("plan")
@click.option(
    "--add",
    "additions",
    multiple=True,
    required=True,
    metavar="NAME=COUNT",
    callback=parse_counts,
    help="So many tasks more of a service, or of a task definition (family or family:revision).",
)
@click.option("--provider", metavar="NAME", help="As if they were for this capacity provider.")
@click.option("--exit-code", "tells", is_flag=True, help=f"Exit with {NO_ROOM} when some would find no room.")
@api_command
def plan(session: Session, printer: Printer, additions: dict[str, int], provider: str | None, tells: bool) -> None:
    """Say what more tasks would take: which fit now, what would be launched, where and at what price. Does nothing.

    A service's tasks are as its deployment has them; those of a task definition follow the cluster's default capacity
    provider strategy.
    """
    strategy = {"capacityProviderStrategy": [{"capacityProvider": provider, "weight": 1}]} if provider else {}
    asked = [{"name": name, "count": count, **strategy} for name, count in additions.items()]
    told = ask_own(session, "PlanCapacity", additions=asked)
    if printer.as_json:
        printer.show_json(told)
    else:
        show_plan(printer, told, describe_providers(session))
    if tells and any(each["left"] for each in told["additions"]):
        click.get_current_context().exit(NO_ROOM)


def describe_providers(session: Session) -> tuple[dict[str, View], float]:
    """The cluster's capacity providers as they are, and the API's time."""
    told = ask_own(session, "DescribeCapacity", maxInstances=0)
    return {each["name"]: each for each in told["providers"]}, told["at"]


def show_plan(printer: Printer, told: View, known: tuple[Mapping[str, View], float]) -> None:
    printer.show_table(COLUMNS, [addition_row(each) for each in told["additions"]])
    if told["launches"]:
        printer.show_heading("Launches")
        printer.show_table(LAUNCH_COLUMNS, [launch_row(each) for each in told["launches"]])
    click.echo()
    for line in conclusions(told, *known):
        printer.show_text(line)


def addition_row(addition: View) -> list[str]:
    on = f" on {say_count(addition['instances'], 'instance')}" if addition["fit"] else ""
    return [
        addition["name"],
        tail(addition["taskDefinition"]),
        str(addition["count"]),
        f"{addition['fit']}{on}",
        str(addition["launched"]),
        str(addition["left"]),
    ]


def launch_row(launch: View) -> list[str]:
    return [
        launch["provider"],
        str(launch["count"]),
        say_type(launch),
        launch["zone"],
        say_change(launch["hourlyPrice"]),
    ]


def conclusions(told: View, providers: Mapping[str, View], now: float) -> Iterator[str]:
    """What it comes to: how many instances at what price, what fails just now, and who finds no room and why."""
    count = sum(each["count"] for each in told["launches"])
    if count:
        yield f"{say_count(count, 'instance')} would be launched, {say_change(told['hourlyPrice'])}."
    elif all(not each["left"] for each in told["additions"]):
        yield "All fit on what is there or on its way: nothing would be launched."
    else:
        yield "Nothing would be launched."
    for name, failure in told["failures"].items():
        again = say_at(failure["until"], now)
        yield f"{name} cannot launch just now ({failure['code']}: {failure['message']}); it tries again {again}."
    for addition in told["additions"]:
        for reason in addition["reasons"]:
            yield f"No room for {reason['count']} of {addition['name']}: {say_no_room(reason, providers, now)}."


def say_no_room(reason: View, providers: Mapping[str, View], now: float) -> str:
    """Why tasks would find no room."""
    refused = say_refused(reason["refused"])
    provider: Any = providers.get(reason.get("provider") or "", {"name": "the cluster"})
    why = say_outlook(reason, provider, now)
    return f"{why} ({refused})" if refused else why
