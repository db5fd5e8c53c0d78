"""Instance refreshes of local groups: how many instances go and come at a time, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.moto_world import MotoWorld

TERMINATING, LAUNCHING = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"


def start(world: MotoWorld, name: str, desired: dict[str, Any] | None = None, **preferences: Any) -> str:
    """Start a refresh, and let it do what it can do at once."""
    configuration = {"DesiredConfiguration": desired} if desired else {}
    answer = world.scaling.start_instance_refresh(AutoScalingGroupName=name, Preferences=preferences, **configuration)
    world.timer.mind()
    return str(answer["InstanceRefreshId"])


def shown(world: MotoWorld, name: str) -> dict[str, Any]:
    """The group's last refresh."""
    refreshes = world.scaling.describe_instance_refreshes(AutoScalingGroupName=name)["InstanceRefreshes"]
    return dict(refreshes[0])


def progress(world: MotoWorld, name: str) -> tuple[str, int, int]:
    refresh = shown(world, name)
    return refresh["Status"], refresh["PercentageComplete"], refresh["InstancesToUpdate"]


def second_version(world: MotoWorld, name: str, instance_type: str = "t3.medium") -> dict[str, Any]:
    """A desired configuration: another version of the group's template."""
    data = {"ImageId": "ami-12c6146b", "InstanceType": instance_type}
    made = world.ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
    version = str(made["LaunchTemplateVersion"]["VersionNumber"])
    return {"LaunchTemplate": {"LaunchTemplateName": name, "Version": version}}


def pinned_group(world: MotoWorld, size: int, **settings: Any) -> str:
    """A group that launches from version 1 of its template."""
    name = world.group(**settings)
    template = {"LaunchTemplateName": name, "Version": "1"}
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate=template)
    world.resize(name, size)
    return name


def versions(world: MotoWorld, name: str) -> list[str]:
    (group,) = world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return sorted(each["LaunchTemplate"]["Version"] for each in group["Instances"])


def test_instances_are_replaced_as_the_least_healthy_percentage_allows(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=4)
    old = set(world.states(name))
    refresh = start(world, name, MinHealthyPercentage=50, InstanceWarmup=60)
    for replaced, percent in ((2, 0), (4, 50)):
        assert progress(world, name) == ("InProgress", percent, 4 - replaced + 2)
        assert len(old - set(world.states(name))) == replaced
        assert len(world.states(name)) == 4
        assert "is warming up" in shown(world, name)["StatusReason"]
        world.pass_time(59)
        assert len(old - set(world.states(name))) == replaced
        world.pass_time(1)
    assert progress(world, name) == ("Successful", 100, 0)
    described = shown(world, name)
    assert described["InstanceRefreshId"] == refresh
    assert (described["EndTime"] - described["StartTime"]).total_seconds() == 120
    assert described["Preferences"] == {
        "MinHealthyPercentage": 50,
        "MaxHealthyPercentage": 100,
        "InstanceWarmup": 60,
        "SkipMatching": False,
        "AutoRollback": False,
        "ScaleInProtectedInstances": "Wait",
        "StandbyInstances": "Wait",
    }
    causes = [each["Cause"] for each in world.activities(name) if each["Description"].startswith("Terminating")]
    assert len(causes) == 4
    assert all("in response to an instance refresh" in each for each in causes)


def test_where_the_group_may_grow_replacements_come_first(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=2, MaxSize=2)
    old = set(world.states(name))
    start(world, name, MinHealthyPercentage=100, MaxHealthyPercentage=150, InstanceWarmup=10)
    for there in (1, 2):
        assert len(world.states(name)) == 3
        assert len(old & set(world.states(name))) == 3 - there
        world.pass_time(10)
    assert progress(world, name) == ("Successful", 100, 0)
    assert len(world.states(name)) == 2
    assert not old & set(world.states(name))


def test_without_a_warm_up_all_is_done_at_once(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=5)
    old = set(world.states(name))
    start(world, name, MinHealthyPercentage=60)
    assert progress(world, name) == ("Successful", 100, 0)
    assert not old & set(world.states(name))


@pytest.mark.parametrize("least", [90, 100])
def test_percentages_that_forbid_every_step_mean_one_at_a_time(world: MotoWorld, least: int) -> None:
    name = world.group(DesiredCapacity=2)
    old = set(world.states(name))
    start(world, name, MinHealthyPercentage=least, InstanceWarmup=5)
    assert len(old - set(world.states(name))) == 1
    world.pass_time(5)
    assert len(old - set(world.states(name))) == 2
    world.pass_time(5)
    assert progress(world, name) == ("Successful", 100, 0)


def test_the_groups_own_settings_are_the_usual_ones(world: MotoWorld) -> None:
    shares = {"MinHealthyPercentage": 80, "MaxHealthyPercentage": 120}
    name = world.group(DefaultInstanceWarmup=33, InstanceMaintenancePolicy=shares)
    start(world, name)
    assert progress(world, name) == ("Successful", 100, 0)
    assert shown(world, name)["Preferences"].items() >= ({"InstanceWarmup": 33} | shares).items()
    other = world.group(HealthCheckGracePeriod=7)
    start(world, other)
    usual = {"InstanceWarmup": 7, "MinHealthyPercentage": 90, "MaxHealthyPercentage": 100}
    assert shown(world, other)["Preferences"].items() >= usual.items()


def test_hooks_are_waited_for(world: MotoWorld) -> None:
    hooks = [
        {"LifecycleHookName": hook, "LifecycleTransition": transition, "HeartbeatTimeout": 300}
        for hook, transition in (("up", LAUNCHING), ("down", TERMINATING))
    ]
    name = world.group(LifecycleHookSpecificationList=hooks)
    world.resize(name, 1)
    (old,) = world.states(name)
    done = {"AutoScalingGroupName": name, "LifecycleActionResult": "CONTINUE"}
    world.scaling.complete_lifecycle_action(LifecycleHookName="up", InstanceId=old, **done)
    start(world, name, MinHealthyPercentage=0)
    (new,) = set(world.states(name)) - {old}
    assert world.states(name) == {old: "Terminating:Wait", new: "Pending:Wait"}
    assert progress(world, name) == ("InProgress", 0, 1)
    assert "lifecycle actions" in shown(world, name)["StatusReason"]
    world.scaling.complete_lifecycle_action(LifecycleHookName="up", InstanceId=new, **done)
    world.timer.mind()
    assert progress(world, name) == ("InProgress", 100, 0)
    world.scaling.complete_lifecycle_action(LifecycleHookName="down", InstanceId=old, **done)
    world.timer.mind()
    assert progress(world, name) == ("Successful", 100, 0)
    assert world.states(name) == {new: "InService"}


def test_a_replacement_that_is_abandoned_is_launched_again(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    world.scaling.put_lifecycle_hook(
        AutoScalingGroupName=name, LifecycleHookName="up", LifecycleTransition=LAUNCHING, HeartbeatTimeout=30
    )
    start(world, name)
    (first,) = world.states(name)
    world.pass_time(30)
    (second,) = world.states(name)
    assert first != second
    assert world.power(first) == "terminated"
    assert shown(world, name)["Status"] == "InProgress"


@pytest.mark.parametrize(("choice", "replaced"), [("Refresh", 2), ("Ignore", 1)])
def test_protected_instances(world: MotoWorld, choice: str, replaced: int) -> None:
    name = world.group(DesiredCapacity=2)
    old = sorted(world.states(name))
    world.scaling.set_instance_protection(AutoScalingGroupName=name, InstanceIds=old[:1], ProtectedFromScaleIn=True)
    start(world, name, MinHealthyPercentage=0, ScaleInProtectedInstances=choice)
    assert progress(world, name) == ("Successful", 100, 0)
    assert len(set(old) - set(world.states(name))) == replaced
    assert world.power(old[1]) == "terminated"


def test_protected_instances_are_waited_for_an_hour(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    (old,) = world.states(name)
    protection = {"AutoScalingGroupName": name, "InstanceIds": [old]}
    world.scaling.set_instance_protection(ProtectedFromScaleIn=True, **protection)
    start(world, name)
    assert f"{old} is protected from scale in" in shown(world, name)["StatusReason"]
    world.pass_time(3599)
    assert progress(world, name) == ("InProgress", 0, 1)
    assert world.due() == 1.0
    world.pass_time(1)
    assert progress(world, name) == ("Failed", 0, 1)
    assert f"{old} is protected from scale in" in shown(world, name)["StatusReason"]
    start(world, name)
    world.scaling.set_instance_protection(ProtectedFromScaleIn=False, **protection)
    world.timer.mind()
    assert progress(world, name) == ("Successful", 100, 0)
    assert old not in world.states(name)


@pytest.mark.parametrize(
    ("choice", "status", "kept"),
    [("Terminate", "Successful", False), ("Ignore", "Successful", True), ("Wait", "InProgress", True)],
)
def test_instances_in_standby(world: MotoWorld, choice: str, status: str, kept: bool) -> None:
    name = world.group(DesiredCapacity=2)
    old = sorted(world.states(name))[0]
    world.scaling.enter_standby(AutoScalingGroupName=name, InstanceIds=[old], ShouldDecrementDesiredCapacity=True)
    start(world, name, StandbyInstances=choice)
    assert shown(world, name)["Status"] == status
    assert (old in world.states(name)) == kept


def test_what_is_launched_from_the_desired_configuration_already_is_skipped(world: MotoWorld) -> None:
    name = pinned_group(world, 1)
    desired = second_version(world, name, "m5.large")
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, **desired)
    world.resize(name, 2)
    assert versions(world, name) == ["1", "2"]
    before = set(world.states(name))
    start(world, name, desired, SkipMatching=True)
    assert progress(world, name) == ("Successful", 100, 0)
    assert versions(world, name) == ["2", "2"]
    assert len(before & set(world.states(name))) == 1
    start(world, name, SkipMatching=True)
    assert progress(world, name) == ("Successful", 100, 0)
    assert len(before & set(world.states(name))) == 1
    world.scaling.start_instance_refresh(AutoScalingGroupName=name, Preferences={"SkipMatching": True})
    assert progress(world, name) == ("Pending", 0, 0)


def test_checkpoints_are_paused_at(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=4)
    old = set(world.states(name))
    start(world, name, MinHealthyPercentage=0, CheckpointPercentages=[25, 100], CheckpointDelay=600)
    assert progress(world, name) == ("InProgress", 25, 3)
    assert "Reached a checkpoint at 25%" in shown(world, name)["StatusReason"]
    world.pass_time(599)
    assert len(old & set(world.states(name))) == 3
    world.pass_time(1)
    assert progress(world, name) == ("Successful", 100, 0)
    start(world, name, MinHealthyPercentage=0, CheckpointPercentages=[50])
    assert progress(world, name) == ("Successful", 50, 2)


def test_baking(world: MotoWorld) -> None:
    name = pinned_group(world, 1)
    desired = second_version(world, name)
    start(world, name, desired, BakeTime=100)
    assert progress(world, name) == ("Baking", 100, 0)
    world.pass_time(99)
    assert shown(world, name)["Status"] == "Baking"
    world.pass_time(1)
    assert progress(world, name) == ("Successful", 100, 0)
