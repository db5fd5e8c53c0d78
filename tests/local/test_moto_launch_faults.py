"""EC2 of the local cloud that refuses launches, and what groups and fleets make of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.local.moto_world import KEYS, MotoWorld

TYPE, CODE = "t3.medium", "InsufficientInstanceCapacity"


def run(world: MotoWorld, zone: str = "us-east-1a", instance_type: str = TYPE) -> list[Any]:
    subnet = world.subnets[zone]
    answer = world.ec2.run_instances(
        ImageId="ami-12c6146b", InstanceType=instance_type, MinCount=1, MaxCount=1, SubnetId=subnet
    )
    return list(answer["Instances"])


def test_run_instances_is_refused_in_ec2s_words(world: MotoWorld) -> None:
    world.refuse(instance_type=TYPE, zone="us-east-1a")
    with pytest.raises(ClientError) as caught:
        run(world)
    assert caught.value.response["Error"]["Code"] == CODE
    words = caught.value.response["Error"]["Message"]
    assert words.startswith(
        "We currently do not have sufficient t3.medium capacity in the Availability Zone you requested (us-east-1a)."
    )
    assert "or choosing us-east-1b, us-east-1c" in words
    assert len(run(world, "us-east-1b")) == 1
    assert len(run(world, instance_type="t3.small")) == 1


def test_a_fault_may_be_for_some_launches_only_and_of_any_code(world: MotoWorld) -> None:
    world.refuse(code="VcpuLimitExceeded", message="Too many vCPUs.", count=2)
    for zone in ("us-east-1a", "us-east-1b"):
        with pytest.raises(ClientError, match=r"\(VcpuLimitExceeded\).*Too many vCPUs\."):
            run(world, zone)
    assert len(run(world)) == 1


def test_instances_that_are_brought_back_are_spared(world: MotoWorld) -> None:
    world.refuse(instance_type=TYPE)
    world.sparing = True
    try:
        assert len(run(world)) == 1
    finally:
        world.sparing = False


def test_a_group_goes_to_the_next_zone(world: MotoWorld) -> None:
    world.refuse(instance_type=TYPE, zone="us-east-1a")
    name = world.group(DesiredCapacity=2)
    assert len(world.states(name)) == 2
    statuses = [each["StatusCode"] for each in world.activities(name)]
    assert sorted(statuses) == ["Failed", "Successful", "Successful"]
    (failed,) = [each for each in world.activities(name) if each["StatusCode"] == "Failed"]
    assert failed["StatusMessage"].startswith("We currently do not have sufficient t3.medium capacity")
    assert failed["StatusMessage"].endswith("Launching EC2 instance failed.")
    assert failed["Description"] == f"Launching a new EC2 instance.  Status Reason: {failed['StatusMessage']}"


def test_a_group_that_finds_nothing_tries_again_after_growing_pauses(world: MotoWorld) -> None:
    world.refuse(instance_type=TYPE)
    name = world.group(DesiredCapacity=1)
    for pause in (5, 10, 20, 40, 80, 160, 300, 300):
        assert world.states(name) == {}
        assert world.due() == pause
        world.pass_time(pause)
    world.faults.clear()
    world.pass_time(300)
    assert list(world.states(name).values()) == ["InService"]
    assert world.due() is None
    assert world.changes == 1


def test_a_request_tries_at_once(world: MotoWorld) -> None:
    world.refuse(instance_type=TYPE, count=3)
    name = world.group(DesiredCapacity=1)
    assert world.states(name) == {}
    world.resize(name, 2)
    assert len(world.states(name)) == 2


def test_a_mixed_group_goes_to_its_next_type_and_counts_weights(world: MotoWorld) -> None:
    name = world.group()
    world.refuse(instance_type="t3.small")
    template = {"LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "$Latest"}}
    overrides = [{"InstanceType": "t3.small"}, {"InstanceType": "t3.large", "WeightedCapacity": "2"}]
    world.scaling.create_auto_scaling_group(
        AutoScalingGroupName=f"{name}-mixed",
        MinSize=0,
        MaxSize=8,
        DesiredCapacity=4,
        VPCZoneIdentifier=",".join(world.subnets.values()),
        MixedInstancesPolicy={
            "LaunchTemplate": template | {"Overrides": overrides},
            "InstancesDistribution": {"OnDemandBaseCapacity": 2, "OnDemandPercentageAboveBaseCapacity": 0},
        },
    )
    ids = list(world.states(f"{name}-mixed"))
    found = world.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    launched = [each for reservation in found for each in reservation["Instances"]]
    kinds = sorted((each["InstanceType"], each.get("InstanceLifecycle", "on-demand")) for each in launched)
    assert kinds == [("t3.large", "on-demand"), ("t3.large", "spot")]


def test_a_fleet_launches_what_it_can_and_tells_of_the_rest(world: MotoWorld) -> None:
    name = world.group()
    world.refuse(instance_type=TYPE, zone="us-east-1a")
    overrides = [{"SubnetId": world.subnets[zone], "InstanceType": TYPE} for zone in ("us-east-1a", "us-east-1b")]
    specification = {"LaunchTemplateName": name, "Version": "$Latest"}
    wish = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    configs = [{"LaunchTemplateSpecification": specification, "Overrides": overrides}]
    answer = world.ec2.create_fleet(Type="instant", TargetCapacitySpecification=wish, LaunchTemplateConfigs=configs)
    assert [len(each["InstanceIds"]) for each in answer["Instances"]] == [1]
    assert [each["ErrorCode"] for each in answer["Errors"]] == [CODE]
    assert answer["Errors"][0]["LaunchTemplateAndOverrides"]["Overrides"] == overrides[0]
    world.refuse(instance_type=TYPE)
    answer = world.ec2.create_fleet(Type="instant", TargetCapacitySpecification=wish, LaunchTemplateConfigs=configs)
    assert (answer["Instances"], len(answer["Errors"])) == ([], 2)


def ask(moto_url: str, method: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{moto_url}/awsorch/faults", data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def test_faults_are_put_read_and_taken_away_over_http(moto_url: str) -> None:
    fault = {"instanceType": "m5.large", "zone": None, "code": CODE, "message": None, "count": 2}
    put = json.dumps({"instanceType": "m5.large", "count": 2}).encode()
    assert ask(moto_url, "POST", put) == (200, {"faults": [fault]})
    ec2 = boto3.client("ec2", endpoint_url=moto_url, **KEYS)
    with pytest.raises(ClientError, match=CODE):
        ec2.run_instances(ImageId="ami-12c6146b", InstanceType="m5.large", MinCount=1, MaxCount=1)
    assert ask(moto_url, "GET") == (200, {"faults": [fault | {"count": 1}]})
    assert ask(moto_url, "DELETE") == (200, {"faults": []})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"count": 0}', b'{"code": "no such"}', b'{"type": "t3.nano"}'])
def test_bad_faults_are_refused_with_what_would_be_right(moto_url: str, body: bytes) -> None:
    status, answer = ask(moto_url, "POST", body)
    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    assert answer["message"].startswith('The body should be like {"instanceType"')
    assert ask(moto_url, "PUT", b"{}")[1]["__type"] == "UnknownOperationException"
