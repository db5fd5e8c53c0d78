"""Every intrinsic function: what it makes, what it does with what is not known yet, and how it complains."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.intrinsics import UNKNOWN, Evaluation, Surroundings, has_unknown
from awsorch.local.stacks.template import parse

TEMPLATE = {
    "Parameters": {"Name": {"Type": "String"}, "List": {"Type": "CommaDelimitedList"}},
    "Mappings": {"Sizes": {"us-east-1": {"Small": "t3.small", "All": ["a", "b"]}}},
    "Conditions": {
        "Yes": {"Fn::Equals": ["1", 1]},
        "No": {"Fn::Not": [{"Condition": "Yes"}]},
        "Both": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Or": [{"Condition": "No"}, {"Condition": "Yes"}]}]},
        "Named": {"Fn::Equals": [{"Ref": "Name"}, "web"]},
    },
    "Resources": {"Vpc": {"Type": "AWS::EC2::VPC"}, "New": {"Type": "AWS::EC2::VPC"}},
}


class Deployed:
    """Vpc is there, New is not."""

    def ref(self, logical_id: str) -> Any:
        return "vpc-1" if logical_id == "Vpc" else UNKNOWN

    def attribute(self, logical_id: str, name: str) -> Any:
        return {"CidrBlock": "10.0.0.0/16", "Outputs.Url": "http://x"}[name] if logical_id == "Vpc" else UNKNOWN


def evaluation() -> Evaluation:
    around = Surroundings(
        parameters={"Name": "web", "List": ["x", "y"]},
        pseudo={"AWS::Region": "us-east-1", "AWS::StackName": "shop", "AWS::AccountId": "123456789012"},
        zones=("us-east-1a", "us-east-1b"),
        exports={"net-vpc": "vpc-9"},
    )
    return Evaluation(parse(json.dumps(TEMPLATE)), around, Deployed())


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ({"Ref": "Name"}, "web"),
        ({"Ref": "List"}, ["x", "y"]),
        ({"Ref": "Vpc"}, "vpc-1"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
        ({"a": {"Ref": "AWS::NoValue"}, "b": 1}, {"b": 1}),
        ({"Fn::GetAtt": ["Vpc", "CidrBlock"]}, "10.0.0.0/16"),
        ({"Fn::GetAtt": "Vpc.CidrBlock"}, "10.0.0.0/16"),
        ({"Fn::GetAtt": ["Vpc", "Outputs.Url"]}, "http://x"),
        ({"Fn::Sub": "${AWS::StackName}-${Name}-${!Kept}-${Vpc.CidrBlock}"}, "shop-web-${Kept}-10.0.0.0/16"),
        ({"Fn::Sub": ["${A}${Name}", {"A": {"Ref": "Vpc"}}]}, "vpc-1web"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Name"}, 1]]}, "a-web-1"),
        ({"Fn::Join": [",", {"Ref": "List"}]}, "x,y"),
        ({"Fn::Split": ["/", "a/b/c"]}, ["a", "b", "c"]),
        ({"Fn::Select": ["1", {"Fn::Split": ["/", "a/b/c"]}]}, "b"),
        ({"Fn::If": ["Named", "yes", {"Ref": "AWS::NoValue"}]}, "yes"),
        ({"Fn::If": ["Both", 1, 2]}, 1),
        ({"Fn::If": ["No", 1, {"Fn::If": ["Yes", 3, 4]}]}, 3),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "Small"]}, "t3.small"),
        ({"Fn::FindInMap": ["Sizes", "eu-west-1", "Small", {"DefaultValue": "m"}]}, "m"),
        ({"Fn::Base64": {"Fn::Sub": "#!${Name}"}}, base64.b64encode(b"#!web").decode()),
        ({"Fn::Cidr": ["10.0.0.0/16", 3, 8]}, ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]),
        ({"Fn::Cidr": [{"Fn::GetAtt": ["Vpc", "CidrBlock"]}, "1", "12"]}, ["10.0.0.0/20"]),
        ({"Fn::GetAZs": ""}, ["us-east-1a", "us-east-1b"]),
        ({"Fn::GetAZs": {"Ref": "AWS::Region"}}, ["us-east-1a", "us-east-1b"]),
        ({"Fn::ImportValue": {"Fn::Sub": "net-vpc"}}, "vpc-9"),
        ({"Statement": [{"Condition": {"StringEquals": {"a": "b"}}}]}, None),
    ],
)
def test_what_functions_make(value: Any, made: Any) -> None:
    assert evaluation().evaluate(value) == (value if made is None else made)


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "New"},
        {"Fn::GetAtt": ["New", "CidrBlock"]},
        {"Fn::Sub": "x-${New}"},
        {"Fn::Join": ["-", ["a", {"Ref": "New"}]]},
        {"Fn::Select": [0, {"Fn::Cidr": [{"Fn::GetAtt": ["New", "CidrBlock"]}, 1, 8]}]},
        {"Fn::Base64": {"Ref": "New"}},
        {"Fn::Split": [",", {"Ref": "New"}]},
        {"Fn::ImportValue": {"Ref": "New"}},
    ],
)
def test_what_is_made_of_the_unknown_is_unknown(value: Any) -> None:
    assert evaluation().evaluate(value) is UNKNOWN
    assert has_unknown(evaluation().evaluate({"a": [value]}))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"Ref": "Gone"}, r"Unresolved resource dependencies \[Gone\]"),
        ({"Fn::FindInMap": ["Sizes", "eu-west-1", "Small"]}, "Unable to get mapping for Sizes::eu-west-1::Small"),
        ({"Fn::Select": [3, ["a"]]}, "cannot select nonexistent value at index 3"),
        ({"Fn::Select": ["x", ["a"]]}, "Fn::Select requires a list argument with two elements"),
        ({"Fn::Join": ["a"]}, "every Fn::Join object requires two parameters"),
        ({"Fn::Join": [",", [{"a": 1}]]}, "every Fn::Join object requires two parameters"),
        ({"Fn::Split": ["a"]}, "every Fn::Split object requires two parameters"),
        ({"Fn::Sub": {"a": 1}}, "Fn::Sub intrinsic functions don't specify expected arguments"),
        ({"Fn::GetAtt": "Vpc"}, "every Fn::GetAtt object requires two non-empty parameters"),
        ({"Fn::If": ["Yes"]}, "Fn::If requires a list argument with three elements"),
        ({"Fn::If": ["Gone", 1, 2]}, "Unresolved condition dependency Gone"),
        ({"Fn::Cidr": ["10.0.0.0/30", 9, 8]}, "Fn::Cidr can't divide"),
        ({"Fn::Cidr": "x"}, "Fn::Cidr can't divide"),
        ({"Fn::ImportValue": "gone"}, "No export named gone found."),
        ({"Fn::Base64": ["a"]}, "every Fn::Base64 object must have a String-typed value"),
        ({"Fn::Rain": "x"}, "the function Fn::Rain is not supported"),
    ],
)
def test_what_is_wrong_is_said(value: Any, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        evaluation().evaluate(value)


def test_conditions_in_a_circle_are_refused() -> None:
    text = json.dumps({**TEMPLATE, "Conditions": {"A": {"Fn::Not": [{"Condition": "A"}]}}})
    around = Surroundings(parameters={"Name": "web", "List": []}, pseudo={})
    with pytest.raises(TemplateError, match="Circular dependency between conditions"):
        Evaluation(parse(text), around, Deployed()).holds("A")
