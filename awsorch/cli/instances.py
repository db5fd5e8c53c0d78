"""`awsorch instances`: the machines of a cluster and what is left on them; its subcommands are in `outages`."""

from __future__ import annotations

from typing import Any

import click

from awsorch.cli import outages
from awsorch.cli.identifiers import short
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command

COLUMNS = ("INSTANCE", "EC2", "STATUS", "AGENT", "TYPE", "ZONE", "TASKS", "CPU USED", "MEMORY USED")

COMMON = ("cluster", "as_json", "endpoint", "region")
"""What may be given before a subcommand as well as after it."""


@click.group("instances", invoke_without_command=True)
@click.option(
    "--filter", "expression", metavar="EXPRESSION", help="Only those that match, in the cluster query language."
)
@api_command
def instances(session: Session, printer: Printer, expression: str | None) -> None:
    """List the container instances of a cluster, or put one through what may befall it.

    ID is an EC2 instance id, the id or ARN of a container instance, or a unique prefix of an id.
    """
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        common = {name: context.params[name] for name in COMMON}
        context.default_map = {context.invoked_subcommand: common}
        return
    arguments = {"filter": expression} if expression else {}
    arns = session.list_all("list_container_instances", "containerInstanceArns", cluster=session.cluster, **arguments)
    found = session.describe_instances(list(arns))
    if printer.as_json:
        printer.show_json({"containerInstances": found})
    else:
        printer.show_table(COLUMNS, [row(instance) for instance in found])


for command in outages.COMMANDS:
    instances.add_command(command)


def row(instance: dict[str, Any]) -> list[str]:
    """The cells of `awsorch instances` for one of them."""
    running, pending = instance.get("runningTasksCount", 0), instance.get("pendingTasksCount", 0)
    return [
        short(instance["containerInstanceArn"]),
        instance.get("ec2InstanceId", ""),
        instance["status"],
        agent_of(instance),
        attribute_of(instance, "ecs.instance-type"),
        attribute_of(instance, "ecs.availability-zone"),
        f"{running} + {pending} pending" if pending else str(running),
        used(instance, "CPU", ""),
        used(instance, "MEMORY", " MiB"),
    ]


def agent_of(instance: dict[str, Any]) -> str:
    """Whether the agent is there, and how far its update is, unless that is done."""
    words = "connected" if instance.get("agentConnected") else "disconnected"
    update = instance.get("agentUpdateStatus")
    return words if update in (None, "UPDATED") else f"{words}, update {update}"


def attribute_of(instance: dict[str, Any], name: str) -> str:
    values = (one.get("value", "") for one in instance.get("attributes", []) if one["name"] == name)
    return next(values, "")


def amount(instance: dict[str, Any], member: str, name: str) -> int:
    values = (one.get("integerValue", 0) for one in instance.get(member, []) if one["name"] == name)
    return int(next(values, 0))


def used(instance: dict[str, Any], name: str, unit: str) -> str:
    """How much of a resource is taken: "512 of 2048 (25 %)"."""
    total = amount(instance, "registeredResources", name)
    taken = total - amount(instance, "remainingResources", name)
    return f"{taken} of {total}{unit} ({100 * taken // total} %)" if total else ""
