"""The roles that a task has, by its definition and what overrides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TASK, EXECUTION = "TaskApplication", "TaskExecution"
"""What agents call the two."""
_MEMBERS = ((TASK, "taskRoleArn"), (EXECUTION, "executionRoleArn"))


def roles_of(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, str]:
    """TASK or EXECUTION → the role's ARN, of those that there are."""
    found = {kind: overrides.get(member) or document.get(member) for kind, member in _MEMBERS}
    return {kind: arn for kind, arn in found.items() if arn}
