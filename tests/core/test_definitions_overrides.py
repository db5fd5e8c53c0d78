"""How task definitions are named, and what RunTask may override of them."""

from __future__ import annotations

from typing import Any

import pytest

from awsorch.core.arn import Scope
from awsorch.core.definitions.overrides import environment_of, prepare_overrides
from awsorch.core.definitions.references import INVALID, Reference, parse_reference
from awsorch.core.errors import Refusal
from tests.core.definition_requests import ACCOUNT, REGION, ROLE, a_container, a_request, register

SCOPE = Scope(region=REGION, account=ACCOUNT)
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("web", Reference(family="web")),
        ("web:12", Reference(family="web", revision=12)),
        (f"{ARN}/web:12", Reference(family="web", revision=12)),
        (f"{ARN}/web", Reference(family="web")),
    ],
)
def test_names_of_task_definitions(text: str, reference: Reference) -> None:
    assert parse_reference(text, SCOPE) == reference


def test_only_a_revision_has_a_key() -> None:
    assert parse_reference("web:12", SCOPE).key == "web:12"
    assert parse_reference("web", SCOPE).key is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", INVALID),
        (":1", INVALID),
        ("we b", INVALID),
        ("arn:aws:ecs:x", INVALID),
        (f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/web", INVALID),
        (f"{ARN}/a/b", INVALID),
        (f"arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/web:1", "Invalid Region in ARN"),
        (
            f"arn:aws:ecs:{REGION}:999999999999:task-definition/web:1",
            f"Identifier is for 999999999999. Your accountId is {ACCOUNT}",
        ),
        ("web:", "Invalid revision number. Number: "),
        ("web:-1", "Invalid revision number. Number: -1"),
        ("web:0", "Invalid revision number. Number: 0"),
        ("web:1:2", "Invalid revision number. Number: 1:2"),
        ("web:²", "Invalid revision number. Number: ²"),
        ("web:" + "9" * 5000, "Invalid revision number. Number: " + "9" * 5000),
    ],
)
def test_texts_that_name_nothing(text: str, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_reference(text, SCOPE)
    assert (caught.value.code, caught.value.message) == ("InvalidParameterException", message)


ENVIRONMENT = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
DEFINITION = register(
    a_request(
        a_container("app", environment=ENVIRONMENT, secrets=[{"name": "S", "valueFrom": "s"}]),
        a_container("log", memory=None, memoryReservation=32),
        executionRoleArn=ROLE,
        cpu="512",
        memory="256",
    )
)


def prepared(overrides: dict[str, Any]) -> dict[str, Any]:
    return prepare_overrides(DEFINITION, overrides, region=REGION, account=ACCOUNT)


def of_app(**members: Any) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "app", **members}]}


def test_every_container_is_echoed() -> None:
    assert prepared({}) == {
        "containerOverrides": [{"name": "app"}, {"name": "log"}],
        "inferenceAcceleratorOverrides": [],
    }
    override = {"name": "log", "command": ["a"], "cpu": 1}
    assert prepared({"containerOverrides": [override]})["containerOverrides"] == [{"name": "app"}, override]


def test_task_members_get_their_normal_form() -> None:
    made = prepared({"cpu": "1 vCPU", "memory": "1GB", "taskRoleArn": "worker", "executionRoleArn": ROLE})
    assert {member: made[member] for member in ("cpu", "memory", "taskRoleArn", "executionRoleArn")} == {
        "cpu": "1024",
        "memory": "1024",
        "taskRoleArn": ROLE,
        "executionRoleArn": ROLE,
    }


def test_an_empty_command_overrides_nothing() -> None:
    assert prepared(of_app(command=[]))["containerOverrides"][0] == {"name": "app"}


def test_environment_is_merged_by_name() -> None:
    container = DEFINITION["containerDefinitions"][0]
    override = {"environment": [{"name": "B", "value": "3"}, {"name": "C"}, {"name": "C", "value": "4"}]}
    assert environment_of(container, override) == {"A": "1", "B": "3", "C": "4"}
    assert environment_of(container, {}) == {"A": "1", "B": "2"}


IPE, CE = "InvalidParameterException", "ClientException"
SETTING = "Invalid setting for container 'app'."


@pytest.mark.parametrize(
    ("good", "bad", "code", "text"),
    [
        (
            of_app(),
            {"containerOverrides": [{"name": "web"}]},
            IPE,
            "Override for container named web is not a container in the TaskDefinition.",
        ),
        (
            {"containerOverrides": [{"name": "app"}, {"name": "log"}]},
            {"containerOverrides": [{"name": "app"}, {"name": "app"}]},
            IPE,
            "Override for container named app is given more than once.",
        ),
        (
            of_app(command=["x" * 8100]),
            of_app(command=["x" * 8192]),
            IPE,
            "Container Overrides length must be at most 8192",
        ),
        (
            of_app(memory=224),
            of_app(memory=257),
            CE,
            "The 'memory' setting for container 'app' is greater than for the task.",
        ),
        (
            {"memory": "512", **of_app(memory=257)},
            of_app(memory=225),
            CE,
            "The sum of the 'memory' settings of the containers (257) is greater than the 'memory' setting of the task "
            "(256).",
        ),
        (
            of_app(memoryReservation=64),
            of_app(memoryReservation=65),
            CE,
            f"{SETTING} 'memory' must be greater than or equal to 'memoryReservation'.",
        ),
        (of_app(cpu=512), of_app(cpu=-1), CE, f"{SETTING} 'cpu' must be from 0 to 196608 CPU units."),
        (
            of_app(environment=[{"name": "A", "value": "x"}]),
            of_app(environment=[{"name": "S", "value": "x"}]),
            CE,
            "The secret name must be unique and not shared with any new or existing environment variables set on the "
            "container, such as 'S'.",
        ),
        (
            of_app(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]),
            of_app(environmentFiles=[{"type": "s3", "value": "a.env"}]),
            CE,
            "Invalid arn syntax",
        ),
        (
            of_app(resourceRequirements=[{"type": "GPU", "value": "1"}]),
            of_app(resourceRequirements=[{"type": "GPU", "value": "one"}]),
            CE,
            f"{SETTING} The value of a GPU resource requirement must be a whole number or 'ALL'.",
        ),
        (
            {"ephemeralStorage": {"sizeInGiB": 200}},
            {"ephemeralStorage": {"sizeInGiB": 201}},
            CE,
            "Ephemeral storage size must be from 21 to 200 GiB.",
        ),
        ({"taskRoleArn": ROLE}, {"taskRoleArn": "arn:x"}, CE, "Role is not valid"),
        (
            {"inferenceAcceleratorOverrides": []},
            {"inferenceAcceleratorOverrides": [{"deviceName": "d"}]},
            CE,
            "Unsupported field 'inferenceAccelerators'",
        ),
    ],
)
def test_rule(good: dict[str, Any], bad: dict[str, Any], code: str, text: str) -> None:
    prepared(good)
    with pytest.raises(Refusal) as caught:
        prepared(bad)
    assert (caught.value.code, caught.value.message) == (code, text)
