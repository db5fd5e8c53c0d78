"""`awsorch instances interrupt|reboot|stop|start|terminate|kill|cut|uncut`: instances put through what may befall them.

Where EC2 has a call for it that call is made, through the endpoint; the others are calls of the local cloud's own,
which every other endpoint refuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from awsorch.cli.balancers import client_of
from awsorch.cli.durations import parse_seconds
from awsorch.cli.extension import call_own
from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import find_instance
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command

PATH = "/awsorch/local/instances"
_EC2_ID = re.compile(r"i-[0-9a-f]{17}|i-[0-9a-f]{8}")

COMMANDS: list[click.Command] = []


def on_instance(name: str, *options: Callable[..., Any]) -> Callable[[Callable[..., None]], click.Command]:
    """Make a subcommand on one instance of it: it gets `session`, `printer`, `ec2_id` and its options."""

    def make(command: Callable[..., None]) -> click.Command:
        @api_command
        def run(session: Session, printer: Printer, instance: str, **arguments: Any) -> None:
            command(session=session, printer=printer, ec2_id=find_ec2_id(session, instance), **arguments)

        for option in reversed(options):
            run = option(run)
        made = click.command(name, help=command.__doc__)(click.argument("instance", metavar="ID")(run))
        COMMANDS.append(made)
        return made

    return make


def find_ec2_id(session: Session, text: str) -> str:
    """The EC2 instance that an EC2 id, a container instance's id or ARN, or a unique prefix of an id names."""
    if _EC2_ID.fullmatch(text):
        return text
    session, name = find_instance(session, text)
    found = session.describe_instances([name])
    if not found:
        raise Fault(f"container instance {text} is not there")
    ec2_id = str(found[0].get("ec2InstanceId", ""))
    if not ec2_id.startswith("i-"):
        raise Fault(f"container instance {text} is no EC2 instance but {ec2_id or 'one of its own kind'}")
    return ec2_id


def play(session: Session, printer: Printer, ec2_id: str, outage: str, seconds: float | None = None) -> dict[str, Any]:
    """Have the local cloud play an outage; what it answered, shown already where JSON is wanted."""
    body = json.dumps({} if seconds is None else {"seconds": seconds})
    answer = call_own(session, "POST", f"{PATH}/{ec2_id}/{outage}", {"Content-Type": "application/json"}, body)
    if printer.as_json:
        printer.show_json(answer)
    return answer


def call_ec2(session: Session, printer: Printer, operation: str, ec2_id: str, said: str) -> None:
    """Make a call of EC2 on one instance and say what follows."""
    answer = getattr(client_of(session, "ec2"), operation)(InstanceIds=[ec2_id])
    if printer.as_json:
        answer.pop("ResponseMetadata", None)
        printer.show_json(answer)
    else:
        click.echo(said)


@on_instance(
    "interrupt",
    click.option(
        "--in", "seconds", default="120s", show_default=True, metavar="TIME", callback=parse_seconds,
        help="How long from now EC2 takes it.",
    ),
)  # fmt: skip
def interrupt(session: Session, printer: Printer, ec2_id: str, seconds: float) -> None:
    """Give an instance a spot interruption notice; EC2 terminates it when the time is up."""
    ends = play(session, printer, ec2_id, "interrupt", seconds).get("endsAt", "")
    if not printer.as_json:
        click.echo(f"{ec2_id} has its interruption notice; EC2 terminates it at {_clock_time(ends)}")


@on_instance("reboot")
def reboot(session: Session, printer: Printer, ec2_id: str) -> None:
    """Reboot an instance: its containers end, its agent comes back as the same container instance."""
    call_ec2(session, printer, "reboot_instances", ec2_id, f"{ec2_id} reboots")


@on_instance("stop")
def stop(session: Session, printer: Printer, ec2_id: str) -> None:
    """Stop an instance: its containers end; `start` brings it back as the same container instance."""
    call_ec2(session, printer, "stop_instances", ec2_id, f"{ec2_id} stops")


@on_instance("start")
def start(session: Session, printer: Printer, ec2_id: str) -> None:
    """Start an instance that was stopped."""
    call_ec2(session, printer, "start_instances", ec2_id, f"{ec2_id} starts")


@on_instance("terminate")
def terminate(session: Session, printer: Printer, ec2_id: str) -> None:
    """Terminate an instance, for good."""
    call_ec2(session, printer, "terminate_instances", ec2_id, f"{ec2_id} is terminated")


@on_instance("kill")
def kill(session: Session, printer: Printer, ec2_id: str) -> None:
    """Kill the agent and all containers of an instance at once; then EC2 says that it is terminated."""
    play(session, printer, ec2_id, "kill")
    if not printer.as_json:
        click.echo(f"{ec2_id} is dead")


@on_instance(
    "cut",
    click.option("--for", "seconds", default=None, metavar="TIME", callback=parse_seconds, help="How long."),
)
def cut(session: Session, printer: Printer, ec2_id: str, seconds: float | None) -> None:
    """Cut an instance's agent off: it hears and says nothing, its containers go on.

    The agent's process is stopped in its tracks, and its connections end. Its containers can still be reached: they
    share this machine's network.
    """
    until = play(session, printer, ec2_id, "cut", seconds).get("endsAt")
    if not printer.as_json:
        click.echo(f"{ec2_id} is cut off " + (f"until {_clock_time(until)}" if until else "until `uncut`"))


@on_instance("uncut")
def uncut(session: Session, printer: Printer, ec2_id: str) -> None:
    """Let an instance that was cut off hear and speak again."""
    play(session, printer, ec2_id, "uncut")
    if not printer.as_json:
        click.echo(f"{ec2_id} is not cut off any more")


def _clock_time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S") if text else "that time"
