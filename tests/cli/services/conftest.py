"""The command line against the real API and controller, served on a thread, with agents that obey at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.obedience import ObedientAgents
from tests.support.served import ServedApi, served_api

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def api() -> Iterator[ServedApi]:
    with served_api() as api:
        yield api


@pytest.fixture
def endpoint(api: ServedApi, clean: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Takes the place of the fake's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
    monkeypatch.setattr("awsorch.cli.watch.LOOK_SECONDS", 0.01)
    return api.url


@pytest.fixture
def ecs(api: ServedApi) -> Any:
    """A boto3 client, with cluster "default" made."""
    api.ecs.create_cluster(clusterName="default")
    return api.ecs


@pytest.fixture(autouse=True)
def agents(api: ServedApi, ecs: Any) -> ObedientAgents:
    """The agents of two instances."""
    obedient = ObedientAgents(api)
    capabilities = ("docker-remote-api.1.18", "docker-remote-api.1.19", "logging-driver.json-file", "task-iam-role")
    for _ in range(2):
        answer = ecs.register_container_instance(
            totalResources=[
                {"name": "CPU", "type": "INTEGER", "integerValue": 4096},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 4096},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
                {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
            ],
            attributes=[
                {"name": "ecs.os-type", "value": "linux"},
                *({"name": f"com.amazonaws.ecs.capability.{name}"} for name in capabilities),
            ],
        )
        api.connect(answer["containerInstance"]["containerInstanceArn"])
    return obedient


@pytest.fixture
def define(ecs: Any) -> Callable[..., str]:
    """Registers a task definition of one container, "app"; answers family:revision."""

    def register(family: str = "web", image: str = "shop:1", **members: Any) -> str:
        container = {"name": "app", "image": image, "cpu": 64, "memory": 64} | members
        definition = ecs.register_task_definition(family=family, containerDefinitions=[container])["taskDefinition"]
        return f"{definition['family']}:{definition['revision']}"

    return register


@pytest.fixture
def make(ecs: Any, define: Callable[..., str]) -> Make:
    """Makes a service of 3 tasks, of web:1 unless said, and waits until it is stable."""

    def create(name: str = "web", **members: Any) -> dict[str, Any]:
        if "taskDefinition" not in members:
            members["taskDefinition"] = define()
        made = ecs.create_service(serviceName=name, **({"desiredCount": 3} | members))["service"]
        ecs.get_waiter("services_stable").wait(services=[name], WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
        return dict(made)

    return create


@pytest.fixture
def service(ecs: Any) -> Callable[..., dict[str, Any]]:
    """The service as it is."""

    def describe(name: str = "web") -> dict[str, Any]:
        return dict(ecs.describe_services(services=[name], include=["TAGS"])["services"][0])

    return describe
