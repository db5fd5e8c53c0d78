"""Which instances local groups end first, by their termination policies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.moto_world import MotoWorld

HOUR = 3600.0


def grow_apart(world: MotoWorld, name: str, *ages: float) -> list[str]:
    """Launch an instance at each of these times, seconds apart from the one before; their ids in order."""
    ids: list[str] = []
    for size, seconds in enumerate(ages, start=1):
        world.pass_time(seconds)
        world.resize(name, size)
        ids += [each for each in world.states(name) if each not in ids]
    return ids


def first_gone(world: MotoWorld, name: str, size: int) -> set[str]:
    """What goes when the group shrinks to a size."""
    before = set(world.states(name))
    world.resize(name, size)
    return before - set(world.states(name))


def newer_version(world: MotoWorld, name: str) -> str:
    """Have the group launch from a newer version of its template; the version."""
    data = {"ImageId": "ami-12c6146b", "InstanceType": "t3.medium"}
    made = world.ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
    version = str(made["LaunchTemplateVersion"]["VersionNumber"])
    template = {"LaunchTemplateName": name, "Version": version}
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, LaunchTemplate=template)
    return version


@pytest.mark.parametrize(
    ("policies", "gone"),
    [
        (["OldestInstance"], 0),
        (["NewestInstance"], 2),
        (["ClosestToNextInstanceHour"], 1),
        (["OldestLaunchConfiguration", "NewestInstance"], 2),
        (["Default"], 1),
    ],
)
def test_a_policy_says_who_goes_first(world: MotoWorld, policies: list[str], gone: int) -> None:
    name = world.group(VPCZoneIdentifier=world.subnets["us-east-1a"], TerminationPolicies=policies)
    ids = grow_apart(world, name, 0, 600, 1200)  # the second has 50 of 60 minutes behind it when it is decided
    world.pass_time(1800)
    ages = [HOUR * 1, 3000.0, 1800.0]
    assert [world.now - at for at in launch_times(world, name)] == ages
    assert first_gone(world, name, 2) == {ids[gone]}


def launch_times(world: MotoWorld, name: str) -> list[float]:
    activities = [each for each in world.activities(name) if each["Description"].startswith("Launching")]
    return sorted(each["StartTime"].timestamp() for each in activities)


@pytest.mark.parametrize("policies", [["OldestLaunchTemplate", "NewestInstance"], ["Default"]])
def test_the_oldest_template_goes_first(world: MotoWorld, policies: list[str]) -> None:
    name = world.group(VPCZoneIdentifier=world.subnets["us-east-1a"], TerminationPolicies=policies)
    (first,) = grow_apart(world, name, 0)
    assert newer_version(world, name) == "2"
    world.pass_time(10)
    world.resize(name, 3)
    assert first_gone(world, name, 2) == {first}


def test_zones_are_kept_in_balance_whatever_the_policy_is(world: MotoWorld) -> None:
    name = world.group(TerminationPolicies=["NewestInstance"])
    ids = grow_apart(world, name, 0, 60, 60, 60)
    zones = {each["InstanceId"]: each["AvailabilityZone"] for each in members(world, name)}
    assert zones[ids[0]] == zones[ids[3]]
    world.scaling.set_instance_protection(AutoScalingGroupName=name, InstanceIds=[ids[3]], ProtectedFromScaleIn=True)
    assert first_gone(world, name, 3) == {ids[0]}
    assert first_gone(world, name, 2) == {ids[2]}


def test_of_a_mixed_group_what_it_has_too_much_of_goes_first(world: MotoWorld) -> None:
    name = mixed_group(world, on_demand_percent=50)
    world.resize(name, 4)
    kinds = {each["InstanceId"]: spot(world, each["InstanceId"]) for each in members(world, name)}
    assert sorted(kinds.values()) == [False, False, True, True]
    world.resize(name, 2)
    assert sorted(kinds[each] for each in world.states(name)) == [False, True]


def test_the_last_choice_of_types_goes_first(world: MotoWorld) -> None:
    name = mixed_group(world, on_demand_percent=100, TerminationPolicies=["AllocationStrategy"])
    world.resize(name, 1)
    world.refuse(code="InsufficientInstanceCapacity", instance_type="t3.medium")
    world.resize(name, 2)
    types = {each["InstanceId"]: each["InstanceType"] for each in members(world, name)}
    assert sorted(types.values()) == ["m5.large", "t3.medium"]
    (gone,) = first_gone(world, name, 1)
    assert types[gone] == "m5.large"


def members(world: MotoWorld, name: str) -> list[dict[str, Any]]:
    (group,) = world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return list(group["Instances"])


def mixed_group(world: MotoWorld, on_demand_percent: int, **settings: Any) -> str:
    """A group of two types in one zone."""
    name = world.group(VPCZoneIdentifier=world.subnets["us-east-1a"], **settings)
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": name},
            "Overrides": [{"InstanceType": "t3.medium"}, {"InstanceType": "m5.large"}],
        },
        "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": on_demand_percent},
    }
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, MixedInstancesPolicy=policy)
    return name


def spot(world: MotoWorld, instance_id: str) -> bool:
    (reservation,) = world.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return reservation["Instances"][0].get("InstanceLifecycle") == "spot"
