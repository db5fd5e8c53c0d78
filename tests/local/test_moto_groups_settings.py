"""The settings of local groups that moto drops: kept, shown, and refused where they can't be."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.moto_world import MotoWorld

SETTINGS = {
    "CapacityRebalance": True,
    "DefaultCooldown": 0,
    "DefaultInstanceWarmup": 45,
    "HealthCheckGracePeriod": 0,
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150},
    "MaxInstanceLifetime": 86_400,
    "TerminationPolicies": ["NewestInstance", "Default"],
}
OTHERS = {
    "CapacityRebalance": False,
    "DefaultCooldown": 7,
    "DefaultInstanceWarmup": 0,
    "HealthCheckGracePeriod": 30,
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 100},
    "MaxInstanceLifetime": 31_536_000,
    "TerminationPolicies": ["OldestInstance"],
}


def described(world: MotoWorld, name: str) -> dict[str, Any]:
    (group,) = world.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return {member: group.get(member) for member in SETTINGS}


def test_what_is_set_is_shown(world: MotoWorld) -> None:
    name = world.group(**SETTINGS)
    assert described(world, name) == SETTINGS
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, **OTHERS)
    assert described(world, name) == OTHERS
    world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=5)
    assert described(world, name) == OTHERS


def test_what_is_not_set_is_what_aws_makes_of_it(world: MotoWorld) -> None:
    assert described(world, world.group()) == {
        "CapacityRebalance": False,
        "DefaultCooldown": 300,
        "DefaultInstanceWarmup": None,
        "HealthCheckGracePeriod": 0,
        "InstanceMaintenancePolicy": None,
        "MaxInstanceLifetime": None,
        "TerminationPolicies": ["Default"],
    }


def test_settings_can_be_taken_away(world: MotoWorld) -> None:
    name = world.group(**SETTINGS)
    none = {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1}
    world.scaling.update_auto_scaling_group(
        AutoScalingGroupName=name, DefaultInstanceWarmup=-1, MaxInstanceLifetime=0, InstanceMaintenancePolicy=none
    )
    gone = {"DefaultInstanceWarmup": None, "MaxInstanceLifetime": None, "InstanceMaintenancePolicy": None}
    assert described(world, name) == SETTINGS | gone


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"TerminationPolicies": ["Youngest"]}, "Termination policy Youngest is not valid. Valid .*NewestInstance"),
        ({"TerminationPolicies": ["Default", "OldestInstance"]}, "Default termination policy must be the last"),
        ({"MaxInstanceLifetime": 60}, "MaxInstanceLifetime 60 must be 0 or between 86400 and 31536000"),
        ({"DefaultCooldown": -1}, "DefaultCooldown -1 must not be less than 0"),
        ({"DefaultInstanceWarmup": -2}, "DefaultInstanceWarmup -2 must not be less than -1"),
        ({"InstanceMaintenancePolicy": {"MinHealthyPercentage": 50}}, "must be specified together"),
        (
            {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 101, "MaxHealthyPercentage": 110}},
            "MinHealthyPercentage 101 must be between 0 and 100",
        ),
        (
            {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 99}},
            "MaxHealthyPercentage 99 must be between 100 and 200",
        ),
        (
            {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 150}},
            "MaxHealthyPercentage 150 must not be more than 100 above MinHealthyPercentage 0",
        ),
    ],
)
def test_settings_that_cannot_be(world: MotoWorld, settings: dict[str, Any], words: str) -> None:
    name = world.group()
    before = described(world, name)
    with pytest.raises(ClientError, match=words) as caught:
        world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, **({"DefaultCooldown": 1} | settings))
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert described(world, name) == before


def test_a_refused_change_changes_no_setting(world: MotoWorld) -> None:
    name = world.group()
    before = described(world, name)
    with pytest.raises(ClientError, match="Max bound"):
        world.scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=9, MaxSize=2, **SETTINGS)
    assert described(world, name) == before
    with pytest.raises(ClientError, match="AutoScalingGroup name not found"):
        world.scaling.update_auto_scaling_group(AutoScalingGroupName="no-such", **SETTINGS)
