"""What moto's Auto Scaling groups do with our help, by boto3 against a moto of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]


@pytest.fixture
def client(moto_url: str) -> Client:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return lambda service: boto3.client(service, endpoint_url=moto_url, region_name="us-east-1", **keys)


def make_group(client: Client, **members: Any) -> str:
    """A group over three subnets in three zones."""
    ec2, name = client("ec2"), f"g-{uuid4().hex[:8]}"
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("abc")
    ]
    data = {"ImageId": "ami-12c6146b", "InstanceType": "t3.medium"}
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    settings = {"MinSize": 0, "MaxSize": 6, "DesiredCapacity": 0} | members
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name},
        VPCZoneIdentifier=",".join(subnets),
        **settings,
    )
    return name


def instances(client: Client, name: str) -> list[dict[str, Any]]:
    answer = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return list(answer["AutoScalingGroups"][0]["Instances"])


def resize(client: Client, name: str, size: int) -> None:
    client("autoscaling").set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=size)


def zones(client: Client, name: str) -> list[int]:
    return sorted(Counter(each["AvailabilityZone"] for each in instances(client, name)).values())


def test_instances_are_spread_over_the_zones(client: Client) -> None:
    name = make_group(client, DesiredCapacity=2)
    assert zones(client, name) == [1, 1]
    resize(client, name, 6)
    assert zones(client, name) == [2, 2, 2]
    ids = [each["InstanceId"] for each in instances(client, name)]
    described = client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    placed = {i["InstanceId"]: i["Placement"]["AvailabilityZone"] for r in described for i in r["Instances"]}
    assert placed == {each["InstanceId"]: each["AvailabilityZone"] for each in instances(client, name)}


def test_scaling_in_takes_from_the_fullest_zone_and_spares_what_is_protected(client: Client) -> None:
    name = make_group(client, DesiredCapacity=4)
    first = instances(client, name)
    fullest = Counter(each["AvailabilityZone"] for each in first).most_common(1)[0][0]
    resize(client, name, 3)
    assert zones(client, name) == [1, 1, 1]
    (gone,) = {each["InstanceId"] for each in first} - {each["InstanceId"] for each in instances(client, name)}
    assert next(each for each in first if each["InstanceId"] == gone)["AvailabilityZone"] == fullest
    kept = [each["InstanceId"] for each in instances(client, name)][:2]
    client("autoscaling").set_instance_protection(
        AutoScalingGroupName=name, InstanceIds=kept, ProtectedFromScaleIn=True
    )
    resize(client, name, 0)
    assert sorted(each["InstanceId"] for each in instances(client, name)) == sorted(kept)


@pytest.mark.parametrize(("size", "words"), [(7, "above max value 6"), (0, "below min value 1")])
def test_sizes_keep_to_the_bounds(client: Client, size: int, words: str) -> None:
    name = make_group(client, MinSize=1, DesiredCapacity=1)
    with pytest.raises(ClientError, match=f"New SetDesiredCapacity value {size} is {words} for the") as caught:
        resize(client, name, size)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert len(instances(client, name)) == 1


@pytest.mark.parametrize(
    ("policy", "size"),
    [
        ({"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 2}, 5),
        ({"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 9}, 6),
        ({"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": -9}, 1),
        ({"AdjustmentType": "ExactCapacity", "ScalingAdjustment": 40}, 6),
        ({"AdjustmentType": "PercentChangeInCapacity", "ScalingAdjustment": 10}, 4),
        ({"AdjustmentType": "PercentChangeInCapacity", "ScalingAdjustment": -50}, 2),
        ({"AdjustmentType": "PercentChangeInCapacity", "ScalingAdjustment": 10, "MinAdjustmentMagnitude": 2}, 5),
        ({"AdjustmentType": "PercentChangeInCapacity", "ScalingAdjustment": 500}, 6),
    ],
)
def test_policies_keep_to_the_bounds(client: Client, policy: dict[str, Any], size: int) -> None:
    name, scaling = make_group(client, MinSize=1, DesiredCapacity=3), client("autoscaling")
    scaling.put_scaling_policy(AutoScalingGroupName=name, PolicyName=name, PolicyType="SimpleScaling", **policy)
    scaling.execute_policy(AutoScalingGroupName=name, PolicyName=name)
    assert len(instances(client, name)) == size


def test_ending_an_instance_for_good_keeps_to_the_least_size(client: Client) -> None:
    name = make_group(client, MinSize=1, DesiredCapacity=2)
    scaling = client("autoscaling")
    first, second = (each["InstanceId"] for each in instances(client, name))
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=True)
    assert [each["InstanceId"] for each in instances(client, name)] == [second]
    with pytest.raises(ClientError, match="desiredSize equals minSize"):
        scaling.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=True)
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=False)
    (fresh,) = instances(client, name)
    assert fresh["InstanceId"] not in (first, second)
    with pytest.raises(ClientError, match="No managed instance found"):
        scaling.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)


def test_groups_that_are_not_there(client: Client) -> None:
    with pytest.raises(ClientError, match="AutoScalingGroup name not found"):
        resize(client, "nobody", 1)
