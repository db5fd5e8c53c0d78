"""Refusals: what the caller asked for cannot be done, in ECS's own code and words."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """The caller's fault. The transaction that raised it is undone and nothing is stored.

    ``code`` is the ECS exception name ("InvalidParameterException"), ``message`` its text and ``extra`` further
    members of the error body (ConflictException has ``resourceIds``). Source: ECS API reference, Common Errors.
    """

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.extra = extra


def invalid_parameter(message: str) -> Refusal:
    """InvalidParameterException with this text."""
    return Refusal("InvalidParameterException", message)


def client_error(message: str) -> Refusal:
    """ClientException with this text."""
    return Refusal("ClientException", message)


def cluster_not_found() -> Refusal:
    """ClusterNotFoundException as every operation gives it for an unknown cluster."""
    return Refusal("ClusterNotFoundException", "Cluster not found.")


def unsupported(message: str) -> Refusal:
    """UnsupportedFeatureException with this text."""
    return Refusal("UnsupportedFeatureException", message)
