"""Reading a task definition document: the few questions that many rules ask of it.

A document is a RegisterTaskDefinition request in ECS's JSON shape. Nothing here refuses or changes anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]

_ECR_IMAGE = re.compile(r"[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)/.+")


def containers_of(document: Document) -> list[Document]:
    """The container definitions, in order."""
    return list(document.get("containerDefinitions") or ())


def volumes_of(document: Document) -> list[Document]:
    """The volumes, in order."""
    return list(document.get("volumes") or ())


def network_mode_of(document: Document) -> str:
    """The network mode that applies: bridge where none is given (developer guide, networkMode)."""
    return str(document.get("networkMode") or "bridge")


def name_of(container: Document) -> str:
    """The container's name."""
    return str(container.get("name", ""))


def is_windows(document: Document) -> bool:
    """Whether runtimePlatform names a Windows family."""
    platform = document.get("runtimePlatform") or {}
    return str(platform.get("operatingSystemFamily", "LINUX")).startswith("WINDOWS")


def is_ecr_image(container: Document) -> bool:
    """Whether the image comes from Amazon ECR."""
    return _ECR_IMAGE.fullmatch(str(container.get("image", ""))) is not None


def is_secrets_manager(value_from: str) -> bool:
    """Whether a secret's valueFrom names Secrets Manager; otherwise it is an SSM parameter, by ARN or name."""
    return value_from.split(":")[2:3] == ["secretsmanager"]


def secret_sources(containers: list[Document]) -> Iterator[str]:
    """Every valueFrom of the containers' secrets."""
    for container in containers:
        yield from (secret.get("valueFrom", "") for secret in container.get("secrets", ()))


def log_secret_sources(containers: list[Document]) -> Iterator[str]:
    """Every valueFrom of the containers' log configurations."""
    for container in containers:
        options = (container.get("logConfiguration") or {}).get("secretOptions", ())
        yield from (secret.get("valueFrom", "") for secret in options)
