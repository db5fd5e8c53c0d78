"""The tables against moto: what they make can be read, changed and removed, and nothing stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from awsorch.cfn.contract import Action, Outcome
from awsorch.cfn.shapes import input_shape, member_of
from awsorch.local.stacks.inert import InertProvider
from awsorch.local.stacks.kinds.kind import Kind, Op
from awsorch.local.stacks.kinds.tables import KINDS
from awsorch.local.stacks.kinds.wire import WireProvider
from awsorch.local.stacks.schemas import Schemas
from tests.cfn.calls import BotoCalls, a_request, carry, changed, made, removed
from tests.support.moto_process import client

SERVICES = sorted({kind.service for kind in KINDS.values()})
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
ALARM = {
    "MetricName": "m",
    "Namespace": "n",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": "1",
    "Period": 60,
    "Statistic": "Sum",
    "Threshold": 1,
}
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIKYKXwDLRr4cdqVVVnxcDSdGnTMUHKWzYk+eZ8tGpqK test"
DATABASE = {
    "Engine": "postgres",
    "DBInstanceClass": "db.t4g.small",
    "AllocatedStorage": "20",
    "MasterUsername": "me",
    "MasterUserPassword": "long-enough",
    "MultiAZ": "false",
}
SCHEDULE = {
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": "arn:aws:iam::123456789012:role/r"},
}
QUEUE = "arn:aws:sqs:us-east-1:123456789012:"
KEYS = [{"AttributeName": "k", "KeyType": "HASH"}]
ATTRIBUTES = [{"AttributeName": "k", "AttributeType": "S"}]


@pytest.fixture(scope="module")
def calls(moto_url: str) -> BotoCalls:
    return BotoCalls(**{service: client(moto_url, service) for service in SERVICES})


@pytest.fixture
def wire(calls: BotoCalls) -> WireProvider:
    calls.made.clear()
    return WireProvider(calls, KINDS, Schemas(), region="us-east-1", account_id="123456789012")


def every_op(kind: Kind) -> list[Op]:
    found = [kind.create, kind.delete, kind.read, kind.adopt]
    found += [op for setting in kind.settings for op in (setting.op, setting.unset)]
    found += [kind.draft.op] if kind.draft else []
    found += [op for items in kind.items for op in (items.add, items.remove)]
    if kind.tagging is not None:
        found += [kind.tagging.set, kind.tagging.unset]
    return [op for op in found if op is not None]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.type)
def test_a_table_names_what_there_is(kind: Kind) -> None:
    """Members of operations, properties and attributes of the type."""
    schema = Schemas()
    for op in every_op(kind):
        shape = input_shape(kind.service, op.name)
        taken = [kind.renamed.get(name, name) for name in op.takes or ()]
        assert [name for name in (*op.members, *taken) if member_of(shape, name) is None] == [], op.name
    settled = {name for setting in kind.settings for name in setting.on} | {items.property for items in kind.items}
    wrong = [each for each in schema.problems(kind.type, dict.fromkeys(settled, None)) if "extraneous" in each]
    assert wrong == []
    assert set(kind.attributes) <= schema.attributes(kind.type) | {"Id", "QueueName", "TopicName", "CidrBlock"}


NOT_FOUND_AGAIN = {"AWS::KMS::Key"}
#: moto fails where one that is gone is deleted.
GOES_ONCE = {"AWS::Scheduler::ScheduleGroup"}
MAY_BE_MISSING = {"StreamArn", "MasterUserSecret.SecretArn", "CanonicalHostedZoneNameID"}

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("AWS::Logs::LogGroup", {"RetentionInDays": "7"}, {"Tags": [{"Key": "a", "Value": "b"}]}),
    ("AWS::SSM::Parameter", {"Type": "String", "Value": "x"}, {"Type": "String", "Value": "y", "Tags": {"a": "b"}}),
    ("AWS::SecretsManager::Secret", {"SecretString": "x"}, {"SecretString": "y", "Description": "d"}),
    ("AWS::SQS::Queue", {"DelaySeconds": 3}, {"DelaySeconds": "4", "Tags": [{"Key": "a", "Value": "b"}]}),
    ("AWS::SNS::Topic", {"DisplayName": "x"}, {"DisplayName": "y"}),
    (
        "AWS::S3::Bucket",
        {"VersioningConfiguration": {"Status": "Enabled"}},
        {"VersioningConfiguration": {"Status": "Suspended"}, "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    (
        "AWS::DynamoDB::Table",
        {"KeySchema": KEYS, "AttributeDefinitions": ATTRIBUTES, "BillingMode": "PAY_PER_REQUEST"},
        {
            "KeySchema": KEYS,
            "AttributeDefinitions": ATTRIBUTES,
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": "1"},
        },
    ),
    (
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": TRUST, "Policies": [{"PolicyName": "p", "PolicyDocument": ALLOW}]},
        {"AssumeRolePolicyDocument": TRUST, "Description": "d", "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    ("AWS::IAM::ManagedPolicy", {"PolicyDocument": ALLOW}, {"PolicyDocument": ALLOW}),
    ("AWS::IAM::InstanceProfile", {"Path": "/"}, {"Path": "/"}),
    (
        "AWS::EC2::VPC",
        {"CidrBlock": "10.9.0.0/16", "EnableDnsHostnames": "true"},
        {"CidrBlock": "10.9.0.0/16", "Tags": [{"Key": "Name", "Value": "x"}]},
    ),
    ("AWS::EC2::EIP", {"Domain": "vpc"}, {"Domain": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}),
    (
        "AWS::ECR::Repository",
        {"ImageTagMutability": "MUTABLE", "RepositoryPolicyText": ALLOW},
        {"ImageTagMutability": "IMMUTABLE", "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    (
        "AWS::KMS::Key",
        {"Description": "x", "EnableKeyRotation": "true"},
        {"Description": "y", "EnableKeyRotation": True},
    ),
    (
        "AWS::Events::Rule",
        {"ScheduleExpression": "rate(1 hour)", "Targets": [{"Id": "t", "Arn": QUEUE + "q"}]},
        {
            "ScheduleExpression": "rate(2 hours)",
            "Targets": [{"Id": "t", "Arn": QUEUE + "r"}],
        },
    ),
    ("AWS::CloudWatch::Alarm", ALARM, {**ALARM, "Threshold": "2", "Tags": [{"Key": "a", "Value": "b"}]}),
    (
        "AWS::EFS::FileSystem",
        {"Encrypted": "true"},
        {"Encrypted": True, "FileSystemTags": [{"Key": "a", "Value": "b"}]},
    ),
    ("AWS::EC2::InternetGateway", {}, {"Tags": [{"Key": "Name", "Value": "x"}]}),
    (
        "AWS::EC2::LaunchTemplate",
        {"LaunchTemplateData": {"InstanceType": "t3.small"}},
        {"LaunchTemplateData": {"InstanceType": "t3.medium"}},
    ),
    (
        "AWS::EC2::Instance",
        {"ImageId": "ami-12c6146b", "InstanceType": "t3.small", "UserData": "IyEvYmluL3NoCg==", "Monitoring": "true"},
        {
            "ImageId": "ami-12c6146b",
            "InstanceType": "t3.small",
            "UserData": "IyEvYmluL3NoCg==",
            "Monitoring": True,
            "SourceDestCheck": "false",
            "Tags": [{"Key": "a", "Value": "b"}],
        },
    ),
    (
        "AWS::EC2::Volume",
        {"AvailabilityZone": "us-east-1a", "Size": "8", "VolumeType": "gp3"},
        {"AvailabilityZone": "us-east-1a", "Size": 9, "VolumeType": "gp3", "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    (
        "AWS::EC2::KeyPair",
        {"KeyName": "me", "PublicKeyMaterial": SSH_KEY},
        {"KeyName": "me", "PublicKeyMaterial": SSH_KEY},
    ),
    (
        "AWS::AutoScaling::LaunchConfiguration",
        {"ImageId": "ami-12c6146b", "InstanceType": "t3.small", "UserData": "IyEvYmluL3NoCg=="},
        {"ImageId": "ami-12c6146b", "InstanceType": "t3.small", "UserData": "IyEvYmluL3NoCg=="},
    ),
    (
        "AWS::IAM::User",
        {"LoginProfile": {"Password": "Long-enough-1"}, "Policies": [{"PolicyName": "p", "PolicyDocument": ALLOW}]},
        {"Tags": [{"Key": "a", "Value": "b"}]},
    ),
    ("AWS::IAM::Group", {"Policies": [{"PolicyName": "p", "PolicyDocument": ALLOW}]}, {"Policies": []}),
    (
        "AWS::IAM::ServiceLinkedRole",
        {"AWSServiceName": "autoscaling.amazonaws.com", "Description": "x"},
        {"AWSServiceName": "autoscaling.amazonaws.com", "Description": "y"},
    ),
    (
        "AWS::ElasticLoadBalancing::LoadBalancer",
        {
            "Listeners": [{"LoadBalancerPort": "80", "InstancePort": "8080", "Protocol": "HTTP"}],
            "AvailabilityZones": ["us-east-1a"],
            "HealthCheck": {
                "Target": "HTTP:8080/",
                "Interval": "10",
                "Timeout": "5",
                "HealthyThreshold": "2",
                "UnhealthyThreshold": "2",
            },
        },
        {
            "Listeners": [{"LoadBalancerPort": "80", "InstancePort": "8080", "Protocol": "HTTP"}],
            "AvailabilityZones": ["us-east-1a"],
            "HealthCheck": {
                "Target": "HTTP:8080/",
                "Interval": "20",
                "Timeout": "5",
                "HealthyThreshold": "2",
                "UnhealthyThreshold": "2",
            },
            "ConnectionDrainingPolicy": {"Enabled": "true", "Timeout": "10"},
            "CrossZone": "true",
        },
    ),
    ("AWS::ServiceDiscovery::HttpNamespace", {"Name": "web"}, {"Name": "web", "Tags": [{"Key": "a", "Value": "b"}]}),
    (
        "AWS::ServiceDiscovery::PublicDnsNamespace",
        {"Name": "example.com"},
        {"Name": "example.com", "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    (
        "AWS::Route53::HostedZone",
        {"Name": "example.org", "HostedZoneConfig": {"Comment": "x"}},
        {
            "Name": "example.org",
            "HostedZoneConfig": {"Comment": "y"},
            "HostedZoneTags": [{"Key": "a", "Value": "b"}],
        },
    ),
    (
        "AWS::CertificateManager::Certificate",
        {"DomainName": "example.com", "ValidationMethod": "DNS"},
        {"DomainName": "example.com", "ValidationMethod": "DNS", "Tags": [{"Key": "a", "Value": "b"}]},
    ),
    ("AWS::RDS::DBInstance", DATABASE, {**DATABASE, "MultiAZ": "true", "Tags": [{"Key": "a", "Value": "b"}]}),
    (
        "AWS::Scheduler::Schedule",
        {**SCHEDULE, "ScheduleExpression": "rate(1 hour)"},
        {**SCHEDULE, "ScheduleExpression": "rate(2 hours)"},
    ),
    ("AWS::Scheduler::ScheduleGroup", {}, {}),
    (
        "AWS::CloudWatch::Dashboard",
        {"DashboardBody": '{"widgets": []}'},
        {"DashboardBody": '{"widgets": [], "start": "-PT1H"}'},
    ),
]


@pytest.mark.parametrize(("type", "before", "after"), CASES, ids=[case[0] for case in CASES])
def test_it_is_made_changed_and_removed(
    wire: WireProvider, type: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    progress = made(wire, type, before, tags={"team": "x"})
    id = progress.physical_id
    assert set(progress.attributes) == set(KINDS[type].attributes) - MAY_BE_MISSING
    again = carry(wire, a_request(Action.CREATE, type, before, retried=True, tags={"team": "x"}))
    found_again = "what was made before its answer was lost is found again"
    assert again.physical_id == id or type in NOT_FOUND_AGAIN, found_again
    update = changed(
        wire, type, id, before, after, tags={}, previous_tags={"team": "x"}, attributes=progress.attributes
    )
    assert update.outcome is Outcome.SUCCESS, update.message
    for _ in range(1 if type in GOES_ONCE else 2):
        gone = removed(wire, type, id, after, attributes=progress.attributes)
        assert gone.outcome is Outcome.SUCCESS, gone.message


def test_a_network_goes_in_any_order_that_its_graph_allows(wire: WireProvider, calls: BotoCalls) -> None:
    vpc = made(wire, "AWS::EC2::VPC", {"CidrBlock": "10.8.0.0/16"})
    gateway = made(wire, "AWS::EC2::InternetGateway", {})
    things: list[tuple[str, dict[str, Any]]] = [
        ("AWS::EC2::Subnet", {"VpcId": vpc.physical_id, "CidrBlock": "10.8.1.0/24", "MapPublicIpOnLaunch": "true"}),
        (
            "AWS::EC2::VPCGatewayAttachment",
            {"VpcId": vpc.physical_id, "InternetGatewayId": gateway.physical_id},
        ),
        ("AWS::EC2::RouteTable", {"VpcId": vpc.physical_id}),
    ]
    kept = [(type, model, made(wire, type, model)) for type, model in things]
    subnet, attachment, table = (progress for _, _, progress in kept)
    assert subnet.attributes["AvailabilityZone"].startswith("us-east-1")
    assert attachment.physical_id == f"IGW|{vpc.physical_id}"
    route = {
        "RouteTableId": table.physical_id,
        "DestinationCidrBlock": "0.0.0.0/0",
        "GatewayId": gateway.physical_id,
    }
    association = {"RouteTableId": table.physical_id, "SubnetId": subnet.physical_id}
    kept += [
        (type, model, made(wire, type, model))
        for type, model in (("AWS::EC2::Route", route), ("AWS::EC2::SubnetRouteTableAssociation", association))
    ]
    for type, model, progress in [*kept[::-1], ("AWS::EC2::InternetGateway", {}, gateway)]:
        assert removed(wire, type, progress.physical_id, model).outcome is Outcome.SUCCESS
    gone = removed(wire, "AWS::EC2::VPC", vpc.physical_id, {"CidrBlock": "10.8.0.0/16"})
    assert gone.outcome is Outcome.SUCCESS, gone.message


def test_rules_of_a_security_group(wire: WireProvider, moto_url: str) -> None:
    vpc = made(wire, "AWS::EC2::VPC", {"CidrBlock": "10.7.0.0/16"})
    http = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": "80", "CidrIp": "10.0.0.0/8", "Description": "in"}
    https = {**http, "FromPort": 443, "ToPort": 443}
    before = {"GroupDescription": "d", "VpcId": vpc.physical_id, "SecurityGroupIngress": [http]}
    group = made(wire, "AWS::EC2::SecurityGroup", {**before, "SecurityGroupEgress": [http]})

    def rules(way: str) -> list[tuple[int, str]]:
        answer = client(moto_url, "ec2").describe_security_groups(GroupIds=[group.physical_id])
        found = answer["SecurityGroups"][0][way]
        return [(each.get("FromPort", -1), each["IpRanges"][0]["CidrIp"]) for each in found]

    assert rules("IpPermissions") == [(80, "10.0.0.0/8")]
    assert rules("IpPermissionsEgress") == [(80, "10.0.0.0/8")], "the rule that allows all is gone"
    after = {**before, "SecurityGroupIngress": [https]}
    update = changed(wire, "AWS::EC2::SecurityGroup", group.physical_id, before, after)
    assert update.outcome is Outcome.SUCCESS, update.message
    assert rules("IpPermissions") == [(443, "10.0.0.0/8")]
    rule = {"GroupId": group.physical_id, "IpProtocol": "tcp", "FromPort": 1, "ToPort": 2}
    rule["SourceSecurityGroupId"] = group.physical_id
    apart = made(wire, "AWS::EC2::SecurityGroupIngress", rule)
    assert removed(wire, "AWS::EC2::SecurityGroupIngress", apart.physical_id, rule).outcome is Outcome.SUCCESS
    for type, id, model in (
        ("AWS::EC2::SecurityGroup", group.physical_id, after),
        ("AWS::EC2::VPC", vpc.physical_id, {}),
    ):
        assert removed(wire, type, id, model).outcome is Outcome.SUCCESS


def test_an_inline_policy_follows_its_roles(wire: WireProvider, moto_url: str) -> None:
    iam = client(moto_url, "iam")
    names = ("one", "two")
    for name in names:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    before = {"PolicyName": "p", "PolicyDocument": ALLOW, "Roles": ["one"]}
    policy = made(wire, "AWS::IAM::Policy", before)
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    after = {"PolicyName": "p", "PolicyDocument": deny, "Roles": ["two"]}
    assert changed(wire, "AWS::IAM::Policy", policy.physical_id, before, after).outcome is Outcome.SUCCESS
    assert iam.list_role_policies(RoleName="one")["PolicyNames"] == []
    assert iam.get_role_policy(RoleName="two", PolicyName="p")["PolicyDocument"] == deny
    assert removed(wire, "AWS::IAM::Policy", policy.physical_id, after).outcome is Outcome.SUCCESS
    assert iam.list_role_policies(RoleName="two")["PolicyNames"] == []
    for name in names:
        iam.delete_role(RoleName=name)


def test_a_group_and_what_hangs_on_it(wire: WireProvider, moto_url: str) -> None:
    scaling = client(moto_url, "autoscaling")
    data = {"LaunchTemplateData": {"InstanceType": "t3.small", "ImageId": "ami-12c6146b"}}
    template = made(wire, "AWS::EC2::LaunchTemplate", data, token="group")
    before = {
        "MinSize": "0",
        "MaxSize": "2",
        "AvailabilityZones": ["us-east-1a"],
        "LaunchTemplate": {"LaunchTemplateId": template.physical_id, "Version": "1"},
        "Cooldown": "10",
        "Tags": [{"Key": "a", "Value": "b", "PropagateAtLaunch": "false"}],
    }
    group = made(wire, "AWS::AutoScaling::AutoScalingGroup", before)
    name = group.physical_id

    def described() -> dict[str, Any]:
        (found,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(found)

    assert (described()["MaxSize"], described()["DefaultCooldown"]) == (2, 10)
    assert [(tag["Key"], tag["PropagateAtLaunch"]) for tag in described()["Tags"]] == [("a", False)]
    after = {**before, "MaxSize": 3, "Tags": [{"Key": "c", "Value": "d", "PropagateAtLaunch": True}]}
    update = changed(wire, "AWS::AutoScaling::AutoScalingGroup", name, before, after)
    assert update.outcome is Outcome.SUCCESS, update.message
    assert wire.replaced_by("AWS::AutoScaling::AutoScalingGroup", before, after) == frozenset()
    assert (described()["MaxSize"], [tag["Key"] for tag in described()["Tags"]]) == (3, ["c"])

    launching = {"AutoScalingGroupName": name, "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    target = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50}
    on_group = {"AutoScalingGroupName": name}
    things: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("LifecycleHook", {**launching, "HeartbeatTimeout": "60"}, {**launching, "HeartbeatTimeout": 90}),
        (
            "ScalingPolicy",
            {**on_group, "PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": target},
            {
                **on_group,
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingConfiguration": {**target, "TargetValue": 60},
            },
        ),
        (
            "ScheduledAction",
            {**on_group, "Recurrence": "0 1 * * *", "MinSize": "0"},
            {**on_group, "Recurrence": "0 2 * * *", "MinSize": 0},
        ),
    ]
    for short, one, two in things:
        type = f"AWS::AutoScaling::{short}"
        thing = made(wire, type, one)
        update = changed(wire, type, thing.physical_id, one, two)
        assert update.outcome is Outcome.SUCCESS, update.message
        gone = removed(wire, type, thing.physical_id, two)
        assert gone.outcome is Outcome.SUCCESS, gone.message
    for type, id in (
        ("AWS::AutoScaling::AutoScalingGroup", name),
        ("AWS::EC2::LaunchTemplate", template.physical_id),
    ):
        assert removed(wire, type, id, {}).outcome is Outcome.SUCCESS


def test_a_policy_of_its_own(wire: WireProvider, moto_url: str) -> None:
    iam = client(moto_url, "iam")
    iam.create_role(RoleName="owner", AssumeRolePolicyDocument=json.dumps(TRUST))
    model = {"RoleName": "owner", "PolicyName": "p", "PolicyDocument": ALLOW}
    policy = made(wire, "AWS::IAM::RolePolicy", model)
    for _ in range(2):
        assert removed(wire, "AWS::IAM::RolePolicy", policy.physical_id, model).outcome is Outcome.SUCCESS
    assert iam.list_role_policies(RoleName="owner")["PolicyNames"] == []
    iam.delete_role(RoleName="owner")


def test_what_a_table_has_no_place_for_is_refused(wire: WireProvider, calls: BotoCalls) -> None:
    model = {"AccelerateConfiguration": {"AccelerationStatus": "Enabled"}}
    refused = carry(wire, a_request(Action.CREATE, "AWS::S3::Bucket", model))
    assert refused.message == "Encountered unsupported property AccelerateConfiguration"
    assert calls.made == []


def test_a_secret_is_generated(wire: WireProvider, moto_url: str) -> None:
    secrets = client(moto_url, "secretsmanager")

    def value(id: str) -> str:
        return str(secrets.get_secret_value(SecretId=id)["SecretString"])

    plain = {"GenerateSecretString": {"PasswordLength": "20", "ExcludePunctuation": "true"}}
    first = made(wire, "AWS::SecretsManager::Secret", plain, token="plain").physical_id
    assert re.fullmatch(r"[A-Za-z0-9]{20}", value(first))
    template = {"SecretStringTemplate": '{"user": "me"}', "GenerateStringKey": "password", "PasswordLength": 12}
    second = made(wire, "AWS::SecretsManager::Secret", {"GenerateSecretString": template}, token="json").physical_id
    assert json.loads(value(second))["user"] == "me"
    before = json.loads(value(second))["password"]
    assert len(before) == 12
    kept = {"GenerateSecretString": template}
    described = {**kept, "Description": "d"}
    changed(wire, "AWS::SecretsManager::Secret", second, kept, described)
    assert json.loads(value(second))["password"] == before, "only a change of how it is made makes it anew"
    longer = {"GenerateSecretString": {**template, "PasswordLength": 13}}
    changed(wire, "AWS::SecretsManager::Secret", second, described, longer)
    assert len(json.loads(value(second))["password"]) == 13
    for id in (first, second):
        assert removed(wire, "AWS::SecretsManager::Secret", id, {}).outcome is Outcome.SUCCESS


def test_inert_types_have_a_name_and_nothing_else() -> None:
    type = "AWS::CodeDeploy::Application"
    inert = InertProvider([type], Schemas())
    assert inert.types() == {type}
    progress = made(inert, type, {})
    assert set(progress.attributes.values()) == {progress.physical_id}
    assert progress.physical_id.startswith("shop-Thing-")
    queue = made(InertProvider(["AWS::SQS::Queue"], Schemas()), "AWS::SQS::Queue", {})
    assert queue.attributes["Arn"] == queue.physical_id
    assert removed(inert, type, progress.physical_id, {}).physical_id == progress.physical_id


def test_replacement_follows_the_schemas(wire: WireProvider) -> None:
    before = {"CidrBlock": "10.0.0.0/16", "EnableDnsSupport": True}
    assert wire.replaced_by("AWS::EC2::VPC", before, {**before, "EnableDnsSupport": False}) == frozenset()
    assert wire.replaced_by("AWS::EC2::VPC", before, {**before, "CidrBlock": "10.1.0.0/16"}) == {"CidrBlock"}


def test_expressions_name_known_things() -> None:
    """A `$name` in small letters is one of those that the tables may use."""
    known = {"id", "name", "answer", "read", "item", "tags", "tag_map", "region", "account", "token"}
    known |= {"fresh", "fresh_map", "gone", "tagged", "retagged", "untagged", "attributes", "join", "stack", "digest"}
    used = {
        word
        for kind in KINDS.values()
        for op in every_op(kind)
        for word in re.findall(r"'\$([a-z_]+)", str(op.members))
    }
    assert used <= known
