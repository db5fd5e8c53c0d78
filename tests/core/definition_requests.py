"""RegisterTaskDefinition requests with all that does not matter filled in, and the two questions tests ask of them."""

from __future__ import annotations

from typing import Any

import pytest

from awsorch.core.definitions.register import prepare
from awsorch.core.errors import Refusal

REGION, ACCOUNT = "us-east-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"


Request = dict[str, Any]


def a_container(name: str = "app", **members: Any) -> Request:
    """A container that is valid by itself; members that are None are left out."""
    container = {"name": name, "image": "busybox", "memory": 64, **members}
    return {member: value for member, value in container.items() if value is not None}


def a_request(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A request with these containers, or with one."""
    return {"family": "web", "containerDefinitions": list(containers) or [a_container()], **members}


def with_container(**members: Any) -> Request:
    """A request with one container that has these members."""
    return a_request(a_container(**members))


def with_two(first: dict[str, Any], second: dict[str, Any], **members: Any) -> Request:
    """A request with the containers "a" and "b"."""
    return a_request(a_container("a", **first), a_container("b", **second), **members)


def setting(text: str) -> str:
    """ECS's complaint about a setting of the container "app"."""
    return f"Invalid setting for container 'app'. {text}"


def fargate(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A request that Fargate takes as long as its containers are as it likes them."""
    sizes = {"cpu": "256", "memory": "512", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]}
    return a_request(*containers, **{**sizes, **members})


def register(request: dict[str, Any]) -> dict[str, Any]:
    """The stored document."""
    return prepare(request, region=REGION, account=ACCOUNT)


def refused(request: dict[str, Any]) -> str:
    """The message with which the request is refused; it must be a ClientException."""
    with pytest.raises(Refusal) as caught:
        register(request)
    assert caught.value.code == "ClientException"
    return caught.value.message
