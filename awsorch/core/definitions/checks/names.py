"""What a name may look like. Source: RegisterTaskDefinition, family, container and volume names."""

from __future__ import annotations

import re

MAX_NAME = 255
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def is_name(text: str) -> bool:
    """Whether the text holds only letters, digits, underscores and hyphens, and at least one of them."""
    return _NAME.fullmatch(text) is not None
