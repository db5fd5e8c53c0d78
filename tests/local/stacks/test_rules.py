"""Rules of templates: what is asserted of parameters before anything is begun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from awsorch.cfn.contract import CallRefused
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.parameters import Given, settle
from awsorch.local.stacks.rules import check_rules
from awsorch.local.stacks.template import parse

PARAMETERS = {
    "Environment": {"Type": "String", "Default": "prod"},
    "Type": {"Type": "String", "Default": "m5.large"},
    "Vpc": {"Type": "AWS::EC2::VPC::Id", "Default": "vpc-1"},
    "Subnets": {"Type": "List<AWS::EC2::Subnet::Id>", "Default": "subnet-1,subnet-2"},
    "Users": {"Type": "CommaDelimitedList", "Default": "ann,bob"},
}
SUBNETS = {
    "subnet-1": {"VpcId": "vpc-1", "Tags": [{"Key": "tier", "Value": "web"}]},
    "subnet-2": {"VpcId": "vpc-2", "Tags": []},
}
ENVIRONMENT = {"Ref": "Environment"}


class Ec2:
    """The subnets and VPCs that there are."""

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation == "DescribeVpcs":
            return {"Vpcs": [{"VpcId": id, "CidrBlock": "10.0.0.0/16"} for id in members["VpcIds"]]}
        missing = [id for id in members["SubnetIds"] if id not in SUBNETS]
        if missing:
            raise CallRefused(service=service, operation=operation, code="NotFound", message=f"no {missing[0]}")
        return {"Subnets": [{"SubnetId": id, **SUBNETS[id]} for id in members["SubnetIds"][::-1]]}


def check(*assertions: Any, condition: Any = None, **given: str) -> None:
    rule = {"Assertions": [{"Assert": each, "AssertDescription": "not so"} for each in assertions]}
    rule |= {"RuleCondition": condition} if condition is not None else {}
    check_sections({"Only": rule}, **given)


def check_sections(rules: Any, **given: str) -> None:
    resources = {"A": {"Type": "AWS::SQS::Queue"}}
    template = parse(json.dumps({"Parameters": PARAMETERS, "Rules": rules, "Resources": resources}))
    values = settle(template, {name: Given(value=value) for name, value in given.items()}, {})
    asyncio.run(check_rules(template, values, {}, {"AWS::Region": "us-east-1"}, Ec2()))


HOLDING = [
    {"Fn::Contains": [["dev", "prod"], ENVIRONMENT]},
    {"Fn::Contains": [{"Ref": "Users"}, "bob"]},
    {"Fn::Not": [{"Fn::Contains": [{"Ref": "Users"}, ""]}]},
    {"Fn::EachMemberIn": [{"Ref": "Users"}, ["ann", "bob", "carl"]]},
    {"Fn::EachMemberEquals": [["a", "a"], "a"]},
    {"Fn::EachMemberEquals": [{"Fn::ValueOf": ["Vpc", "CidrBlock"]}, "10.0.0.0/16"]},
    {"Fn::Equals": [{"Fn::RefAll": "AWS::EC2::Subnet::Id"}, ["subnet-1", "subnet-2"]]},
    {"Fn::Equals": [{"Fn::ValueOf": ["Subnets", "VpcId"]}, ["vpc-1", "vpc-2"]]},
    {"Fn::EachMemberIn": [{"Fn::ValueOfAll": ["AWS::EC2::Subnet::Id", "Tags.tier"]}, ["web", ""]]},
    {"Fn::And": [{"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]}, True]},
    {"Fn::Or": [False, {"Fn::Equals": [1, "1"]}]},
    {"Fn::If": [{"Fn::Equals": [ENVIRONMENT, "prod"]}, True, False]},
]


@pytest.mark.parametrize("assertion", HOLDING)
def test_what_holds_lets_the_stack_begin_and_its_contrary_does_not(assertion: Any) -> None:
    check(assertion)
    with pytest.raises(StackRefused, match="not so"):
        check({"Fn::Not": [assertion]})


def test_a_member_that_is_not_among_the_others_is_told() -> None:
    with pytest.raises(StackRefused, match="not so"):
        check({"Fn::EachMemberIn": [{"Ref": "Users"}, ["ann", "bob"]]}, Users="ann,eve")


def test_a_rule_whose_condition_does_not_hold_is_not_checked() -> None:
    condition = {"Fn::Equals": [ENVIRONMENT, "dev"]}
    check(False, condition=condition)
    with pytest.raises(StackRefused, match="not so"):
        check(False, condition=condition, Environment="dev")


def test_without_a_description_the_rule_is_named() -> None:
    with pytest.raises(StackRefused, match="Assertion 1 of rule Only failed"):
        check_sections({"Only": {"Assertions": [{"Assert": True}, {"Assert": False}]}})


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"Only": {}}, "Rule Only must have a list of Assertions"),
        ({"Only": {"Assertions": [{}]}}, "Every assertion must contain an Assert member"),
        ({"Only": {"Assertions": [{"Assert": True}], "Condition": "A"}}, r"\[Condition\] of rule Only"),
        ({"Only": {"Assertions": [{"Assert": "maybe"}]}}, "should be true or false"),
        ({"Only": {"Assertions": [{"Assert": {"Fn::Join": ["", []]}}]}}, r"does not support \[Fn::Join\]"),
        ({"Only": {"Assertions": [{"Assert": {"Ref": "A"}}]}}, r"Unresolved dependencies \[A\]"),
        ({"Only": {"Assertions": [{"Assert": {"Fn::Contains": ["a"]}}]}}, "a list of 2 parameters"),
        ({"Only": {"Assertions": [{"Assert": {"Fn::And": [True]}}]}}, "at least 2 and at most 10"),
        ({"Only": {"Assertions": [{"Assert": {"Fn::ValueOf": ["Users", "X"]}}]}}, "attributes of parameter Users"),
        ({"Only": {"Assertions": [{"Assert": {"Fn::ValueOf": ["Vpc", "X"]}}]}}, "does not support attribute X"),
    ],
)
def test_what_is_no_rule_is_said(rules: Any, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        check_sections(rules)


def test_a_value_that_is_not_there_is_named() -> None:
    with pytest.raises(StackRefused, match="Parameter Subnets: no subnet-9"):
        check({"Fn::Equals": [{"Fn::ValueOf": ["Subnets", "VpcId"]}, []]}, Subnets="subnet-9")
