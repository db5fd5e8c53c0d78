"""Which roles templates may give to tasks and services.

CloudFormation's request does not say who deploys, so iam:PassRole of that person can't be asked; patterns take its
place. Without any, roles of the stack's own account may be given.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any


def refused_role(model: Mapping[str, Any], account: str, partition: str, patterns: tuple[str, ...]) -> str | None:
    """The first role in a resource's properties that may not be given, by its ARN; None where all may."""
    allowed = patterns or (f"arn:{partition}:iam::{account}:*",)
    for named in _roles(model):
        arn = named if named.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{named}"
        if not any(fnmatch.fnmatchcase(arn, pattern) for pattern in allowed):
            return arn
    return None


def _roles(value: Any) -> Iterator[str]:
    """The values of all properties that name a role, in whatever capitals: so lenient are ECS's shapes, too."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            name = str(key).lower()
            if isinstance(each, str) and each and (name == "role" or name.endswith(("rolearn", "instanceprofilearn"))):
                yield each
            else:
                yield from _roles(each)
    elif isinstance(value, list):
        for each in value:
            yield from _roles(each)
