"""Stack policies: which resources updates may change, replace or delete.

Source: AWS CloudFormation user guide, "Prevent updates to stack resources" (syntax; once there is a policy, what no
statement allows is denied, and a denial outweighs).
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.records import Touch

MOST_BYTES = 16384
DELETE = "Update:Delete"
ACTION_OF = {Touch.UPDATE: "Update:Modify", Touch.REPLACE: "Update:Replace"}
_ACTIONS = ("Update:Modify", "Update:Replace", DELETE, "Update:*")
_MEMBERS = frozenset({"Action", "Condition", "Effect", "NotAction", "NotResource", "Principal", "Resource", "Sid"})
_OPERATORS = ("StringEquals", "StringLike")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement; `types` are patterns of resource types, none for all."""

    is_allow: bool
    actions: tuple[str, ...]
    but_actions: bool
    resources: tuple[str, ...]
    but_resources: bool
    types: tuple[str, ...]

    def concerns(self, action: str, name: str, type: str) -> bool:
        """Whether it says something of an action on a resource."""
        acts = any(fnmatch.fnmatchcase(action, each) for each in self.actions) is not self.but_actions
        named = f"LogicalResourceId/{name}"
        there = any(fnmatch.fnmatchcase(named, each) for each in self.resources) is not self.but_resources
        return acts and there and (not self.types or any(fnmatch.fnmatchcase(type, each) for each in self.types))


def denied(policy: str, action: str, name: str, type: str) -> str:
    """Why a policy ("" for none) denies an action on a resource; "" where it allows it. Raises StackRefused."""
    if not policy:
        return ""
    statements = read_policy(policy)
    for number, each in enumerate(statements, 1):
        if not each.is_allow and each.concerns(action, name, type):
            actions = ", ".join(each.actions) if not each.but_actions else action
            return (
                f"Action denied by stack policy: Statement [#{number}] does not allow [{actions}] for resource "
                f"[LogicalResourceId/{name}]"
            )
    if any(each.is_allow and each.concerns(action, name, type) for each in statements):
        return ""
    return f"Action denied by stack policy: no statement allows [{action}] for resource [LogicalResourceId/{name}]"


def read_policy(text: str) -> list[Statement]:
    """The statements of a policy. Raises StackRefused."""
    if len(text.encode()) > MOST_BYTES:
        raise _wrong(f"it may have at most {MOST_BYTES} bytes")
    try:
        policy = json.loads(text)
    except ValueError as error:
        raise _wrong(f"it is not valid JSON: {error}") from None
    statements = policy.get("Statement") if isinstance(policy, Mapping) else None
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _wrong("it must be an object with a list of statements, Statement")
    return [_statement(number, each) for number, each in enumerate(statements, 1)]


def _statement(number: int, said: Any) -> Statement:
    where = f"statement #{number}"
    if not isinstance(said, Mapping):
        raise _wrong(f"{where} must be an object")
    unknown = sorted(said.keys() - _MEMBERS)
    if unknown:
        raise _wrong(f"{where} has an unknown member {unknown[0]}")
    if said.get("Effect") not in ("Allow", "Deny"):
        raise _wrong(f"Effect of {where} must be Allow or Deny")
    if said.get("Principal") not in ("*", {"AWS": "*"}):
        raise _wrong(f"Principal of {where} must be *")
    actions, but_actions = _one_of(where, said, "Action", "NotAction")
    for action in actions:
        if action not in _ACTIONS:
            raise _wrong(f"{action} of {where} is none of {', '.join(_ACTIONS)}")
    resources, but_resources = _one_of(where, said, "Resource", "NotResource")
    for resource in resources:
        if resource != "*" and not resource.startswith("LogicalResourceId/"):
            raise _wrong(f"{resource} of {where} must be * or LogicalResourceId/ and a logical id")
    return Statement(
        is_allow=said["Effect"] == "Allow",
        actions=actions,
        but_actions=but_actions,
        resources=resources,
        but_resources=but_resources,
        types=_types(where, said.get("Condition") or {}),
    )


def _one_of(where: str, said: Mapping[str, Any], name: str, other: str) -> tuple[tuple[str, ...], bool]:
    if (name in said) is (other in said):
        raise _wrong(f"{where} must have either {name} or {other}")
    value = said.get(name, said.get(other))
    values = tuple(map(str, value if isinstance(value, list) else [value]))
    return values, other in said


def _types(where: str, condition: Any) -> tuple[str, ...]:
    found: list[str] = []
    for operator, keys in condition.items() if isinstance(condition, Mapping) else [("", None)]:
        if operator not in _OPERATORS or not isinstance(keys, Mapping) or set(keys) != {"ResourceType"}:
            raise _wrong(f"Condition of {where} must be {' or '.join(_OPERATORS)} of ResourceType")
        value = keys["ResourceType"]
        found += map(str, value if isinstance(value, list) else [value])
    return tuple(found)


def _wrong(why: str) -> StackRefused:
    return StackRefused(f"Error validating stack policy: {why}")
