"""Values of templates made to fit botocore's shapes."""

from __future__ import annotations

from typing import Any

import pytest

from awsorch.cfn.contract import Action, same
from awsorch.cfn.shapes import Unfit, fit, input_shape
from tests.cfn.calls import a_request

REGISTER = input_shape("ecs", "RegisterTaskDefinition")


def test_names_and_types_become_the_apis() -> None:
    template = {
        "Cpu": 256,
        "ContainerDefinitions": [
            {
                "Name": "web",
                "Memory": "512",
                "Essential": "true",
                "Environment": [{"Name": "PORT", "Value": 80}, {"Name": "ON", "Value": True}],
                "DockerLabels": {"Com.Example": 1},
                "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-Group": "g"}},
            }
        ],
        "Volumes": [{"Name": "v", "EFSVolumeConfiguration": {"FilesystemId": "fs-1"}}],
    }
    assert fit(REGISTER, template) == {
        "cpu": "256",
        "containerDefinitions": [
            {
                "name": "web",
                "memory": 512,
                "essential": True,
                "environment": [{"name": "PORT", "value": "80"}, {"name": "ON", "value": "true"}],
                "dockerLabels": {"Com.Example": "1"},
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-Group": "g"}},
            }
        ],
        "volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Colour": "red"}, "#: extraneous key [Colour] is not permitted"),
        (
            {"ContainerDefinitions": [{"Name": "a", "Colour": "red"}]},
            "#/ContainerDefinitions/0: extraneous key [Colour] is not permitted",
        ),
        ({"ContainerDefinitions": {}}, "#/ContainerDefinitions: expected type: JSONArray, found: JSONObject"),
        (
            {"ContainerDefinitions": [{"Memory": "lots"}]},
            "#/ContainerDefinitions/0/Memory: expected type: Number, found: String",
        ),
        (
            {"ContainerDefinitions": [{"Essential": "maybe"}]},
            "#/ContainerDefinitions/0/Essential: expected type: Boolean, found: String",
        ),
        ({"ContainerDefinitions": ["x"]}, "#/ContainerDefinitions/0: expected type: JSONObject, found: String"),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(Unfit) as error:
        fit(REGISTER, value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("80", 80, True),
        (True, "true", True),
        (1.0, 1, True),
        ({"a": [1]}, {"a": ["1"]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [2, 1], False),
        (None, "", False),
        ([], None, False),
    ],
)
def test_numbers_as_text_are_no_change(one: Any, other: Any, are_same: bool) -> None:
    assert same(one, other) is are_same


def test_generated_names_fit_and_stay() -> None:
    request = a_request(Action.CREATE, "T", {}, stack_name="s" * 100, logical_id="l" * 100)
    assert request.name(32) == request.name(32)
    assert len(request.name(32)) == 32
    assert request.name(32).count("-") == 2
    assert request.name() != a_request(Action.CREATE, "T", {}, token="other").name()
    assert a_request(Action.CREATE, "T", {}).name()[:11] == "shop-Thing-"
