"""Names that people type: unique prefixes of ids, EC2 instance ids, families; resolved to what the API wants."""

from __future__ import annotations

import re
from dataclasses import replace

from awsorch.cli.faults import Fault
from awsorch.cli.session import Session

SHORT = 8
"""How much of an id tables show. Prefixes of any length are accepted while they are unique."""
ID_LENGTH = 32
HEXADECIMAL = re.compile(r"[0-9a-f]{1,32}")
SHOWN = 5


def short(arn: str | None) -> str:
    """The id at the end of an ARN, cut to what a table shows."""
    return tail(arn)[:SHORT]


def tail(arn: str | None) -> str:
    """What follows the last slash of an ARN: an id, or a family and revision."""
    return (arn or "").rpartition("/")[2]


def resource_kind(arn: str) -> str:
    """The kind of resource that an ECS ARN names: "task", "container-instance", "task-definition"…"""
    return arn.split(":", 5)[-1].partition("/")[0]


def in_cluster_of(session: Session, text: str) -> Session:
    """The session turned to the cluster that a full ARN names; as it is for anything else."""
    parts = text.split("/")
    return replace(session, cluster=parts[1]) if text.startswith("arn:") and len(parts) == 3 else session


def find_task(session: Session, text: str) -> tuple[Session, str]:
    """The session of a task's cluster and the task's ARN or full id, from an ARN, an id or a unique prefix of one."""
    if text.startswith("arn:"):
        if resource_kind(text) != "task":
            raise Fault(f"{text} is not the ARN of a task")
        return in_cluster_of(session, text), text
    if len(text) == ID_LENGTH:
        return session, text
    return session, only_one("task", session, text, tasks_like(session, text))


def find_instance(session: Session, text: str) -> tuple[Session, str]:
    """The same for a container instance; an EC2 instance id (i-…) will do as well."""
    if text.startswith("arn:"):
        return in_cluster_of(session, text), text
    if len(text) == ID_LENGTH:
        return session, text
    return session, only_one("container instance", session, text, instances_like(session, text))


def tasks_like(session: Session, prefix: str) -> list[str]:
    """ARNs of the tasks of the cluster, running or stopped, whose id begins with this."""
    return [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in session.list_all("list_tasks", "taskArns", cluster=session.cluster, desiredStatus=status)
        if tail(arn).startswith(prefix)
    ]


def instances_like(session: Session, text: str) -> list[str]:
    """ARNs of the container instances whose id begins with this, or that are this EC2 instance."""
    listed = session.list_all("list_container_instances", "containerInstanceArns", cluster=session.cluster)
    if not text.startswith("i-"):
        return [arn for arn in listed if tail(arn).startswith(text)]
    instances = session.describe_instances(list(listed))
    return [one["containerInstanceArn"] for one in instances if one.get("ec2InstanceId", "").startswith(text)]


def only_one(noun: str, session: Session, text: str, found: list[str]) -> str:
    if not found:
        raise Fault(f"no {noun} in cluster {tail(session.cluster)} begins with {text!r}")
    if len(found) > 1:
        some = ", ".join(tail(arn)[: len(text) + SHORT] for arn in found[:SHOWN])
        more = ", …" if len(found) > SHOWN else ""
        raise Fault(f"{len(found)} {noun}s begin with {text!r} ({some}{more}): give more of the id")
    return found[0]
