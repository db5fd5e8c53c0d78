"""A template from nothing to tasks behind a load balancer, changed, broken, and gone again."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from awsorch.cli.cfn_package import macro_zip
from tests.e2e.conftest import ROOT, Cloud, until

pytestmark = pytest.mark.timeout(120)

TEMPLATE = (ROOT / "cloudformation" / "examples" / "web-service.yaml").read_text()
NETWORK = ("describe_vpcs", "describe_subnets", "describe_security_groups", "describe_internet_gateways")


def client(cloud: Cloud, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)


def deploy(cloud: Cloud, kind: str, name: str, **parameters: str) -> dict[str, Any]:
    """What `aws cloudformation deploy` calls, without its half-minute naps; answers the stack when nothing is under
    way any more."""
    stacks = client(cloud, "cloudformation")
    stacks.create_change_set(
        StackName="web",
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateBody=TEMPLATE,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    assert stacks.describe_change_set(StackName="web", ChangeSetName=name)["Status"] == "CREATE_COMPLETE"
    stacks.execute_change_set(StackName="web", ChangeSetName=name)
    return settled(cloud, "web")


def settled(cloud: Cloud, name: str) -> dict[str, Any]:
    stacks = client(cloud, "cloudformation")
    until("the stack has settled", lambda: not stack_of(stacks, name)["StackStatus"].endswith("_IN_PROGRESS"))
    return stack_of(stacks, name)


def stack_of(stacks: Any, name: str) -> dict[str, Any]:
    return dict(stacks.describe_stacks(StackName=name)["Stacks"][0])


def read(url: str, **headers: str) -> str:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return str(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        return str(error.code)


def inventory(cloud: Cloud) -> dict[str, Any]:
    """What there is of everything that the template makes."""
    ec2, balancing, iam = (client(cloud, service) for service in ("ec2", "elbv2", "iam"))
    found = {call: getattr(ec2, call)() for call in NETWORK}
    counts: dict[str, Any] = {
        call: len(next(value for name, value in answer.items() if isinstance(value, list)))
        for call, answer in found.items()
    }
    counts["load balancers"] = len(balancing.describe_load_balancers()["LoadBalancers"])
    counts["target groups"] = len(balancing.describe_target_groups()["TargetGroups"])
    counts["roles"] = len(iam.list_roles()["Roles"])
    counts["profiles"] = len(iam.list_instance_profiles()["InstanceProfiles"])
    counts["groups"] = len(client(cloud, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"])
    counts["templates"] = len(ec2.describe_launch_templates()["LaunchTemplates"])
    counts["logs"] = len(client(cloud, "logs").describe_log_groups()["logGroups"])
    counts["clusters"] = cloud.ecs.list_clusters()["clusterArns"]
    counts["definitions"] = cloud.ecs.list_task_definitions(familyPrefix="web-web")["taskDefinitionArns"]
    return counts


def test_a_template_is_deployed_updated_rolled_back_and_deleted(cloud: Cloud) -> None:
    stacks = client(cloud, "cloudformation")
    before = inventory(cloud)

    made = deploy(cloud, "CREATE", "first")
    assert made["StackStatus"] == "CREATE_COMPLETE", reasons(stacks)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
    assert read(outputs["Address"]) == "hello"
    names = {each["Name"]: each["Value"] for each in stacks.list_exports()["Exports"]}
    assert names == {"web-address": outputs["Address"]}

    updated = deploy(cloud, "UPDATE", "second", Greeting="good day")
    assert updated["StackStatus"] == "UPDATE_COMPLETE", reasons(stacks)
    assert read(outputs["Address"]) == "good day"
    (revision,) = cloud.ecs.list_task_definitions(familyPrefix="web-web")["taskDefinitionArns"]
    assert revision.endswith("/web-web:2"), "the revision that was replaced is deregistered"

    broken = deploy(cloud, "UPDATE", "third", Greeting="good day", Image="awsorch/there-is-none:1")
    assert broken["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    (why,) = [each["ResourceStatusReason"] for each in events(stacks) if each["ResourceStatus"] == "UPDATE_FAILED"]
    assert "ECS Deployment Circuit Breaker was triggered" in why
    assert read(outputs["Address"]) == "good day"
    assert cloud.ecs.list_task_definitions(familyPrefix="web-web")["taskDefinitionArns"] == [revision]

    stacks.delete_stack(StackName="web")
    assert settled(cloud, made["StackId"])["StackStatus"] == "DELETE_COMPLETE", reasons(stacks)
    assert inventory(cloud) == before
    with pytest.raises(ClientError, match="Stack with id web does not exist"):
        stacks.describe_stacks(StackName="web")


SIGNALLER = """
import json, os, urllib.request
import cfnresponse

def handler(event, context):
    properties = event["ResourceProperties"]
    if event["RequestType"] == "Create":
        signal = json.dumps({"Status": "SUCCESS", "UniqueId": "1", "Data": "ready", "Reason": "it is"}).encode()
        urllib.request.urlopen(urllib.request.Request(properties["Handle"], signal, method="PUT"))
    data = {"Word": os.environ["WORD"] + properties["Count"]}
    cfnresponse.send(event, context, cfnresponse.SUCCESS, data, "made-by-a-function")
"""
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}
WAITING = {
    "Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ZipFile": SIGNALLER},
                "Environment": {"Variables": {"WORD": "hello"}},
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Runtime": "python3.12",
                "Timeout": 60,
            },
        },
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Greeting": {
            "Type": "Custom::Greeting",
            "Properties": {
                "ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]},
                "Handle": {"Ref": "Handle"},
                "Count": 3,
            },
        },
        "Ready": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "DependsOn": "Greeting",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": 60},
        },
    },
    "Outputs": {
        "Word": {"Value": {"Fn::GetAtt": ["Greeting", "Word"]}},
        "Id": {"Value": {"Ref": "Greeting"}},
        "Data": {"Value": {"Fn::GetAtt": ["Ready", "Data"]}},
    },
}


def test_functions_make_custom_resources_and_signal_through_the_door(cloud: Cloud) -> None:
    stacks = client(cloud, "cloudformation")
    named = {"StackName": "waiting"}
    stacks.create_stack(**named, TemplateBody=json.dumps(WAITING), Capabilities=["CAPABILITY_IAM"])
    made = settled(cloud, "waiting")
    assert made["StackStatus"] == "CREATE_COMPLETE", reasons(stacks, "waiting")
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
    assert outputs == {"Word": "hello3", "Id": "made-by-a-function", "Data": '{"1": "ready"}'}
    stacks.delete_stack(**named)
    assert settled(cloud, made["StackId"])["StackStatus"] == "DELETE_COMPLETE", reasons(stacks, made["StackId"])


def events(stacks: Any, name: str = "web") -> list[dict[str, Any]]:
    return list(stacks.describe_stack_events(StackName=name)["StackEvents"])


def reasons(stacks: Any, name: str = "web") -> list[str]:
    """Why resources failed, for the message of a test that does."""
    failed = (each for each in events(stacks, name) if each["ResourceStatus"].endswith("_FAILED"))
    return [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}" for each in failed]


OWN = (
    ("network", {}, 30),
    ("network", {"NatGateways": "one-per-zone", "InterfaceEndpoints": "no"}, 30),
    ("network", {"NatGateways": "one"}, 35),
    ("examples/queue-worker", {}, 8),
    ("examples/scheduled-job", {"State": "ENABLED"}, 3),
)


@pytest.mark.parametrize(("path", "parameters", "resources"), OWN)
def test_a_template_of_ours_is_deployed_and_leaves_nothing(
    cloud: Cloud, path: str, parameters: dict[str, str], resources: int
) -> None:
    stacks, before = client(cloud, "cloudformation"), inventory(cloud)
    stacks.create_stack(
        StackName="ours",
        TemplateBody=(ROOT / "cloudformation" / f"{path}.yaml").read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    made = settled(cloud, "ours")
    assert made["StackStatus"] == "CREATE_COMPLETE", reasons(stacks, made["StackId"])
    assert len(stacks.describe_stack_resources(StackName="ours")["StackResources"]) == resources
    stacks.delete_stack(StackName="ours")
    assert settled(cloud, made["StackId"])["StackStatus"] == "DELETE_COMPLETE", reasons(stacks, made["StackId"])
    assert inventory(cloud) == before


def test_two_versions_side_by_side(cloud: Cloud) -> None:
    """Blue serves and green can be tried; then both serve; then green does."""
    ec2, stacks, before = client(cloud, "ec2"), client(cloud, "cloudformation"), inventory(cloud)
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][:2]
    about: dict[str, Any] = {
        "StackName": "teams",
        "TemplateBody": (ROOT / "cloudformation" / "examples" / "blue-green.yaml").read_text(),
    }

    def given(**parameters: str) -> list[dict[str, str]]:
        every = {"VpcId": vpc, "Subnets": ",".join(each["SubnetId"] for each in subnets), **parameters}
        return [{"ParameterKey": key, "ParameterValue": value} for key, value in every.items()]

    def updated(**parameters: str) -> None:
        stacks.update_stack(**about, Parameters=given(**parameters))
        assert settled(cloud, "teams")["StackStatus"] == "UPDATE_COMPLETE", reasons(stacks, "teams")

    stacks.create_stack(**about, Parameters=given())
    made = settled(cloud, "teams")
    assert made["StackStatus"] == "CREATE_COMPLETE", reasons(stacks, "teams")
    (address,) = [each["OutputValue"] for each in made["Outputs"]]
    until("green can be tried", lambda: read(address, **{"X-Team": "green"}) == "green")
    until("blue serves", lambda: read(address) == "blue")
    assert {read(address) for _ in range(20)} == {"blue"}
    updated(BluePercent="50", GreenPercent="50")
    until("both serve", lambda: {read(address) for _ in range(20)} == {"blue", "green"})
    updated(BluePercent="0", GreenPercent="100", BlueCount="0")
    until("green serves", lambda: {read(address) for _ in range(20)} == {"green"})
    stacks.delete_stack(StackName="teams")
    assert settled(cloud, made["StackId"])["StackStatus"] == "DELETE_COMPLETE", reasons(stacks, made["StackId"])
    assert inventory(cloud) == before


def test_a_network_without_a_way_out_is_refused(cloud: Cloud) -> None:
    closed = {"NatGateways": "none", "InterfaceEndpoints": "no"}
    with pytest.raises(ClientError, match="Private subnets would reach nothing"):
        client(cloud, "cloudformation").create_stack(
            StackName="ours",
            TemplateBody=(ROOT / "cloudformation" / "network.yaml").read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in closed.items()],
        )


def test_the_macro_of_an_account_transforms_templates(cloud: Cloud) -> None:
    """Under another name than its own, which means nothing here."""
    bucket, storage, stacks = "code", client(cloud, "s3"), client(cloud, "cloudformation")
    storage.create_bucket(Bucket=bucket)
    storage.put_object(Bucket=bucket, Key="awsorch-macro.zip", Body=macro_zip())
    given = {"CodeBucket": bucket, "MacroName": "Moved", "ServiceToken": "arn:aws:sns:us-east-1:123456789012:elsewhere"}
    stacks.create_stack(
        StackName="macro",
        TemplateBody=(ROOT / "cloudformation" / "macro.yaml").read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    made = settled(cloud, "macro")
    assert made["StackStatus"] == "CREATE_COMPLETE", reasons(stacks, made["StackId"])
    moved = json.dumps({"Transform": "Moved", "Resources": {"C": {"Type": "AWS::ECS::Cluster"}}})
    stacks.create_change_set(StackName="moved", ChangeSetName="look", ChangeSetType="CREATE", TemplateBody=moved)
    shown = stacks.get_template(StackName="moved", ChangeSetName="look")["TemplateBody"]
    resource = shown["Resources"]["C"]
    assert (resource["Type"], resource["Properties"]["ServiceToken"]) == (
        "Custom::AwsorchEcsCluster",
        given["ServiceToken"],
    )
    stacks.delete_stack(StackName="moved")
    stacks.delete_stack(StackName="macro")
    assert settled(cloud, made["StackId"])["StackStatus"] == "DELETE_COMPLETE", reasons(stacks, made["StackId"])
