"""`awsorch describe`: everything about one task, container instance or task definition, for reading."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click

from awsorch.cli.faults import Fault, describe_refusal
from awsorch.cli.identifiers import (
    HEXADECIMAL,
    find_instance,
    find_task,
    instances_like,
    only_one,
    resource_kind,
    short,
    tail,
    tasks_like,
)
from awsorch.cli.instances import attribute_of, used
from awsorch.cli.printing import Printer, say_time
from awsorch.cli.session import Session, api_command
from awsorch.cli.tasks import container_port, health_of, status_of

EC2_ID = re.compile(r"i-[0-9a-f]+")


@click.command("describe")
@click.argument("name", metavar="TASK|INSTANCE|FAMILY")
@api_command
def describe(session: Session, printer: Printer, name: str) -> None:
    """Show a task, a container instance or a task definition (FAMILY or FAMILY:REVISION)."""
    kind, where, resource = recognise(session, name)
    match kind:
        case "task":
            describe_task(where, printer, resource)
        case "container-instance":
            describe_instance(where, printer, resource)
        case "task-definition":
            describe_definition(where, printer, resource)
        case _:
            raise Fault(f"{name} is neither a task, nor a container instance, nor a task definition")


def recognise(session: Session, name: str) -> tuple[str, Session, str]:
    """What a name means: the kind of resource, the session of its cluster and its ARN, id or family."""
    if name.startswith("arn:"):
        kind = resource_kind(name)
        where = session if kind == "task-definition" else find_instance(session, name)[0]
        return kind, where, name
    if EC2_ID.fullmatch(name):
        return "container-instance", *find_instance(session, name)
    if HEXADECIMAL.fullmatch(name):
        if found := tasks_like(session, name):
            return "task", *find_task(session, only_one("task", session, name, found))
        if found := instances_like(session, name):
            return "container-instance", session, only_one("container instance", session, name, found)
    return "task-definition", session, name


def describe_task(session: Session, printer: Printer, task: str) -> None:
    answer = session.ecs.describe_tasks(cluster=session.cluster, tasks=[task], include=["TAGS"])
    if printer.as_json:
        printer.show_json(answer)
        return
    found = described(answer, "tasks", task)
    placed = found.get("containerInstanceArn")
    printer.show_facts(
        [
            ("Task", found["taskArn"]),
            ("Definition", tail(found["taskDefinitionArn"])),
            ("Status", status_of(found)),
            ("Health", health_of(found)),
            ("Instance", tail(placed)),
            ("Group", found.get("group", "")),
            ("Started by", found.get("startedBy", "")),
            ("CPU", found.get("cpu", "")),
            ("Memory", f"{found['memory']} MiB" if found.get("memory") else ""),
            ("Created", say_time(found.get("createdAt"))),
            ("Pull started", say_time(found.get("pullStartedAt"))),
            ("Started", say_time(found.get("startedAt"))),
            ("Stopping", say_time(found.get("stoppingAt"))),
            ("Stopped", say_time(found.get("stoppedAt"))),
            ("Stop code", found.get("stopCode", "")),
            ("Reason", found.get("stoppedReason", "")),
            ("Tags", pairs(found.get("tags", []), "key")),
        ]
    )
    printer.show_heading("Containers")
    printer.show_table(
        ("NAME", "STATUS", "HEALTH", "EXIT", "PORTS", "IMAGE", "RUNTIME ID", "REASON"),
        [container_row(container) for container in found.get("containers", [])],
    )


def container_row(container: dict[str, Any]) -> list[str]:
    bindings = container.get("networkBindings", [])
    return [
        container["name"],
        container.get("lastStatus", ""),
        health_of(container),
        str(container.get("exitCode", "")),
        ", ".join(f"{one.get('hostPort', '?')}->{container_port(one)}" for one in bindings),
        container.get("image", ""),
        container.get("runtimeId", "")[:12],
        container.get("reason", ""),
    ]


def describe_instance(session: Session, printer: Printer, instance: str) -> None:
    answer = session.ecs.describe_container_instances(
        cluster=session.cluster, containerInstances=[instance], include=["TAGS", "CONTAINER_INSTANCE_HEALTH"]
    )
    if printer.as_json:
        printer.show_json(answer)
        return
    found = described(answer, "containerInstances", instance)
    version = found.get("versionInfo", {})
    printer.show_facts(
        [
            ("Instance", found["containerInstanceArn"]),
            ("EC2 instance", found.get("ec2InstanceId", "")),
            ("Status", found["status"]),
            ("Reason", found.get("statusReason", "")),
            ("Agent", "connected" if found.get("agentConnected") else "disconnected"),
            ("Health", found.get("healthStatus", {}).get("overallStatus", "")),
            ("Agent version", version.get("agentVersion", "")),
            ("Docker", version.get("dockerVersion", "")),
            ("Type", attribute_of(found, "ecs.instance-type")),
            ("Zone", attribute_of(found, "ecs.availability-zone")),
            ("CPU used", used(found, "CPU", "")),
            ("Memory used", used(found, "MEMORY", " MiB")),
            ("Tasks", f"{found.get('runningTasksCount', 0)} running, {found.get('pendingTasksCount', 0)} pending"),
            ("Registered", say_time(found.get("registeredAt"))),
            ("Tags", pairs(found.get("tags", []), "key")),
        ]
    )
    attributes = found.get("attributes", [])
    printer.show_heading("Attributes")
    printer.show_table(("NAME", "VALUE"), sorted([one["name"], one["value"]] for one in attributes if one.get("value")))
    printer.show_heading("Capabilities")
    printer.show_text(", ".join(sorted(capability(one["name"]) for one in attributes if not one.get("value"))))


def capability(attribute: str) -> str:
    """The name of a capability without ECS's prefix: "docker-remote-api.1.24", "container-health-check"."""
    return attribute.removeprefix("com.amazonaws.").removeprefix("ecs.capability.")


def describe_definition(session: Session, printer: Printer, name: str) -> None:
    answer = session.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
    if printer.as_json:
        printer.show_json(answer)
        return
    found = answer["taskDefinition"]
    printer.show_facts(
        [
            ("Definition", found["taskDefinitionArn"]),
            ("Status", found.get("status", "")),
            ("Network mode", found.get("networkMode", "bridge")),
            ("CPU", found.get("cpu", "")),
            ("Memory", f"{found['memory']} MiB" if found.get("memory") else ""),
            ("Task role", found.get("taskRoleArn", "")),
            ("Execution role", found.get("executionRoleArn", "")),
            ("Volumes", ", ".join(one["name"] for one in found.get("volumes", []))),
            ("Constraints", "; ".join(one.get("expression", "") for one in found.get("placementConstraints", []))),
            ("Needs", ", ".join(capability(one["name"]) for one in found.get("requiresAttributes", []))),
            ("Registered", say_time(found.get("registeredAt"))),
            ("Deregistered", say_time(found.get("deregisteredAt"))),
            ("Tags", pairs(answer.get("tags", []), "key")),
        ]
    )
    printer.show_heading("Containers")
    printer.show_table(
        ("NAME", "IMAGE", "CPU", "MEMORY", "ESSENTIAL", "PORTS", "DEPENDS ON", "COMMAND"),
        [definition_row(container) for container in found["containerDefinitions"]],
    )


def definition_row(container: dict[str, Any]) -> list[str]:
    limits = [str(container[name]) for name in ("memoryReservation", "memory") if name in container]
    return [
        container["name"],
        container["image"],
        str(container.get("cpu", 0)),
        "-".join(limits) + " MiB" if limits else "",
        "yes" if container.get("essential", True) else "no",
        ", ".join(
            f"{one.get('hostPort') or 'any'}->{container_port(one)}" for one in container.get("portMappings", [])
        ),
        ", ".join(f"{one['containerName']} {one['condition']}" for one in container.get("dependsOn", [])),
        one_line(shlex.join([*container.get("entryPoint", []), *container.get("command", [])])),
    ]


def one_line(text: str, limit: int = 60) -> str:
    """Text on one line and no longer than this; a script in a command would fill the screen."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def pairs(items: list[dict[str, str]], name: str) -> str:
    return ", ".join(f"{one[name]}={one.get('value', '')}" for one in items)


def described(answer: dict[str, Any], member: str, name: str) -> dict[str, Any]:
    """The one resource of a Describe answer, or the reason of its failure as a fault."""
    for failure in answer.get("failures", []):
        raise Fault(describe_refusal({"Code": failure["reason"], "Message": f"{short_of(failure, name)}"}))
    found: dict[str, Any] = answer[member][0]
    return found


def short_of(failure: dict[str, Any], name: str) -> str:
    return str(failure.get("detail") or short(failure.get("arn")) or name)
