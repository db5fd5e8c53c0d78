"""`awsorch services`, and how a service and its rollout are found and put into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from awsorch.cli.documents import suggest
from awsorch.cli.faults import Fault
from awsorch.cli.identifiers import in_cluster_of, resource_kind, tail
from awsorch.cli.printing import Printer, say_when
from awsorch.cli.session import Session, api_command
from awsorch.cli.targets import TargetReader, say_targets

DESCRIBE_LIMIT = 10
"""How many services one DescribeServices takes (ECS API reference)."""
COLUMNS = ("SERVICE", "STATUS", "DESIRED", "RUNNING", "PENDING", "DEFINITION", "ROLLOUT")
Service = dict[str, Any]
Deployment = dict[str, Any]


@click.command("services")
@click.argument("names", nargs=-1, metavar="[SERVICE...]")
@api_command
def services(session: Session, printer: Printer, names: tuple[str, ...]) -> None:
    """List services: their tasks, how far the rollout of each is, and what happened last."""
    if names:
        found = [find_service(session, name)[1] for name in names]
    else:
        arns = session.list_all("list_services", "serviceArns", cluster=session.cluster)
        found = describe_services(session, list(arns))
    if printer.as_json:
        printer.show_json({"services": found})
        return
    balanced = any(one.get("loadBalancers") for one in found)
    reader = TargetReader(session=session)
    columns = (*COLUMNS, *(["TARGETS"] if balanced else []), "LAST EVENT")
    rows = [
        [*row(one), *([say_targets(reader.count(one))] if balanced else []), last_event(one)]
        for one in sorted(found, key=lambda one: str(one["serviceName"]))
    ]
    printer.show_table(columns, rows)


def find_service(session: Session, text: str) -> tuple[Session, Service]:
    """The session of a service's cluster, and the service, from its name or ARN. Raises Fault when there is none.

    Names are not shortened to a prefix: what is deployed is named in full.
    """
    if text.startswith("arn:") and resource_kind(text) != "service":
        raise Fault(f"{text} is not the ARN of a service")
    where = in_cluster_of(session, text)
    found = describe_services(where, [text])
    if not found:
        names = [tail(arn) for arn in where.list_all("list_services", "serviceArns", cluster=where.cluster)]
        raise Fault(f"no service {tail(text)!r} in cluster {tail(where.cluster)}{suggest(tail(text), names)}")
    return where, found[0]


def describe_services(session: Session, names: Sequence[str]) -> list[Service]:
    """The services that exist among these names or ARNs, with their tags, in the order asked for."""
    found: list[Service] = []
    for start in range(0, len(names), DESCRIBE_LIMIT):
        some = list(names[start : start + DESCRIBE_LIMIT])
        answer = session.ecs.describe_services(cluster=session.cluster, services=some, include=["TAGS"])
        found += answer["services"]
    return found


def require_active(service: Service) -> None:
    """Refuse a service that is being deleted, or was."""
    if service["status"] != "ACTIVE":
        raise Fault(f"service {service['serviceName']} is {service['status']}: only an ACTIVE one can be changed")


def row(service: Service) -> list[str]:
    """The cells of `awsorch services` for one of them, without targets and events."""
    return [
        service["serviceName"],
        service["status"],
        str(service["desiredCount"]),
        str(service["runningCount"]),
        str(service["pendingCount"]),
        tail(service.get("taskDefinition")),
        say_rollout(service),
    ]


def primary_of(service: Service) -> Deployment | None:
    """The PRIMARY deployment; None for a service that is INACTIVE."""
    return next((one for one in service.get("deployments", []) if one["status"] == "PRIMARY"), None)


def older_than_primary(service: Service) -> list[Deployment]:
    """The deployments whose tasks the PRIMARY one replaces, the newest first."""
    return [one for one in service.get("deployments", []) if one["status"] != "PRIMARY"]


def say_rollout(service: Service) -> str:
    """The state of the PRIMARY deployment, and how far it is while it goes on: "IN_PROGRESS 66 %"."""
    primary = primary_of(service)
    state = str((primary or {}).get("rolloutState") or "")
    return f"{state} {percent(service)} %" if state == "IN_PROGRESS" else state


def percent(service: Service) -> int:
    """How far a service is from being as wished, 0 to 100: new tasks that run, of those wished and the old ones left.

    100 is kept for a rollout that is over: that all tasks run does not make them healthy.
    """
    primary = primary_of(service)
    if primary is None:
        return 0
    wished, running = service["desiredCount"], primary["runningCount"]
    left = max(0, running - wished) + sum(one["runningCount"] for one in older_than_primary(service))
    total = wished + left
    done = 100 * min(running, wished) // total if total else 100
    return min(done, 99) if primary.get("rolloutState") in ("IN_PROGRESS", "FAILED") else done


def last_event(service: Service) -> str:
    """What a service said last and how long ago."""
    events = service.get("events", [])
    return f"{message_of(events[0])} ({say_when(events[0]['createdAt'])})" if events else ""


def message_of(event: dict[str, Any]) -> str:
    """An event's message without the name of the service that it begins with."""
    message = str(event["message"])
    head, separator, rest = message.partition(") ")
    if not separator or not head.startswith("(service "):
        return message
    task_set = head.partition(", ")[2]
    return f"({task_set}) {rest}" if task_set else rest
