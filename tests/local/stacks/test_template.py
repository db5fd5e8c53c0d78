"""What is wrong with a template whatever its parameters are, in CloudFormation's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.template import parse

QUEUE = {"Type": "AWS::SQS::Queue"}


def template(**sections: Any) -> str:
    return json.dumps({"Resources": {"Queue": QUEUE}} | sections)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"Foo": 1, "Bar": 2}, "Invalid template property or properties [Bar, Foo]"),
        ({"Resources": {}}, "Template format error: At least one Resources member must be defined."),
        (
            {"AWSTemplateFormatVersion": "2011-01-01"},
            "Template format error: [2010-09-09] is the only allowed value of AWSTemplateFormatVersion.",
        ),
        (
            {"Resources": {"Queue": {"Properties": {}}}},
            "Template format error: [/Resources/Queue] Every Resources object must contain a Type member.",
        ),
        ({"Resources": {"Queue": QUEUE | {"DependOn": "X"}}}, "Invalid template resource property 'DependOn'"),
        ({"Resources": {"My-Queue": QUEUE}}, "Template format error: Resource name My-Queue is non alphanumeric."),
        (
            {"Resources": {"Queue": QUEUE | {"DependsOn": ["Gone"]}}},
            "Template format error: Unresolved resource dependencies [Gone] in the Resources block of the template",
        ),
        (
            {"Resources": {"Queue": QUEUE | {"Properties": {"QueueName": {"Fn::Sub": "${Gone}-${!Kept}"}}}}},
            "Template format error: Unresolved resource dependencies [Gone] in the Resources block of the template",
        ),
        (
            {"Outputs": {"Url": {"Value": {"Ref": "Gone"}}}},
            "Template format error: Unresolved resource dependencies [Gone] in the Outputs block of the template",
        ),
        (
            {"Outputs": {"Url": {"Value": {"Fn::GetAtt": ["Gone", "Arn"]}}}},
            "Template error: instance of Fn::GetAtt references undefined resource Gone",
        ),
        (
            {"Resources": {"Queue": QUEUE | {"Condition": "None"}}},
            "Template format error: Unresolved condition dependency None",
        ),
        (
            {"Outputs": {"Url": {"Description": "x"}}},
            "Template format error: Every Outputs member must contain a Value object. [/Outputs/Url]",
        ),
        ({"Transform": "Unknown"}, "No transform named Unknown found."),
        (
            {"Resources": {"Queue": QUEUE | {"DeletionPolicy": "Keep"}}},
            "Template format error: Unrecognized DeletionPolicy Keep for resource Queue",
        ),
        (
            {"Resources": {"Queue": QUEUE | {"DeletionPolicy": "Snapshot"}}},
            "Template error: resource type AWS::SQS::Queue does not support DeletionPolicy Snapshot (Queue)",
        ),
    ],
)
def test_it_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(StackRefused) as refusal:
        parse(template(**sections))
    assert refusal.value.message == message
    assert refusal.value.error.code == "ValidationError"


@pytest.mark.parametrize(
    ("type", "properties", "capability"),
    [
        ("AWS::SQS::Queue", {}, ""),
        ("AWS::IAM::Role", {}, "CAPABILITY_IAM"),
        ("AWS::IAM::Role", {"RoleName": "me"}, "CAPABILITY_NAMED_IAM"),
    ],
)
def test_what_must_be_acknowledged_is_named(type: str, properties: dict[str, str], capability: str) -> None:
    parsed = parse(template(Resources={"Thing": {"Type": type, "Properties": properties}}))
    assert parsed.capabilities()[0] == capability
