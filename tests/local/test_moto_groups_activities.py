"""What the local cloud's groups tell of what they did."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from tests.local.moto_world import MotoWorld

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
INTERRUPTED = "an EC2 health check indicating it has been terminated or stopped"


def test_a_group_tells_why_its_instances_came(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    (first,) = world.states(name)
    world.pass_time(10)
    world.resize(name, 2)
    newest, oldest = world.activities(name)
    (second,) = set(world.states(name)) - {first}
    assert newest["Description"] == f"Launching a new EC2 instance: {second}"
    assert newest["Cause"] == (
        "At 2027-01-15T08:00:10Z a user request explicitly set group desired capacity changing the desired capacity "
        "from 1 to 2.  At 2027-01-15T08:00:10Z an instance was started in response to a difference between desired "
        "and actual capacity, increasing the capacity from 1 to 2."
    )
    assert oldest["Description"] == f"Launching a new EC2 instance: {first}"
    assert "a user request created an AutoScalingGroup changing the desired capacity from 0 to 1." in oldest["Cause"]
    assert (newest["StatusCode"], newest["Progress"], newest["AutoScalingGroupName"]) == ("Successful", 100, name)
    details = json.loads(oldest["Details"])
    assert details == {"Subnet ID": world.subnets["us-east-1a"], "Availability Zone": "us-east-1a"}


def test_an_activity_ends_when_the_instance_is_gone(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    world.scaling.put_lifecycle_hook(
        AutoScalingGroupName=name, LifecycleHookName="hook", LifecycleTransition=TERMINATING, HeartbeatTimeout=60
    )
    world.resize(name, 0)
    (instance_id,) = world.states(name)
    waits = world.activities(name)[0]
    assert waits["Description"] == f"Terminating EC2 instance: {instance_id}"
    assert waits["Cause"].endswith(f"instance {instance_id} was selected for termination.")
    assert "shrinking the capacity from 1 to 0." in waits["Cause"]
    assert (waits["StatusCode"], waits["Progress"]) == ("MidLifecycleAction", 50)
    assert "EndTime" not in waits
    world.pass_time(60)
    ended = world.activities(name)[0]
    assert (ended["ActivityId"], ended["StatusCode"]) == (waits["ActivityId"], "Successful")
    assert ended["EndTime"] - ended["StartTime"] == timedelta(seconds=60)


def test_an_instance_that_ec2_ended_is_told_of_with_its_replacement(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    (lost,) = world.states(name)
    world.pass_time(1)
    world.ec2.terminate_instances(InstanceIds=[lost])
    told = {each["Description"].split(":")[0]: each["Cause"] for each in world.activities(name)[:2]}
    assert INTERRUPTED in told["Terminating EC2 instance"]
    assert (
        "launched in response to an unhealthy instance needing to be replaced." in told["Launching a new EC2 instance"]
    )


def test_an_abandoned_launch_is_cancelled_and_says_so(world: MotoWorld) -> None:
    hook = {"LifecycleHookName": "hook", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    name = world.group(DesiredCapacity=1, LifecycleHookSpecificationList=[hook | {"HeartbeatTimeout": 30}])
    world.pass_time(30)
    (cancelled,) = [each for each in world.activities(name) if each["StatusCode"] == "Cancelled"]
    assert cancelled["StatusMessage"].endswith("was abandoned: Heartbeat Timeout")


def test_activities_come_in_pages_and_by_their_ids(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=3)
    every = world.activities(name)
    describe = world.scaling.describe_scaling_activities
    first = describe(AutoScalingGroupName=name, MaxRecords=2)
    rest = describe(AutoScalingGroupName=name, MaxRecords=2, NextToken=first["NextToken"])
    assert first["Activities"] + rest["Activities"] == every
    assert "NextToken" not in rest
    assert describe(ActivityIds=[every[1]["ActivityId"]])["Activities"] == [every[1]]
    with pytest.raises(ClientError, match="AutoScalingGroup name not found"):
        describe(AutoScalingGroupName="nobody")


def test_a_group_remembers_its_last_hundred(world: MotoWorld) -> None:
    name = world.group()
    for _ in range(51):
        world.resize(name, 1)
        world.resize(name, 0)
        world.now += 1
    assert len(world.activities(name)) == 100
