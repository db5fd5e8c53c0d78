"""Lifecycle hooks of the local cloud's groups, in a moto inside this process whose clock is the tests'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.moto_world import MotoWorld

TERMINATING, LAUNCHING = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"


def hook(world: MotoWorld, name: str, transition: str, **members: Any) -> None:
    world.scaling.put_lifecycle_hook(
        AutoScalingGroupName=name,
        LifecycleHookName=members.pop("hook", "hook"),
        LifecycleTransition=transition,
        **{"HeartbeatTimeout": 60} | members,
    )


def complete(world: MotoWorld, name: str, instance_id: str, result: str = "CONTINUE", hook: str = "hook") -> None:
    world.scaling.complete_lifecycle_action(
        AutoScalingGroupName=name, LifecycleHookName=hook, InstanceId=instance_id, LifecycleActionResult=result
    )


def shrink(world: MotoWorld) -> tuple[str, str]:
    """A group of one whose instance waits to be ended: its name, the instance."""
    name = world.group(DesiredCapacity=1)
    hook(world, name, TERMINATING)
    world.resize(name, 0)
    (instance_id,) = world.states(name)
    return name, instance_id


def test_an_instance_that_goes_waits_until_it_is_let_go(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    assert world.states(name) == {instance_id: "Terminating:Wait"}
    assert world.power(instance_id) == "running"
    world.resize(name, 1)
    assert sorted(world.states(name).values()) == ["InService", "Terminating:Wait"]
    complete(world, name, instance_id)
    assert list(world.states(name).values()) == ["InService"]
    assert world.power(instance_id) == "terminated"
    with pytest.raises(ClientError, match=f"No active Lifecycle Action found with instance ID {instance_id}"):
        complete(world, name, instance_id)


def test_a_heartbeat_prolongs_the_wait_and_silence_ends_it(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    world.pass_time(59)
    world.scaling.record_lifecycle_action_heartbeat(
        AutoScalingGroupName=name, LifecycleHookName="hook", InstanceId=instance_id
    )
    world.pass_time(59)
    assert world.states(name) == {instance_id: "Terminating:Wait"}
    assert world.due() == 1
    world.pass_time(1)
    assert world.states(name) == {}
    assert world.power(instance_id) == "terminated"
    assert world.changes == 1
    assert world.due() is None


def test_no_heartbeat_helps_for_ever(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    for _ in range(100):
        assert world.states(name) == {instance_id: "Terminating:Wait"}
        world.scaling.record_lifecycle_action_heartbeat(
            AutoScalingGroupName=name, LifecycleHookName="hook", InstanceId=instance_id
        )
        world.pass_time(59.999)
    world.scaling.record_lifecycle_action_heartbeat(
        AutoScalingGroupName=name, LifecycleHookName="hook", InstanceId=instance_id
    )
    world.pass_time(0.2)
    assert world.states(name) == {}


def test_all_hooks_of_a_transition_are_waited_for(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    for each in ("first", "second"):
        hook(world, name, TERMINATING, hook=each)
    world.resize(name, 0)
    (instance_id,) = world.states(name)
    complete(world, name, instance_id, hook="first")
    assert world.states(name) == {instance_id: "Terminating:Wait"}
    complete(world, name, instance_id, hook="second")
    assert world.states(name) == {}


def test_an_instance_that_comes_serves_when_its_hook_is_done(world: MotoWorld) -> None:
    name = world.group()
    hook(world, name, LAUNCHING)
    world.resize(name, 2)
    first, second = world.states(name)
    assert set(world.states(name).values()) == {"Pending:Wait"}
    complete(world, name, first)
    assert world.states(name)[first] == "InService"
    complete(world, name, second, "ABANDON")
    assert world.power(second) == "terminated"
    fresh = world.states(name)
    assert len(fresh) == 2
    assert second not in fresh
    assert sorted(fresh.values()) == ["InService", "Pending:Wait"]


def test_a_launch_whose_hook_is_silent_ends_as_the_hook_says(world: MotoWorld) -> None:
    name = world.group()
    hook(world, name, LAUNCHING, DefaultResult="CONTINUE")
    world.resize(name, 1)
    world.pass_time(60)
    assert list(world.states(name).values()) == ["InService"]
    hook(world, name, LAUNCHING, DefaultResult="ABANDON")
    world.resize(name, 2)
    (waiting,) = [each for each, state in world.states(name).items() if state == "Pending:Wait"]
    world.pass_time(60)
    assert world.power(waiting) == "terminated"
    assert len(world.states(name)) == 2


@pytest.mark.parametrize("decrement", [True, False])
def test_an_instance_that_is_named_waits_too(world: MotoWorld, decrement: bool) -> None:
    name = world.group(DesiredCapacity=2)
    hook(world, name, TERMINATING)
    first = next(iter(world.states(name)))
    answer = world.scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=first, ShouldDecrementDesiredCapacity=decrement
    )
    assert answer["Activity"]["StatusCode"] == "MidLifecycleAction"
    assert world.states(name)[first] == "Terminating:Wait"
    assert list(world.states(name).values()).count("InService") == (1 if decrement else 2)


def test_an_unhealthy_instance_waits_and_is_replaced(world: MotoWorld) -> None:
    name, scaling = world.group(DesiredCapacity=1), world.scaling
    hook(world, name, TERMINATING)
    (sick,) = world.states(name)
    scaling.set_instance_health(InstanceId=sick, HealthStatus="Unhealthy")
    assert world.states(name).pop(sick) == "Terminating:Wait"
    assert sorted(world.states(name).values()) == ["InService", "Terminating:Wait"]


def test_an_instance_that_ec2_ended_is_not_waited_for(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    world.resize(name, 1)
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    assert list(world.states(name).values()) == ["InService"]
    world.ec2.terminate_instances(InstanceIds=list(world.states(name)))
    assert list(world.states(name).values()) == ["InService"]


def test_deleting_a_hook_lets_its_instances_go(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    world.scaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="hook")
    assert world.states(name) == {}
    with pytest.raises(ClientError, match="No Lifecycle Hook found"):
        world.scaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="hook")
    assert world.power(instance_id) == "terminated"


def test_hooks_are_changed_by_what_is_given_and_may_come_with_the_group(world: MotoWorld) -> None:
    specification = {"LifecycleHookName": "hook", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 300}
    name = world.group(DesiredCapacity=1, LifecycleHookSpecificationList=[specification])
    assert list(world.states(name).values()) == ["Pending:Wait"]
    world.scaling.put_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="hook", DefaultResult="CONTINUE")
    (described,) = world.scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
    assert described == {
        **specification,
        "AutoScalingGroupName": name,
        "DefaultResult": "CONTINUE",
        "GlobalTimeout": 30000,
    }


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "LifecycleTransition is a required parameter"),
        ({"LifecycleTransition": "later"}, "Invalid lifecycle transition later"),
        ({"LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 29}, "not between 30 and 7200"),
        ({"LifecycleTransition": LAUNCHING, "DefaultResult": "maybe"}, "Invalid default result maybe"),
    ],
)
def test_hooks_that_cannot_be(world: MotoWorld, members: dict[str, Any], words: str) -> None:
    name = world.group()
    with pytest.raises(ClientError, match=words):
        world.scaling.put_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="hook", **members)
    assert world.scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"] == []


def test_groups_are_deleted_when_nothing_is_left_of_them_or_by_force(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    delete: Callable[..., Any] = world.scaling.delete_auto_scaling_group
    with pytest.raises(ClientError, match="scaling activities in progress"):
        delete(AutoScalingGroupName=name)
    world.resize(name, 1)
    complete(world, name, instance_id)
    with pytest.raises(ClientError, match="while there are instances"):
        delete(AutoScalingGroupName=name)
    members = list(world.states(name))
    delete(AutoScalingGroupName=name, ForceDelete=True)
    assert [world.power(each) for each in members] == ["terminated"]
    assert world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"] == []


def test_an_instance_on_its_way_out_is_not_ended_twice(world: MotoWorld) -> None:
    name, instance_id = shrink(world)
    world.resize(name, 2)
    with pytest.raises(ClientError, match="ScalingActivityInProgress"):
        world.scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
        )
    (group,) = world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert group["DesiredCapacity"] == 2


def test_an_instance_in_standby_is_nobodys_patient(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    (resting,) = world.states(name)
    world.scaling.enter_standby(AutoScalingGroupName=name, InstanceIds=[resting], ShouldDecrementDesiredCapacity=True)
    world.scaling.set_instance_health(InstanceId=resting, HealthStatus="Unhealthy")
    assert world.states(name) == {resting: "Standby"}
