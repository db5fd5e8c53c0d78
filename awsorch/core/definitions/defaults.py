"""What ECS adds to a task definition when it is registered. Adds and normalises; judges only sizes and role names.

Applying it twice is the same as once. Source: RegisterTaskDefinition responses (API reference).
"""

from __future__ import annotations

import re
from typing import Any

from awsorch.core.definitions.document import Document, network_mode_of
from awsorch.core.definitions.sizes import normalise_cpu, normalise_memory
from awsorch.core.errors import client_error

_EMPTY_LISTS = ("environment", "mountPoints", "portMappings", "volumesFrom", "systemControls")
_HEALTH_CHECK = {"interval": 30, "timeout": 5, "retries": 3}
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


def with_defaults(request: Document, *, region: str, account: str) -> dict[str, Any]:
    """A new document with every default filled in. Raises ClientException for a cpu, memory or role it can't read."""
    document: dict[str, Any] = dict(request)
    document["containerDefinitions"] = [
        _container(container, network_mode_of(request)) for container in request.get("containerDefinitions") or ()
    ]
    document["volumes"] = [dict(volume) for volume in request.get("volumes") or ()]
    document["placementConstraints"] = [dict(item) for item in request.get("placementConstraints") or ()]
    if request.get("cpu") is not None:
        document["cpu"] = normalise_cpu(request["cpu"])
    if request.get("memory") is not None:
        document["memory"] = normalise_memory(request["memory"])
    for role in ("taskRoleArn", "executionRoleArn"):
        if request.get(role):
            document[role] = role_arn(request[role], region=region, account=account)
        else:
            document.pop(role, None)
    return document


def role_arn(text: str, *, region: str, account: str) -> str:
    """The ARN of a role given by ARN or, as ECS allows, by its short name. Raises ClientException."""
    if _ROLE_ARN.fullmatch(text):
        return text
    if _ROLE_NAME.fullmatch(text):
        return f"arn:{partition_of(region)}:iam::{account}:role/{text}"
    raise client_error("Role is not valid")


def partition_of(region: str) -> str:
    """The AWS partition that a region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _container(given: Document, network_mode: str) -> dict[str, Any]:
    container: dict[str, Any] = {"cpu": 0, "essential": True, **given}
    for member in _EMPTY_LISTS:
        container[member] = list(given.get(member) or ())
    container["portMappings"] = [_port_mapping(item, network_mode) for item in container["portMappings"]]
    if "healthCheck" in given:
        container["healthCheck"] = _health_check(given["healthCheck"])
    if "logConfiguration" in given:
        container["logConfiguration"] = {"options": {}, "secretOptions": [], **given["logConfiguration"]}
    return container


def _port_mapping(given: Document, network_mode: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {"protocol": "tcp", **given}
    if "containerPort" in given and "containerPortRange" not in given:
        mapping.setdefault("hostPort", given["containerPort"] if network_mode in ("host", "awsvpc") else 0)
    return mapping


def _health_check(given: Document) -> dict[str, Any]:
    """A command that names neither CMD nor CMD-SHELL is run directly, as with CMD."""
    check = {**_HEALTH_CHECK, **given}
    command = list(given.get("command") or ())
    check["command"] = command if command[:1] in ([], ["CMD"], ["CMD-SHELL"]) else ["CMD", *command]
    return check
