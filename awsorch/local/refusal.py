"""What the local cloud says when it will not do what it was asked for."""

from __future__ import annotations


class Refused(Exception):
    """The caller's fault: an error code, EC2's where EC2 has one, and what would be right."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
