"""`awsorch activate`: let machines that are no EC2 instances join a cluster, see which have, and end it.

Activations are awsorch's own, beside ECS's API; their words are those of Systems Manager, with which ECS Anywhere does
this.
"""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from awsorch.cli.durations import parse_seconds
from awsorch.cli.extension import call_own
from awsorch.cli.pairs import attributes_option
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command

PATH = "/awsorch/activations"
JSON = {"Content-Type": "application/json"}
COLUMNS = ("ACTIVATION", "CLUSTER", "STATUS", "JOINED", "EXPIRES", "ATTRIBUTES")
INSTANCE_COLUMNS = ("INSTANCE", "ACTIVATION", "CLUSTER", "ACCESS", "JOINED")


@click.command("activate")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many machines may join.")
@click.option(
    "--expires",
    default="24h",
    show_default=True,
    callback=parse_seconds,
    metavar="TIME",
    help="How long they may: 90m, 24h, up to 30d.",
)
@attributes_option("Attributes that the instances get, for placement constraints.")
@click.option("--list", "listing", is_flag=True, help="List the activations of the cluster and who joined by them.")
@click.option(
    "--revoke", metavar="ID", help="Let nobody join by an activation any more; or shut out an instance, by its mi- id."
)
@api_command
def activate(
    session: Session,
    printer: Printer,
    count: int,
    expires: float,
    attributes: dict[str, str],
    listing: bool,
    revoke: str | None,
) -> None:
    """Let machines from anywhere join a cluster as external instances.

    Prints the command that makes a machine join; it holds a secret that is shown this once. Only tasks and services of
    launch type EXTERNAL run on external instances.
    """
    if listing and revoke:
        raise click.UsageError("--list and --revoke are two things: ask for one at a time")
    if listing:
        listed = call_own(session, "GET", f"{PATH}?cluster={quote(session.cluster, safe='')}", {})
        show_activations(printer, listed)
    elif revoke:
        show_revoked(printer, call_own(session, "DELETE", f"{PATH}/{quote(revoke, safe='')}", {}))
    else:
        asked = {
            "cluster": session.cluster,
            "registrationLimit": count,
            "expiresAfter": int(expires),
            "attributes": attributes,
        }
        show_made(printer, call_own(session, "POST", PATH, JSON, json.dumps(asked)), session.endpoint)


def show_made(printer: Printer, made: dict[str, Any], endpoint: str) -> None:
    """A new activation, and what to do with it."""
    command = join_command(made, endpoint)
    if printer.as_json:
        printer.show_json({**made, "command": command})
        return
    printer.show_facts(
        [
            ("Activation", made["activationId"]),
            ("Code", made["activationCode"]),
            ("Cluster", made["cluster"]),
            ("Machines", str(made["registrationLimit"])),
            ("Expires", point(made["expirationDate"])),
            ("Attributes", pairs(made["attributes"])),
        ]
    )
    printer.show_heading("On each machine, as root, with Docker Engine and awsorch's package installed:")
    click.echo(command)
    printer.note("the code is not shown again; `awsorch activate --revoke` ends what it allows")


def join_command(made: dict[str, Any], endpoint: str) -> str:
    """What a machine joins by."""
    words: tuple[str, ...] = ("awsorch-agent", "join", "--endpoint", endpoint)
    words += ("--activation-id", made["activationId"], "--activation-code", made["activationCode"])
    return shlex.join(words)


def show_activations(printer: Printer, listed: dict[str, Any]) -> None:
    if printer.as_json:
        printer.show_json(listed)
        return
    found = listed["activations"]
    if not found:
        printer.note("there are no activations")
        return
    printer.show_table(COLUMNS, [activation_row(each) for each in found])
    joined = [
        [each["managedInstanceId"], one["activationId"], one["cluster"], each["status"], point(each["joinedDate"])]
        for one in found
        for each in one["instances"]
    ]
    if joined:
        click.echo()
        printer.show_table(INSTANCE_COLUMNS, joined)


def activation_row(activation: dict[str, Any]) -> list[str]:
    return [
        activation["activationId"],
        activation["cluster"],
        activation["status"],
        f"{activation['registrationsCount']} of {activation['registrationLimit']}",
        point(activation["expirationDate"]),
        pairs(activation["attributes"]),
    ]


def show_revoked(printer: Printer, revoked: dict[str, Any]) -> None:
    if printer.as_json:
        printer.show_json(revoked)
    elif "managedInstanceId" in revoked:
        printer.note(
            f"{revoked['managedInstanceId']} is shut out of cluster {revoked['cluster']}; its tasks are stopped"
        )
    else:
        printer.note(f"nobody joins by {revoked['activationId']} any more; who has joined stays")


def point(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(values.items()))
