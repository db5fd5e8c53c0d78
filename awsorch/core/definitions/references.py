"""How a caller names a task definition: family, family:revision or ARN. Knows no revisions.

Source: ECS API reference, DescribeTaskDefinition ``taskDefinition``; developer guide, "Amazon Resource Names".
"""

from __future__ import annotations

from dataclasses import dataclass

from awsorch.core.arn import Scope, parse_arn, require_here
from awsorch.core.definitions.checks.names import is_name
from awsorch.core.errors import invalid_parameter

INVALID = "The specified task definition identifier is invalid. Specify a valid name or ARN and try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A named task definition. ``revision`` None means the newest ACTIVE one."""

    family: str
    revision: int | None = None

    @property
    def key(self) -> str | None:
        """The key of the record that it names, or None where it names none by itself."""
        return None if self.revision is None else f"{self.family}:{self.revision}"


def parse_reference(text: str, scope: Scope) -> Reference:
    """What ``text`` names. Raises InvalidParameterException for what can name nothing here."""
    if text.startswith("arn:"):
        arn = parse_arn(text)
        if arn is None or arn.kind != "task-definition" or len(arn.path) != 1:
            raise invalid_parameter(INVALID)
        require_here(arn, scope)
        text = arn.path[0]
    family, colon, revision = text.partition(":")
    if not is_name(family):
        raise invalid_parameter(INVALID)
    return Reference(family=family, revision=_revision(revision) if colon else None)


def _revision(text: str) -> int:
    """The number of a revision; one that is too large to exist is a number all the same."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) > 0):
        raise invalid_parameter(f"Invalid revision number. Number: {text}")
    return int(text)
