"""Instance refreshes of local groups that change what the group launches, are cancelled, rolled back, or fail."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.moto_world import MotoWorld
from tests.local.test_moto_groups_refresh import (
    TERMINATING,
    pinned_group,
    progress,
    second_version,
    shown,
    start,
    versions,
)


def template_of(world: MotoWorld, name: str) -> str:
    """The version of the template that the group shows."""
    (group,) = world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return str(group["LaunchTemplate"]["Version"])


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_a_group_takes_the_desired_configuration_over_when_all_is_done(world: MotoWorld) -> None:
    name = pinned_group(world, 2)
    desired = second_version(world, name)
    start(world, name, desired, MinHealthyPercentage=50, InstanceWarmup=10)
    assert versions(world, name) == ["1", "2"]
    assert template_of(world, name) == "1"
    assert shown(world, name)["DesiredConfiguration"] == desired
    world.resize(name, 3)  # what is launched meanwhile is new as well
    assert versions(world, name) == ["1", "2", "2"]
    for change in (desired, {"LaunchConfigurationName": "other"}):
        with pytest.raises(ClientError, match="An active instance refresh with a desired configuration") as caught:
            world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, **change)
        assert code_of(caught) == "ValidationError"
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=7)
    world.pass_time(10)
    world.pass_time(10)
    assert progress(world, name) == ("Successful", 100, 0)
    assert versions(world, name) == ["2", "2", "2"]
    assert template_of(world, name) == "2"
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, **desired)


def test_a_group_of_a_template_can_become_a_mixed_one(world: MotoWorld) -> None:
    name = pinned_group(world, 1)
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "1"},
            "Overrides": [{"InstanceType": "m5.large", "WeightedCapacity": "1"}],
        },
        "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 0},
    }
    start(world, name, {"MixedInstancesPolicy": policy})
    assert progress(world, name) == ("Successful", 100, 0)
    (group,) = world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert [each["InstanceType"] for each in group["Instances"]] == ["m5.large"]
    assert group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"] == policy["LaunchTemplate"]["Overrides"]


def test_a_cancelled_refresh_leaves_what_it_has_replaced(world: MotoWorld) -> None:
    name = pinned_group(world, 2)
    refresh = start(world, name, second_version(world, name), MinHealthyPercentage=50, InstanceWarmup=10)
    assert world.scaling.cancel_instance_refresh(AutoScalingGroupName=name)["InstanceRefreshId"] == refresh
    assert shown(world, name)["Status"] == "Cancelled"
    assert shown(world, name)["StatusReason"] == "Cancelled due to user request."
    world.pass_time(10)
    assert versions(world, name) == ["1", "2"]
    world.resize(name, 3)
    assert versions(world, name) == ["1", "1", "2"]
    with pytest.raises(ClientError) as caught:
        world.scaling.cancel_instance_refresh(AutoScalingGroupName=name)
    assert code_of(caught) == "ActiveInstanceRefreshNotFound"


@pytest.mark.parametrize("wait", [True, False])
def test_instances_on_their_way_are_waited_for_where_a_cancellation_is_to(world: MotoWorld, wait: bool) -> None:
    name = world.group(DesiredCapacity=1)
    (old,) = world.states(name)
    hook = {"AutoScalingGroupName": name, "LifecycleHookName": "down"}
    world.scaling.put_lifecycle_hook(LifecycleTransition=TERMINATING, **hook)
    start(world, name)
    world.scaling.cancel_instance_refresh(AutoScalingGroupName=name, WaitForTransitioningInstances=wait)
    assert shown(world, name)["Status"] == ("Cancelling" if wait else "Cancelled")
    if wait:
        with pytest.raises(ClientError, match="InstanceRefreshInProgress"):
            start(world, name)
    world.scaling.complete_lifecycle_action(InstanceId=old, LifecycleActionResult="CONTINUE", **hook)
    world.timer.mind()
    assert shown(world, name)["Status"] == "Cancelled"


def test_a_group_has_the_size_it_should_when_a_refresh_that_made_it_larger_is_cancelled(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=2)
    start(world, name, MinHealthyPercentage=100, MaxHealthyPercentage=200, InstanceWarmup=10)
    assert len(world.states(name)) == 4
    world.scaling.cancel_instance_refresh(AutoScalingGroupName=name)
    assert len(world.states(name)) == 2


def test_a_rollback_brings_the_configuration_before_back(world: MotoWorld) -> None:
    name = pinned_group(world, 4)
    untouched = set(world.states(name))
    start(world, name, second_version(world, name), MinHealthyPercentage=50, InstanceWarmup=10)
    world.pass_time(10)
    assert versions(world, name) == ["2", "2", "2", "2"]
    assert progress(world, name) == ("InProgress", 50, 2)
    world.scaling.rollback_instance_refresh(AutoScalingGroupName=name)
    world.timer.mind()
    refresh = shown(world, name)
    assert (refresh["Status"], refresh["InstancesToUpdate"]) == ("RollbackInProgress", 2)
    details = refresh["RollbackDetails"]
    assert (details["PercentageCompleteOnRollback"], details["InstancesToUpdateOnRollback"]) == (50, 2)
    assert details["RollbackReason"] == "Rollback due to user request."
    assert versions(world, name) == ["1", "1", "2", "2"]
    world.pass_time(10)
    assert progress(world, name) == ("RollbackInProgress", 25, 2)
    world.pass_time(10)
    assert progress(world, name) == ("RollbackSuccessful", 0, 2)
    assert versions(world, name) == ["1", "1", "1", "1"]
    assert not untouched & set(world.states(name))
    assert template_of(world, name) == "1"
    with pytest.raises(ClientError) as caught:
        world.scaling.rollback_instance_refresh(AutoScalingGroupName=name)
    assert code_of(caught) == "ActiveInstanceRefreshNotFound"


def test_a_refresh_that_comes_no_further_is_rolled_back_by_itself_where_it_is_to(world: MotoWorld) -> None:
    name = pinned_group(world, 1)
    world.refuse(instance_type="m5.large")
    start(world, name, second_version(world, name, "m5.large"), AutoRollback=True, MinHealthyPercentage=0)
    assert world.states(name) == {}
    assert shown(world, name)["StatusReason"] == "Waiting for instances to launch."
    world.pass_time(3600)
    assert shown(world, name)["Status"] == "RollbackSuccessful"
    assert "no further for an hour" in shown(world, name)["RollbackDetails"]["RollbackReason"]
    assert versions(world, name) == ["1"]


def test_a_refresh_fails_where_what_it_launches_from_is_deleted(world: MotoWorld) -> None:
    name, other = pinned_group(world, 2), pinned_group(world, 0)
    start(world, name, {"LaunchTemplate": {"LaunchTemplateName": other}}, MinHealthyPercentage=50, InstanceWarmup=10)
    world.ec2.delete_launch_template(LaunchTemplateName=other)
    world.timer.mind()
    assert shown(world, name)["Status"] == "Failed"
    assert other in shown(world, name)["StatusReason"]
    world.resize(name, 3)
    assert versions(world, name) == ["1", "1", "1"]


def test_a_suspended_process_is_waited_for(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    (old,) = world.states(name)
    processes = {"AutoScalingGroupName": name, "ScalingProcesses": ["Terminate"]}
    world.scaling.suspend_processes(**processes)
    start(world, name)
    assert list(world.states(name)) == [old]
    assert "suspended process Terminate" in shown(world, name)["StatusReason"]
    world.scaling.resume_processes(**processes)
    world.timer.mind()
    assert progress(world, name) == ("Successful", 100, 0)


def test_an_instance_that_dies_meanwhile_is_replaced_once(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=2)
    old = set(world.states(name))
    start(world, name, MinHealthyPercentage=50, InstanceWarmup=10)
    (left,) = old & set(world.states(name))
    world.ec2.terminate_instances(InstanceIds=[left])
    world.timer.mind()
    assert len(world.states(name)) == 2
    world.pass_time(10)
    assert progress(world, name) == ("Successful", 100, 0)
    assert len(world.activities(name)) == 6  # two launched, two ended, two launched


def test_only_one_refresh_at_a_time(world: MotoWorld) -> None:
    name = world.group(DesiredCapacity=1)
    first = start(world, name, InstanceWarmup=10)
    with pytest.raises(ClientError, match="already in progress and blocks the execution") as caught:
        start(world, name)
    assert code_of(caught) == "InstanceRefreshInProgress"
    world.pass_time(10)
    second = start(world, name, InstanceWarmup=10)
    describe, asked = world.scaling.describe_instance_refreshes, {"AutoScalingGroupName": name}
    page = describe(MaxRecords=1, **asked)
    assert [each["InstanceRefreshId"] for each in page["InstanceRefreshes"]] == [second]
    page = describe(MaxRecords=1, NextToken=page["NextToken"], **asked)
    assert [each["InstanceRefreshId"] for each in page["InstanceRefreshes"]] == [first]
    assert "NextToken" not in page
    (one,) = describe(InstanceRefreshIds=[first], **asked)["InstanceRefreshes"]
    assert one["Status"] == "Successful"
    with pytest.raises(ClientError) as caught:
        describe(NextToken="none", **asked)
    assert code_of(caught) == "InvalidNextToken"


@pytest.mark.parametrize("pinned", [True, False])
def test_what_cannot_be_rolled_back(world: MotoWorld, pinned: bool) -> None:
    """A refresh without a desired configuration, and one of a group that names no version of its template."""
    name = pinned_group(world, 1) if pinned else world.group(DesiredCapacity=1)
    desired = None if pinned else second_version(world, name)
    words = "without a desired configuration" if pinned else r"is \$Latest or \$Default"
    with pytest.raises(ClientError, match=words) as caught:
        start(world, name, desired, AutoRollback=True)
    assert code_of(caught) == "ValidationError"
    start(world, name, desired, InstanceWarmup=10)
    with pytest.raises(ClientError, match=words) as caught:
        world.scaling.rollback_instance_refresh(AutoScalingGroupName=name)
    assert code_of(caught) == "IrreversibleInstanceRefresh"
    assert shown(world, name)["Status"] == "InProgress"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"Preferences": {"MaxHealthyPercentage": 110}}, "you must also specify MinHealthyPercentage"),
        ({"Preferences": {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 110}}, "more than 100 above"),
        ({"Preferences": {"MinHealthyPercentage": 101}}, "MinHealthyPercentage 101 must be between 0 and 100"),
        ({"Preferences": {"ScaleInProtectedInstances": "Keep"}}, r"Keep is not valid. .*\[Refresh, Ignore, Wait\]"),
        ({"Preferences": {"StandbyInstances": "Keep"}}, r"Keep is not valid. .*\[Terminate, Ignore, Wait\]"),
        ({"Preferences": {"CheckpointPercentages": [50, 20]}}, "in ascending order"),
        ({"Preferences": {"CheckpointPercentages": [50, 101]}}, "from 1 to 100"),
        ({"Preferences": {"CheckpointDelay": 5}}, "CheckpointDelay needs CheckpointPercentages"),
        ({"Preferences": {"BakeTime": 172_801}}, "BakeTime 172801 must be 0 to 172800 seconds"),
        ({"Preferences": {"AlarmSpecification": {"Alarms": ["a"]}}}, "AlarmSpecification is not valid here"),
        ({"Strategy": "ReplaceRootVolume"}, r"Valid strategies are: \[Rolling\]"),
        ({"DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateName": "no-such"}}}, "no-such, does not exist"),
        (
            {
                "DesiredConfiguration": {
                    "MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": [{"InstanceType": "a"}]}}
                }
            },
            "must contain",
        ),
    ],
)
def test_refreshes_that_cannot_be(world: MotoWorld, members: dict[str, Any], words: str) -> None:
    name = world.group(DesiredCapacity=1)
    before = world.states(name)
    with pytest.raises(ClientError, match=words) as caught:
        world.scaling.start_instance_refresh(AutoScalingGroupName=name, **members)
    assert code_of(caught) == "ValidationError"
    world.timer.mind()
    assert world.states(name) == before
    assert world.scaling.describe_instance_refreshes(AutoScalingGroupName=name)["InstanceRefreshes"] == []


def test_a_version_that_is_not_there(world: MotoWorld) -> None:
    name = world.group()
    for version, words in (("9", "specified version 9"), ("x", "must be a number, .Latest or .Default")):
        with pytest.raises(ClientError, match=words):
            start(world, name, {"LaunchTemplate": {"LaunchTemplateName": name, "Version": version}})
    with pytest.raises(ClientError, match="AutoScalingGroup name not found"):
        world.scaling.start_instance_refresh(AutoScalingGroupName="no-such")
