"""A fresh served API for each test, and words for what most of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.obedience import ObedientAgents
from tests.support.served import ServedApi, served_api


@pytest.fixture
def api() -> Iterator[ServedApi]:
    """A served API with a memory store."""
    with served_api() as api:
        yield api


@pytest.fixture
def ecs(api: ServedApi) -> Any:
    """A boto3 client of it, with cluster "default" made."""
    api.ecs.create_cluster(clusterName="default")
    return api.ecs


@pytest.fixture
def register_instance(api: ServedApi, ecs: Any) -> Callable[..., str]:
    """Registers a container instance and connects its agent; answers its ARN."""

    def register(cpu: int = 2048, memory: int = 3800, **more: Any) -> str:
        attributes = more.pop("attributes", [])
        known = ("docker-remote-api.1.18", "docker-remote-api.1.19", "logging-driver.json-file", "task-iam-role")
        attributes += [{"name": f"com.amazonaws.ecs.capability.{name}"} for name in known]
        answer = ecs.register_container_instance(
            totalResources=[
                {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "51678"]},
                {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
            ],
            attributes=[{"name": "ecs.os-type", "value": "linux"}, *attributes],
            **more,
        )
        arn: str = answer["containerInstance"]["containerInstanceArn"]
        api.connect(arn)
        return arn

    return register


@pytest.fixture
def web_task(ecs: Any) -> str:
    """ARN of a small registered task definition."""
    answer = ecs.register_task_definition(
        family="web",
        containerDefinitions=[{"name": "app", "image": "busybox", "cpu": 256, "memory": 128}],
        tags=[{"key": "team", "value": "a"}],
    )
    arn: str = answer["taskDefinition"]["taskDefinitionArn"]
    return arn


@pytest.fixture
def agents(api: ServedApi, ecs: Any, register_instance: Callable[..., str]) -> ObedientAgents:
    """Obedient agents on two instances."""
    obedient = ObedientAgents(api)
    register_instance()
    register_instance()
    return obedient


@pytest.fixture
def second_web(ecs: Any, web_task: str) -> str:
    """ARN of a second revision of "web", with an image of its own."""
    answer = ecs.register_task_definition(
        family="web", containerDefinitions=[{"name": "app", "image": "busybox:2", "cpu": 64, "memory": 64}]
    )
    arn: str = answer["taskDefinition"]["taskDefinitionArn"]
    return arn
