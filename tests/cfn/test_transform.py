"""Templates of Amazon ECS made into templates of awsorch: every rule, and what must stay as it is."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awsorch.cfn.ecs import EcsProvider
from awsorch.cfn.fragments import TransformError, resources_of
from awsorch.cfn.macro import handler
from awsorch.cfn.transform import LARGEST_BYTES, TYPES, TransformSettings, custom_type, transform, written
from awsorch.local.stacks.documents import read_template
from awsorch.local.stacks.references import references_in
from tests.cfn.calls import BotoCalls

TOPIC = "arn:aws:sns:eu-west-1:123456789012:awsorch-cfn"
ROLE = "arn:aws:iam::123456789012:role/awsorch-control-plane"
SETTINGS = TransformSettings(service_token=TOPIC, role=ROLE)
ROOT = Path(__file__).parents[2]
TEMPLATES = sorted([*(ROOT / "cloudformation").rglob("*.yaml"), *(ROOT / "tests/local/stacks").rglob("*.yaml")])
TEMPLATES += sorted((ROOT / "tests/local/stacks/corpus").rglob("*.json"))


def of(**resources: Any) -> dict[str, Any]:
    return {"Resources": resources}


def typed(type: str, **properties: Any) -> dict[str, Any]:
    return {"Type": type, "Properties": properties}


def changed(template: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return transform(template, TransformSettings(service_token=TOPIC, **{"role": ROLE, **settings})).template


def trust(*services: str, **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole", **more}
    return typed("AWS::IAM::Role", AssumeRolePolicyDocument={"Version": "2012-10-17", "Statement": [statement]})


def test_a_resource_of_ecs_becomes_a_custom_one_under_its_own_id() -> None:
    around = {"Condition": "C", "DependsOn": ["Other"], "DeletionPolicy": "Retain", "Metadata": {"a": 1}}
    model = {"Cluster": {"Ref": "C"}, "Role": {"Fn::GetAtt": ["R", "Arn"]}, "Name": {"Fn::Sub": "${C.Arn}"}}
    made = changed(of(Service={"Type": "AWS::ECS::Service", "Properties": model, **around}))["Resources"]["Service"]
    wanted = {"ServiceToken": TOPIC, "ServiceTimeout": 3600, "AwsorchType": "AWS::ECS::Service", "Model": model}
    assert made == {"Type": "Custom::AwsorchEcsService", "Properties": wanted, **around}


def test_every_type_that_is_handled_is_transformed_and_its_name_is_short_enough() -> None:
    assert EcsProvider(BotoCalls()).types() == TYPES
    scaling = {f"AWS::ApplicationAutoScaling::{name}" for name in ("ScalableTarget", "ScalingPolicy")}
    assert all(len(custom_type(each)) <= 60 for each in TYPES | scaling)


def test_a_type_that_awsorch_has_not_fails_with_its_logical_id() -> None:
    with pytest.raises(TransformError, match="Resource Front: awsorch does not support AWS::ECS::Express"):
        changed(of(Front=typed("AWS::ECS::ExpressGatewayService")))


def test_resources_in_loops_are_transformed() -> None:
    loop = ["N", ["a", "b"], {"Cluster${N}": typed("AWS::ECS::Cluster", ClusterName={"Ref": "N"})}]
    made = changed({"Transform": "AWS::LanguageExtensions", "Resources": {"Fn::ForEach::Each": loop}})
    assert made["Resources"]["Fn::ForEach::Each"][2]["Cluster${N}"]["Type"] == "Custom::AwsorchEcsCluster"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_whole_templates_keep_every_reference_and_are_transformed_once(path: Path) -> None:
    before = read_template(path.read_text())
    once = transform(before, SETTINGS)
    assert list(references_in(before)) == list(references_in(once.template))
    assert before["Resources"].keys() == once.template["Resources"].keys()
    assert not any(resource["Type"].startswith("AWS::ECS::") for _, resource in resources_of(once.template))
    assert written(transform(once.template, SETTINGS).template) == written(once.template)
    assert written(transform(before, SETTINGS).template) == written(once.template)


def test_there_are_templates_to_look_at() -> None:
    assert TEMPLATES


@pytest.mark.parametrize(
    ("stated", "left"),
    [
        ("Awsorch", None),
        (["Awsorch"], None),
        ([{"Name": "Awsorch"}], None),
        (["AWS::Serverless-2016-10-31", "Awsorch"], "AWS::Serverless-2016-10-31"),
        ("AWS::LanguageExtensions", "AWS::LanguageExtensions"),
        (["A", "Awsorch", "B"], ["A", "B"]),
    ],
)
def test_the_line_that_asks_for_the_macro_goes(stated: Any, left: Any) -> None:
    assert changed({"Transform": stated, "Resources": {}}).get("Transform") == left


SCALES = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}


@pytest.mark.parametrize(
    ("properties", "ours"),
    [
        ({"ServiceNamespace": "ecs"}, True),
        ({"ServiceNamespace": "dynamodb"}, False),
        ({"ServiceNamespace": {"Ref": "N"}, "ScalableDimension": "ecs:service:DesiredCount"}, True),
        ({"ServiceNamespace": {"Ref": "N"}, "ScalableDimension": "rds:cluster:ReadReplicaCount"}, False),
        ({}, False),
    ],
)
def test_scaling_targets_of_ecs_are_transformed(properties: dict[str, Any], ours: bool) -> None:
    made = changed(of(T=typed("AWS::ApplicationAutoScaling::ScalableTarget", **properties)))["Resources"]["T"]
    assert made["Type"].startswith("Custom::AwsorchApplicationAutoScaling") == ours


@pytest.mark.parametrize(
    ("target", "ours"),
    [
        ({"Ref": "T"}, True),
        ({"Fn::GetAtt": ["T", "Id"]}, True),
        ({"Fn::GetAtt": "T.Id"}, True),
        ({"Fn::Sub": "${T}"}, True),
        ("service/c/s|ecs:service:DesiredCount|ecs", True),
        ({"Ref": "Table"}, False),
        ("table/t|dynamodb:table:ReadCapacityUnits|dynamodb", False),
    ],
)
def test_policies_go_with_their_targets(target: Any, ours: bool) -> None:
    scaling = "AWS::ApplicationAutoScaling::"
    template = of(
        T=typed(f"{scaling}ScalableTarget", **SCALES),
        Table=typed(f"{scaling}ScalableTarget", ServiceNamespace="dynamodb"),
        P=typed(f"{scaling}ScalingPolicy", ScalingTargetId=target),
    )
    once = changed(template)
    assert (once["Resources"]["P"]["Type"] == custom_type(f"{scaling}ScalingPolicy")) == ours
    assert changed(once) == once


def test_a_namespace_that_can_not_be_seen_fails() -> None:
    with pytest.raises(TransformError, match=r"Resource T: .*Write ServiceNamespace as text"):
        changed(of(T=typed("AWS::ApplicationAutoScaling::ScalableTarget", ServiceNamespace={"Ref": "N"})))


def test_roles_of_tasks_trust_the_control_plane_once() -> None:
    once = changed(of(R=trust("ecs-tasks.amazonaws.com", Condition={"StringEquals": {"aws:SourceAccount": "1"}})))
    added = {
        "Sid": "AwsorchControlPlane",
        "Effect": "Allow",
        "Principal": {"AWS": ROLE},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
    assert once["Resources"]["R"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][1:] == [added]
    assert changed(once) == once
    moved = changed(once, role="arn:aws:iam::1:role/new")["Resources"]["R"]["Properties"]
    assert len(moved["AssumeRolePolicyDocument"]["Statement"]) == 2


def test_a_trust_policy_that_is_text_is_read() -> None:
    document = trust("ecs-tasks.amazonaws.com")["Properties"]["AssumeRolePolicyDocument"]
    made = changed(of(R=typed("AWS::IAM::Role", AssumeRolePolicyDocument=json.dumps(document))))
    assert len(made["Resources"]["R"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]) == 2


@pytest.mark.parametrize("role", [trust("ec2.amazonaws.com"), trust("ecs-tasks.amazonaws.com", Effect="Deny")])
def test_other_roles_stay(role: dict[str, Any]) -> None:
    assert changed(of(R=role)) == of(R=role)


def test_roles_are_warned_of_where_the_control_plane_has_none() -> None:
    done = transform(of(R=trust("ecs-tasks.amazonaws.com")), TransformSettings(service_token=TOPIC))
    assert done.warnings == ("Resource R: tasks can't take this role: the control plane's role is not set.",)


@pytest.mark.parametrize("document", ["ecs-tasks.amazonaws.com", {"Fn::If": ["C", "ecs-tasks.amazonaws.com", "x"]}])
def test_a_trust_policy_that_can_not_be_seen_fails(document: Any) -> None:
    with pytest.raises(TransformError, match="Resource R: AssumeRolePolicyDocument"):
        changed(of(R=typed("AWS::IAM::Role", AssumeRolePolicyDocument=document)))


CALLERS = [
    typed("AWS::Events::Rule", Targets=[{"EcsParameters": {"TaskDefinitionArn": "x"}}]),
    typed("AWS::Scheduler::Schedule", Target={"EcsParameters": {"TaskDefinitionArn": "x"}}),
    typed("AWS::CodeDeploy::DeploymentGroup", ECSServices=[{"ClusterName": "c"}]),
    typed("AWS::StepFunctions::StateMachine", DefinitionString={"Fn::Sub": '"arn:aws:states:::ecs:runTask.sync"'}),
    typed("AWS::CodePipeline::Pipeline", Stages=[{"Actions": [{"ActionTypeId": {"Provider": "ECS"}}]}]),
]


@pytest.mark.parametrize("resource", CALLERS, ids=lambda resource: resource["Type"])
def test_other_callers_of_ecs_are_warned_of_and_strictly_fail(resource: dict[str, Any]) -> None:
    (warning,) = transform(of(Other=resource), SETTINGS).warnings
    assert warning.startswith("Resource Other: ")
    with pytest.raises(TransformError, match=re.escape(warning)):
        changed(of(Other=resource), strict=True)
    assert not transform(of(Other=typed(resource["Type"], Name="x")), SETTINGS).warnings


STOCK = "#!/bin/bash\necho ECS_CLUSTER=c >> /etc/ecs/ecs.config\n"


@pytest.mark.parametrize(
    ("data", "warned"),
    [
        ({"Fn::Base64": {"Fn::Sub": STOCK}}, True),
        (base64.b64encode(STOCK.encode()).decode(), True),
        ({"Fn::Base64": STOCK + "echo ECS_BACKEND_HOST=https://c >> /etc/ecs/ecs.config"}, False),
        ({"Fn::Base64": "#!/bin/bash\ntrue"}, False),
    ],
)
def test_user_data_for_amazons_agent_is_warned_of(data: Any, warned: bool) -> None:
    done = transform(of(L=typed("AWS::EC2::LaunchTemplate", LaunchTemplateData={"UserData": data})), SETTINGS)
    assert bool(done.warnings) == warned


INCLUDE = {"Name": "AWS::Include", "Parameters": {"Location": "s3://bucket/more.yaml"}}


@pytest.mark.parametrize(
    ("sections", "warned"),
    [
        ({"Transform": ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31", "Awsorch"]}, []),
        ({"Transform": "Ours"}, ["Ours"]),
        ({"Transform": [INCLUDE, "Awsorch"]}, ["AWS::Include"]),
        ({"Mappings": {"Fn::Transform": INCLUDE}, "Transform": "Ours"}, ["Ours", "AWS::Include"]),
        ({"Outputs": {"O": {"Value": {"Fn::Transform": [{"Name": "A"}, {"Name": "A"}]}}}}, ["A"]),
    ],
)
def test_what_later_macros_put_in_is_warned_of(sections: dict[str, Any], warned: list[str]) -> None:
    template = {**of(C=typed("AWS::ECS::Cluster")), **sections}
    said = transform(template, SETTINGS).warnings
    assert [each.split()[3] for each in said] == warned
    strict = replace(SETTINGS, strict=True)
    if warned:
        with pytest.raises(TransformError, match=f"What the macro {warned[0]} puts in is not seen"):
            transform(template, strict)
    else:
        assert transform(template, strict).warnings == ()


def test_a_stack_that_moves_gets_new_ids_and_every_reference_follows() -> None:
    template = {
        "Resources": {
            "C": typed("AWS::ECS::Cluster"),
            "S": {**typed("AWS::ECS::Service", Cluster={"Ref": "C"}), "DependsOn": "C"},
            "Alarm": typed("AWS::SNS::Topic", DisplayName={"Fn::Sub": "${C}/${!C}/${S.Name}/${Other}"}),
            "More": {**typed("AWS::SNS::Topic", N={"Fn::Sub": ["${C}${S}", {"C": {"Ref": "S"}}]}), "DependsOn": ["S"]},
        },
        "Outputs": {"A": {"Value": {"Fn::GetAtt": ["C", "Arn"]}}, "B": {"Value": {"Fn::GetAtt": "S.Name"}}},
    }
    made = changed(template, suffix="Awsorch")
    assert list(made["Resources"]) == ["CAwsorch", "SAwsorch", "Alarm", "More"]
    service = made["Resources"]["SAwsorch"]
    assert (service["Properties"]["Model"]["Cluster"], service["DependsOn"]) == ({"Ref": "CAwsorch"}, "CAwsorch")
    said = made["Resources"]["Alarm"]["Properties"]["DisplayName"]["Fn::Sub"]
    assert said == "${CAwsorch}/${!C}/${SAwsorch.Name}/${Other}"
    own = made["Resources"]["More"]
    assert own["Properties"]["N"]["Fn::Sub"] == ["${C}${SAwsorch}", {"C": {"Ref": "SAwsorch"}}]
    assert own["DependsOn"] == ["SAwsorch"]
    assert [each["Value"]["Fn::GetAtt"] for each in made["Outputs"].values()] == [["CAwsorch", "Arn"], "SAwsorch.Name"]
    assert changed(made, suffix="Awsorch") == made


def test_a_new_id_that_is_taken_fails() -> None:
    with pytest.raises(TransformError, match="Resource C: its new logical id C2 is taken"):
        changed(of(C=typed("AWS::ECS::Cluster"), C2=typed("AWS::SNS::Topic")), suffix="2")


def test_a_service_with_a_name_of_its_own_is_warned_of_when_it_moves() -> None:
    named = of(S=typed("AWS::ECS::Service", ServiceName="s"))
    assert len(transform(named, TransformSettings(service_token=TOPIC, suffix="2")).warnings) == 1


@pytest.mark.parametrize(("settings", "said"), [({"suffix": "a-b"}, "suffix"), ({"service_timeout": 0}, "0; it must")])
def test_settings_that_can_not_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        changed(of(), **settings)


def test_a_template_that_is_too_large_even_for_s3_is_refused() -> None:
    assert written({"Resources": {}}) == '{"Resources":{}}'
    with pytest.raises(TransformError, match="nested stacks"):
        written({"Resources": {}, "Description": "x" * LARGEST_BYTES})


EVENT = {
    "requestId": "r-1",
    "region": "eu-west-1",
    "accountId": "123456789012",
    "fragment": of(C=typed("AWS::ECS::Cluster")),
}


def test_the_macro_answers_the_fragment_and_asks_the_accounts_own_topic() -> None:
    answer = handler(EVENT, None)
    assert (answer["requestId"], answer["status"]) == ("r-1", "success")
    assert answer["fragment"]["Resources"]["C"]["Properties"]["ServiceToken"] == TOPIC


def test_the_macro_says_why_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = handler({**EVENT, "fragment": {"Type": "AWS::SNS::Topic"}}, None)
    assert (refused["status"], "Resources section" in refused["errorMessage"]) == ("failed", True)
    monkeypatch.setenv("AWSORCH_SERVICE_TIMEOUT", "soon")
    assert "number of seconds" in handler(EVENT, None)["errorMessage"]
