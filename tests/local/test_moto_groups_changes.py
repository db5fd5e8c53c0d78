"""Groups of the local cloud that are changed, suspended, or lose what they launch in."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.local.moto_world import MotoWorld


def test_a_group_whose_subnets_are_gone_says_so_and_goes_on(world: MotoWorld) -> None:
    name = world.group()
    vpc = world.ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    lost = world.ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, VPCZoneIdentifier=lost)
    world.ec2.delete_subnet(SubnetId=lost)
    world.resize(name, 1)
    assert world.activities(name)[0]["StatusCode"] == "Failed"
    assert lost in world.activities(name)[0]["StatusMessage"]
    subnets = ",".join(world.subnets.values())
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, VPCZoneIdentifier=subnets)
    assert len(world.states(name)) == 1


def test_a_suspended_group_launches_nothing_until_it_is_resumed(world: MotoWorld) -> None:
    name = world.group()
    processes = {"AutoScalingGroupName": name, "ScalingProcesses": ["Launch"]}
    world.scaling.suspend_processes(**processes)
    world.resize(name, 1)
    assert world.states(name) == {}
    world.scaling.resume_processes(**processes)
    assert len(world.states(name)) == 1


def test_bounds_that_contradict_each_other(world: MotoWorld) -> None:
    name = world.group()
    update = world.scaling.update_auto_scaling_group
    with pytest.raises(ClientError, match="Max bound, 1, must be greater than or equal to min bound, 2"):
        update(AutoScalingGroupName=name, MinSize=2, MaxSize=1)
    with pytest.raises(ClientError, match="Desired capacity:9 must be between the specified min size:0 and max size:6"):
        update(AutoScalingGroupName=name, DesiredCapacity=9)
    update(AutoScalingGroupName=name, MinSize=2)
    assert len(world.states(name)) == 2
    with pytest.raises(ClientError, match="AlreadyExists"):
        world.scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=1,
            LaunchTemplate={"LaunchTemplateName": name},
            AvailabilityZones=["us-east-1a"],
        )
