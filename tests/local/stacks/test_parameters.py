"""Parameters: values, types, constraints, and the words for what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.parameters import Given, settle, shown, ssm_names, typed
from awsorch.local.stacks.template import Template, parse


def declaring(**parameters: dict[str, Any]) -> Template:
    return parse(json.dumps({"Parameters": parameters, "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}))


def test_given_values_defaults_and_previous_ones() -> None:
    template = declaring(
        A={"Type": "String"},
        B={"Type": "Number", "Default": 3},
        C={"Type": "CommaDelimitedList", "Default": "a, b"},
        D={"Type": "String"},
    )
    given = {"A": Given(value="x"), "D": Given(use_previous=True)}
    values = settle(template, given, {"D": "before", "A": "unused"})
    assert values == {"A": "x", "B": "3", "C": "a, b", "D": "before"}
    assert typed(template, values, {}) == {"A": "x", "B": "3", "C": ["a", "b"], "D": "before"}


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        ({"Type": "Number"}, "many", "Parameter 'A' must be a number."),
        ({"Type": "Number", "MinValue": 2}, "1", "Parameter 'A' must be a number not less than 2"),
        ({"Type": "Number", "MaxValue": 2}, "3", "Parameter 'A' must be a number not greater than 2"),
        ({"Type": "String", "MinLength": 2}, "x", "Parameter 'A' must contain at least 2 characters"),
        ({"Type": "String", "MaxLength": 2}, "xyz", "Parameter 'A' must contain at most 2 characters"),
        ({"Type": "String", "AllowedPattern": "[a-z]*"}, "A", "Parameter 'A' must match pattern [a-z]*"),
        (
            {"Type": "String", "AllowedPattern": "[a-z]*", "ConstraintDescription": "small letters"},
            "A",
            "Parameter 'A' failed to satisfy constraint: small letters",
        ),
        (
            {"Type": "String", "AllowedValues": ["a", "b"]},
            "c",
            "Parameter 'A' must be one of AllowedValues [a, b]",
        ),
        ({"Type": "List<Number>"}, "1,x", "Parameter 'A' must be a number."),
    ],
)
def test_constraints(declared: dict[str, Any], value: str, message: str) -> None:
    with pytest.raises(StackRefused) as refusal:
        settle(declaring(A=declared), {"A": Given(value=value)}, {})
    assert refusal.value.message == message


def test_unknown_and_missing_ones_are_named() -> None:
    template = declaring(A={"Type": "String"}, B={"Type": "String"})
    with pytest.raises(StackRefused, match=r"Parameters: \[X\] do not exist in the template"):
        settle(template, {"X": Given(value="1")}, {})
    with pytest.raises(StackRefused, match=r"Parameters: \[A, B\] must have values"):
        settle(template, {}, {})


def test_ssm_types_stand_for_what_ssm_has() -> None:
    template = declaring(
        Image={"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/ami"},
        Zones={"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/zones"},
    )
    values = settle(template, {}, {})
    assert ssm_names(template, values) == {"Image": "/ami", "Zones": "/zones"}
    resolved = {"Image": "ami-1", "Zones": "a,b"}
    assert typed(template, values, resolved) == {"Image": "ami-1", "Zones": ["a", "b"]}
    assert shown(template, values, resolved)[0] == {
        "ParameterKey": "Image",
        "ParameterValue": "/ami",
        "ResolvedValue": "ami-1",
    }


def test_secrets_are_not_shown() -> None:
    template = declaring(A={"Type": "String", "NoEcho": "true"})
    assert shown(template, {"A": "hush"}, {}) == [{"ParameterKey": "A", "ParameterValue": "****"}]
