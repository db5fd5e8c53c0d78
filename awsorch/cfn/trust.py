"""Roles of tasks: who trusts ECS's service principal must trust the control plane's role too, which takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from awsorch.cfn.fragments import TransformError, texts_in

_SID = "AwsorchControlPlane"
_PRINCIPAL = "ecs-tasks.amazonaws.com"


def trusting(logical: str, resource: dict[str, Any], role: str | None) -> list[str]:
    """Adds the statement that lets `role` take this role, where tasks may; warnings. Raises TransformError.

    The first statement's conditions are not taken over: what they ask of the service (aws:SourceArn) a role has not.
    """
    properties = resource.get("Properties")
    document = properties.get("AssumeRolePolicyDocument") if isinstance(properties, dict) else None
    if not any(_PRINCIPAL in text for text in texts_in(document)):
        return []
    if role is None:
        return [f"Resource {logical}: tasks can't take this role: the control plane's role is not set."]
    if isinstance(document, str):
        document = _parsed(logical, document)
    if not isinstance(document, dict) or "Statement" not in document:
        raise TransformError(
            f"Resource {logical}: AssumeRolePolicyDocument has no Statement that can be seen before the template is "
            "evaluated. Write the document out, with functions only inside its statements."
        )
    stated = document["Statement"]
    statements = stated if isinstance(stated, list) else [stated]
    if any(_allows_tasks(each) for each in statements):
        rest = [each for each in statements if not (isinstance(each, Mapping) and each.get("Sid") == _SID)]
        document["Statement"] = [*rest, _statement(role)]
        resource["Properties"]["AssumeRolePolicyDocument"] = document
    return []


def _statement(role: str) -> dict[str, Any]:
    return {
        "Sid": _SID,
        "Effect": "Allow",
        "Principal": {"AWS": role},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }


def _allows_tasks(statement: Any) -> bool:
    denies = isinstance(statement, Mapping) and statement.get("Effect") == "Deny"
    return not denies and any(_PRINCIPAL in text for text in texts_in(statement))


def _parsed(logical: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise TransformError(f"Resource {logical}: AssumeRolePolicyDocument is text that is not JSON.") from None
