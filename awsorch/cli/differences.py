"""What differs between two documents of ECS's shapes, in words: "containerDefinitions[web].image: shop:1 -> shop:2".

Lists whose items have a name are compared item by item, whatever their order; other lists as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NAMES: Mapping[str, tuple[str, ...]] = {
    "containerDefinitions": ("name",),
    "environment": ("name",),
    "environmentFiles": ("value",),
    "secrets": ("name",),
    "secretOptions": ("name",),
    "portMappings": ("containerPort", "containerPortRange", "protocol"),
    "mountPoints": ("containerPath",),
    "volumesFrom": ("sourceContainer",),
    "dependsOn": ("containerName", "condition"),
    "ulimits": ("name",),
    "systemControls": ("namespace",),
    "extraHosts": ("hostname",),
    "resourceRequirements": ("type",),
    "tmpfs": ("containerPath",),
    "devices": ("hostPath", "containerPath"),
    "volumes": ("name",),
    "volumeConfigurations": ("name",),
    "tags": ("key",),
    "loadBalancers": ("targetGroupArn", "loadBalancerName", "containerName", "containerPort"),
    "serviceRegistries": ("registryArn",),
    "placementConstraints": ("type", "expression"),
    "capacityProviderStrategy": ("capacityProvider",),
}
"""The members that together name an item of a list."""
SETS = ("requiresCompatibilities", "subnets", "securityGroups", "add", "drop", "alarmNames")
"""Lists of strings whose order means nothing."""
ABSENT: Any = object()


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """What is other in ``after``, a line each; nothing when they are the same."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{path}.{name}" if path else name
            yield from differences(before.get(name, ABSENT), after.get(name, ABSENT), inner)
        return
    member = path.rpartition(".")[2]
    if member in NAMES:
        left, right = by_name(member, before), by_name(member, after)
        if left is not None and right is not None:
            for key in [*left, *(key for key in right if key not in left)]:
                yield from differences(left.get(key, ABSENT), right.get(key, ABSENT), f"{path}[{key}]")
            return
    if member in SETS:
        before, after = in_order(before), in_order(after)
    if before != after:
        yield say_difference(path, before, after)


def by_name(member: str, items: Any) -> dict[str, Any] | None:
    """The items of a list by name, without the name; None where names are missing or not unique."""
    if items is ABSENT:
        return {}
    if not isinstance(items, Sequence) or not all(isinstance(item, Mapping) for item in items):
        return None
    names = NAMES[member]
    found: dict[str, Any] = {}
    for item in items:
        key = " ".join(str(item[name]) for name in names if name in item)
        if not key or key in found:
            return None
        rest = {name: value for name, value in item.items() if name not in names}
        found[key] = rest["value"] if list(rest) == ["value"] else rest
    return found


def in_order(items: Any) -> Any:
    return sorted(items) if isinstance(items, list) else items


def say_difference(path: str, before: Any, after: Any) -> str:
    if before is ABSENT:
        return f"{path}: added{said(after)}"
    if after is ABSENT:
        return f"{path}: removed{said(before)}"
    return f"{path}: {say_value(before)} -> {say_value(after)}"


def said(value: Any) -> str:
    """` <value>`, and nothing for an item that is all in its name."""
    return "" if value == {} else f" {say_value(value)}"


def say_value(value: Any) -> str:
    """A value on one line: strings that look like one bare, everything else as JSON."""
    if isinstance(value, str) and value and value == value.strip() and value.isprintable():
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
