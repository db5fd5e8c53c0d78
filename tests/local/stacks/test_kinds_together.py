"""The tables of types that need others, against moto: a chain of resources made in order, each changed, then removed in
the opposite order, each twice; and made again as after a lost answer, which must find what there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from awsorch.cfn.contract import Action, Outcome, Progress
from awsorch.local.stacks.kinds.tables import KINDS
from awsorch.local.stacks.kinds.wire import WireProvider
from awsorch.local.stacks.schemas import Schemas
from tests.cfn.calls import BotoCalls, a_request, carry, changed, made, removed
from tests.local.stacks.test_kinds import ALLOW, ATTRIBUTES, CASES, KEYS, SERVICES
from tests.support.moto_process import client


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A resource of a chain. Where a value is "@other" it is that one's id, "@other.Name" its attribute. ``update``
    has what is different afterwards."""

    name: str
    type: str
    model: Mapping[str, Any]
    update: Mapping[str, Any] | None = None
    is_found_again: bool = True


def link(name: str, type: str, update: Mapping[str, Any] | None = None, *, found: bool = True, **model: Any) -> Link:
    return Link(name=name, type=f"AWS::{type}", model=model, update=update, is_found_again=found)


NETWORK = (
    link("vpc", "EC2::VPC", CidrBlock="10.60.0.0/16", EnableDnsHostnames=True),
    link("a", "EC2::Subnet", VpcId="@vpc", CidrBlock="10.60.1.0/24", AvailabilityZone="us-east-1a"),
    link("b", "EC2::Subnet", VpcId="@vpc", CidrBlock="10.60.2.0/24", AvailabilityZone="us-east-1b"),
)
FORWARD = [{"Type": "forward", "TargetGroupArn": "@targets"}]
PATH = [{"Field": "path-pattern", "Values": ["/a"]}]
STATEMENT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}
OTHER = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]}
TRACKING = {"PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}}

CHAINS: dict[str, tuple[Link, ...]] = {
    "balancing": (
        *NETWORK,
        link("group", "EC2::SecurityGroup", GroupDescription="d", VpcId="@vpc"),
        link(
            "balancer",
            "ElasticLoadBalancingV2::LoadBalancer",
            {"LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "31"}]},
            Subnets=["@a", "@b"],
            SecurityGroups=["@group"],
            Type="application",
        ),
        link(
            "targets",
            "ElasticLoadBalancingV2::TargetGroup",
            {"HealthCheckIntervalSeconds": "20"},
            VpcId="@vpc",
            Port="80",
            Protocol="HTTP",
            TargetType="ip",
        ),
        link("certificate", "CertificateManager::Certificate", DomainName="a.example.com", ValidationMethod="DNS"),
        link("second", "CertificateManager::Certificate", DomainName="b.example.com", ValidationMethod="DNS"),
        link(
            "listener",
            "ElasticLoadBalancingV2::Listener",
            {"Port": "8443"},
            LoadBalancerArn="@balancer",
            Port="443",
            Protocol="HTTPS",
            Certificates=[{"CertificateArn": "@certificate"}],
            DefaultActions=FORWARD,
        ),
        link(
            "rule",
            "ElasticLoadBalancingV2::ListenerRule",
            {"Priority": "2", "Conditions": [{"Field": "path-pattern", "Values": ["/b"]}]},
            ListenerArn="@listener",
            Priority="1",
            Conditions=PATH,
            Actions=FORWARD,
        ),
        link(
            "certificates",
            "ElasticLoadBalancingV2::ListenerCertificate",
            ListenerArn="@listener",
            Certificates=[{"CertificateArn": "@second"}],
        ),
    ),
    "disks": (
        link("machine", "EC2::Instance", ImageId="ami-12c6146b", InstanceType="t3.small"),
        link("disk", "EC2::Volume", AvailabilityZone="@machine.AvailabilityZone", Size="1"),
        link("attachment", "EC2::VolumeAttachment", Device="/dev/sdh", InstanceId="@machine", VolumeId="@disk"),
    ),
    "names": (
        *NETWORK[:1],
        link("space", "ServiceDiscovery::PrivateDnsNamespace", Name="shop.local", Vpc="@vpc"),
        link(
            "service",
            "ServiceDiscovery::Service",
            {"Description": "y"},
            Name="web",
            NamespaceId="@space",
            DnsConfig={"DnsRecords": [{"Type": "A", "TTL": "10"}]},
            Description="x",
        ),
        link("zone", "Route53::HostedZone", Name="example.net"),
        link(
            "record",
            "Route53::RecordSet",
            {"ResourceRecords": ["10.0.0.2"]},
            HostedZoneId="@zone",
            Name="www.example.net",
            Type="A",
            TTL="60",
            ResourceRecords=["10.0.0.1"],
        ),
    ),
    "people": (
        link("group", "IAM::Group", GroupName="staff"),
        link("user", "IAM::User", {"Groups": ["staff"]}, UserName="ann"),
        link("members", "IAM::UserToGroupAddition", GroupName="@group", Users=["@user"]),
        link("key", "IAM::AccessKey", {"Status": "Inactive"}, found=False, UserName="@user"),
        link("policy", "IAM::ManagedPolicy", PolicyDocument=ALLOW, Users=["@user"], Groups=["@group"]),
    ),
    "stores": (
        *NETWORK,
        link("bucket", "S3::Bucket"),
        link("may", "S3::BucketPolicy", {"PolicyDocument": OTHER}, Bucket="@bucket", PolicyDocument=STATEMENT),
        link("queue", "SQS::Queue"),
        link("send", "SQS::QueuePolicy", {"PolicyDocument": OTHER}, Queues=["@queue"], PolicyDocument=STATEMENT),
        link("topic", "SNS::Topic"),
        link("publish", "SNS::TopicPolicy", {"PolicyDocument": OTHER}, Topics=["@topic"], PolicyDocument=STATEMENT),
        link("news", "SNS::Subscription", TopicArn="@topic", Protocol="sqs", Endpoint="@queue.Arn"),
        link("key", "KMS::Key", found=False, Description="x"),
        link("alias", "KMS::Alias", AliasName="alias/shop", TargetKeyId="@key"),
        link("files", "EFS::FileSystem"),
        link("target", "EFS::MountTarget", FileSystemId="@files", SubnetId="@a", SecurityGroups=[]),
        link(
            "point",
            "EFS::AccessPoint",
            {"AccessPointTags": [{"Key": "a", "Value": "b"}]},
            FileSystemId="@files",
            PosixUser={"Uid": "1000", "Gid": "1000"},
            RootDirectory={"Path": "/data"},
        ),
        link(
            "subnets",
            "RDS::DBSubnetGroup",
            {"DBSubnetGroupDescription": "y"},
            DBSubnetGroupDescription="x",
            SubnetIds=["@a", "@b"],
        ),
    ),
    "scaling": (
        link(
            "table",
            "DynamoDB::Table",
            TableName="scaled",
            KeySchema=KEYS,
            AttributeDefinitions=ATTRIBUTES,
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        ),
        link(
            "target",
            "ApplicationAutoScaling::ScalableTarget",
            {"MaxCapacity": "9"},
            ServiceNamespace="dynamodb",
            ScalableDimension="dynamodb:table:ReadCapacityUnits",
            ResourceId="table/scaled",
            MinCapacity="1",
            MaxCapacity="5",
            RoleARN="arn:aws:iam::123456789012:role/r",
        ),
        link(
            "policy",
            "ApplicationAutoScaling::ScalingPolicy",
            {"TargetTrackingScalingPolicyConfiguration": {**TRACKING, "TargetValue": "60"}},
            PolicyName="p",
            PolicyType="TargetTrackingScaling",
            ScalingTargetId="@target",
            TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": "50"},
        ),
    ),
    "scaling of a service": (
        link(
            "target",
            "ApplicationAutoScaling::ScalableTarget",
            {"MinCapacity": "2"},
            ServiceNamespace="ecs",
            ScalableDimension="ecs:service:DesiredCount",
            ResourceId="service/default/web",
            MinCapacity="1",
            MaxCapacity="5",
            RoleARN="arn:aws:iam::123456789012:role/r",
            ScheduledActions=[{"ScheduledActionName": "night", "Schedule": "cron(0 2 * * ? *)"}],
        ),
        link(
            "policy",
            "ApplicationAutoScaling::ScalingPolicy",
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            ScalingTargetId="@target",
            TargetTrackingScalingPolicyConfiguration={
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                "TargetValue": "50",
            },
        ),
    ),
    "pool": (
        link(
            "template",
            "EC2::LaunchTemplate",
            LaunchTemplateData={"InstanceType": "t3.small", "ImageId": "ami-12c6146b"},
        ),
        link(
            "group",
            "AutoScaling::AutoScalingGroup",
            MinSize="0",
            MaxSize="1",
            AvailabilityZones=["us-east-1a"],
            LaunchTemplate={"LaunchTemplateId": "@template", "Version": "1"},
        ),
        link("pool", "AutoScaling::WarmPool", {"MinSize": "1"}, AutoScalingGroupName="@group", MinSize="0"),
    ),
    "network": (
        *NETWORK,
        link("gateway", "EC2::InternetGateway"),
        link("attached", "EC2::VPCGatewayAttachment", VpcId="@vpc", InternetGatewayId="@gateway"),
        link("address", "EC2::EIP", Domain="vpc"),
        link("nat", "EC2::NatGateway", AllocationId="@address.AllocationId", SubnetId="@a"),
        link("table", "EC2::RouteTable", VpcId="@vpc"),
        link(
            "route",
            "EC2::Route",
            {"NatGatewayId": "@nat", "GatewayId": None},
            RouteTableId="@table",
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId="@gateway",
        ),
        link("uses", "EC2::SubnetRouteTableAssociation", SubnetId="@b", RouteTableId="@table"),
        link("group", "EC2::SecurityGroup", GroupDescription="d", VpcId="@vpc"),
        link(
            "out",
            "EC2::SecurityGroupEgress",
            found=False,
            GroupId="@group",
            IpProtocol="tcp",
            FromPort="443",
            ToPort="443",
            CidrIp="10.0.0.0/8",
        ),
        link(
            "endpoint",
            "EC2::VPCEndpoint",
            VpcId="@vpc",
            ServiceName="com.amazonaws.us-east-1.s3",
            VpcEndpointType="Gateway",
            RouteTableIds=["@table"],
        ),
    ),
}


@pytest.fixture(scope="module")
def wire(moto_url: str) -> WireProvider:
    calls = BotoCalls(**{service: client(moto_url, service) for service in SERVICES})
    return WireProvider(calls, KINDS, Schemas(), region="us-east-1", account_id="123456789012")


def filled(value: Any, there: Mapping[str, Progress]) -> Any:
    """The value with what others are in the place of their names."""
    if isinstance(value, Mapping):
        return {name: filled(each, there) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [filled(each, there) for each in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    name, _, attribute = value[1:].partition(".")
    return there[name].attributes[attribute] if attribute else there[name].physical_id


@pytest.mark.parametrize("title", CHAINS)
def test_a_chain_is_made_changed_and_removed(wire: WireProvider, title: str) -> None:
    chain = CHAINS[title]
    there: dict[str, Progress] = {}
    models: dict[str, dict[str, Any]] = {}
    for each in chain:
        model = models[each.name] = filled(each.model, there)
        about = {"token": f"{title} {each.name}", "logical_id": each.name}
        there[each.name] = made(wire, each.type, model, **about)
        if each.is_found_again:
            again = carry(wire, a_request(Action.CREATE, each.type, model, retried=True, **about))
            assert again.outcome is Outcome.SUCCESS, f"{each.name} again: {again.message}"
            assert again.physical_id == there[each.name].physical_id, f"{each.name} is made once"
    for each in chain:
        if each.update is not None:
            before, progress = models[each.name], there[each.name]
            after = models[each.name] = filled({**each.model, **each.update}, there)
            update = changed(
                wire,
                each.type,
                progress.physical_id,
                before,
                after,
                attributes=progress.attributes,
                token=f"{title} {each.name}",
                logical_id=each.name,
            )
            assert update.outcome is Outcome.SUCCESS, f"{each.name}: {update.message}"
            assert set(progress.attributes) <= set(update.attributes), "an update tells all attributes again"
    for each in reversed(chain):
        for _ in range(2):
            progress = there[each.name]
            gone = removed(
                wire,
                each.type,
                progress.physical_id,
                models[each.name],
                attributes=progress.attributes,
                token=f"{title} {each.name}",
                logical_id=each.name,
            )
            assert gone.outcome is Outcome.SUCCESS, f"{each.name}: {gone.message}"


def test_what_is_removed_with_a_snapshot_leaves_one(wire: WireProvider, moto_url: str) -> None:
    volume = {"AvailabilityZone": "us-east-1a", "Size": "1"}
    disk = made(wire, "AWS::EC2::Volume", volume).physical_id
    database = {"Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": "20"}
    database |= {"MasterUsername": "awsorch", "MasterUserPassword": "only for tests"}
    instance = made(wire, "AWS::RDS::DBInstance", database).physical_id
    for _ in range(2):
        assert removed(wire, "AWS::EC2::Volume", disk, volume, snapshot=True).outcome is Outcome.SUCCESS
        assert removed(wire, "AWS::RDS::DBInstance", instance, database, snapshot=True).outcome is Outcome.SUCCESS
    kept = client(moto_url, "ec2").describe_snapshots(Filters=[{"Name": "volume-id", "Values": [disk]}])["Snapshots"]
    assert len(kept) >= 1
    (left,) = client(moto_url, "rds").describe_db_snapshots(DBInstanceIdentifier=instance)["DBSnapshots"]
    assert left["DBSnapshotIdentifier"].startswith(f"snapshot-{instance}-")


def test_every_type_is_tried() -> None:
    """Here, or in test_kinds.py; groups have a test of their own there."""
    tried = {each.type for chain in CHAINS.values() for each in chain} | {case[0] for case in CASES}
    apart = {"LifecycleHook", "ScalingPolicy", "ScheduledAction", "Policy", "RolePolicy", "SecurityGroupIngress"}
    apart |= {"Function", "Permission"}  # test_functions.py
    assert {type for type in set(KINDS) - tried if type.rpartition("::")[2] not in apart} == set()
