"""moto's Auto Scaling inside the tests' process, as the local cloud mends it, with a clock that the tests move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import boto3
from moto import mock_aws

from awsorch.local.moto_groups import mend_groups
from awsorch.local.moto_groups_timer import GroupTimer
from awsorch.local.moto_launch_faults import LaunchFault, LaunchFaults, mend_launches

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


class MotoWorld:
    """One account without anything. `changes`: how often time changed which instances there are."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.changes = 0
        self.timer = GroupTimer(lambda: None)
        self.sparing = False
        self.faults = LaunchFaults(spared=lambda: self.sparing)
        self.ec2: Any = None
        self.scaling: Any = None
        self.subnets: dict[str, str] = {}

    def group(self, **members: Any) -> str:
        """A group over three subnets in three zones, of no instances unless told otherwise."""
        name = f"g-{uuid4().hex[:8]}"
        data = {"ImageId": "ami-12c6146b", "InstanceType": "t3.medium"}
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        subnets = ",".join(self.subnets.values())
        settings = {"MinSize": 0, "MaxSize": 6, "DesiredCapacity": 0, "VPCZoneIdentifier": subnets} | members
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": name},
            **settings,
        )
        return name

    def resize(self, name: str, size: int) -> None:
        """SetDesiredCapacity."""
        self.scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=size)

    def states(self, name: str) -> dict[str, str]:
        """Instance id → lifecycle state."""
        (group,) = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return {each["InstanceId"]: each["LifecycleState"] for each in group["Instances"]}

    def power(self, instance_id: str) -> str:
        """The instance's state in EC2."""
        (reservation,) = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return str(reservation["Instances"][0]["State"]["Name"])

    def activities(self, name: str) -> list[dict[str, Any]]:
        """The group's activities, newest first."""
        return list(self.scaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"])

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and do what is due then."""
        self.now += seconds
        self.timer.mind()

    def clear(self) -> None:
        """No groups any more."""
        for group in self.scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
            self.scaling.delete_auto_scaling_group(AutoScalingGroupName=group["AutoScalingGroupName"], ForceDelete=True)
        self.faults.clear()
        self.changes = 0

    def refuse(self, **members: Any) -> None:
        """Put a fault."""
        self.faults.put(LaunchFault(**members))

    def due(self) -> float | None:
        """In how many seconds something is due."""
        return self.timer.mind()


@contextmanager
def moto_world() -> Iterator[MotoWorld]:
    """A world; moto's classes are afterwards what they were."""
    from moto.autoscaling import models, responses
    from moto.ec2.models import EC2Backend, fleets
    from moto.ec2.responses.fleets import Fleets

    scaling = (
        models.FakeAutoScalingGroup,
        models.InstanceState,
        models.AutoScalingBackend,
        responses.AutoScalingResponse,
    )
    mended: tuple[type[Any], ...] = (*scaling, EC2Backend, fleets.Fleet, Fleets)
    before = [dict(vars(each)) for each in mended]
    world = MotoWorld()

    def note() -> None:
        world.changes += 1

    try:
        with mock_aws():
            mend_launches(world.faults)
            world.timer = mend_groups(note, clock=lambda: world.now)
            world.ec2, world.scaling = boto3.client("ec2", **KEYS), boto3.client("autoscaling", **KEYS)
            vpc = world.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
            for number, zone in enumerate(("us-east-1a", "us-east-1b", "us-east-1c")):
                block = f"10.9.{number}.0/24"
                made = world.ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)
                world.subnets[zone] = made["Subnet"]["SubnetId"]
            yield world
    finally:
        for each, members in zip(mended, before, strict=True):
            for name in set(vars(each)) - set(members):
                delattr(each, name)
            for name, member in members.items():
                if vars(each)[name] is not member:
                    setattr(each, name, member)
