"""`awsorch events`: what a service says of itself."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import click

from awsorch.cli import watch
from awsorch.cli.durations import parse_since
from awsorch.cli.printing import Printer, json_value, say_time
from awsorch.cli.rollout_view import SeenEvents
from awsorch.cli.rollouts import INTERRUPTED
from awsorch.cli.services import Service, describe_services, find_service, message_of
from awsorch.cli.session import Session, api_command


@click.command("events")
@click.argument("service", metavar="SERVICE")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, or until the service is deleted.")
@click.option(
    "--since", callback=parse_since, metavar="WHEN", help="Only those since a time or an age (90s, 10m, 2h, 1d)."
)
@api_command
def events(session: Session, printer: Printer, service: str, follow: bool, since: datetime | None) -> None:
    """Print the events of a service, the oldest first. ECS keeps the latest 100.

    With --json --follow each event is a JSON document on a line of its own.
    """
    where, found = find_service(session, service)
    if printer.as_json and not follow:
        kept = [event for event in reversed(found["events"]) if is_since(event, since)]
        printer.show_json({"events": kept})
        return
    seen = SeenEvents()
    try:
        while True:
            for event in seen.new(found):
                if is_since(event, since):
                    tell(printer, event)
            if not follow or found["status"] == "INACTIVE":
                return
            time.sleep(watch.LOOK_SECONDS)
            again = look(where, found["serviceArn"])
            if again is None:
                return
            found = again
    except KeyboardInterrupt:
        click.get_current_context().exit(INTERRUPTED)


def look(session: Session, arn: str) -> Service | None:
    """The service as it now is; None once it is forgotten."""
    return next(iter(watch.patiently(lambda: describe_services(session, [arn]))), None)


def is_since(event: dict[str, Any], since: datetime | None) -> bool:
    return since is None or event["createdAt"] >= since


def tell(printer: Printer, event: dict[str, Any]) -> None:
    if printer.as_json:
        click.echo(json.dumps(event, default=json_value, ensure_ascii=False))
    else:
        click.echo(f"{click.style(say_time(event['createdAt']), dim=True)}  {message_of(event)}")
