"""UpdatePolicy of Auto Scaling groups: what is refused, what replaces, and how instances are rolled over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from awsorch.cfn.contract import CallRefused
from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.group_updates import (
    REPLACING,
    ROLLING,
    SCHEDULED,
    Rolling,
    check_policy,
    replaces,
    rolls,
    without_sizes,
)
from awsorch.local.stacks.signals import GROUP

OLD = {"LaunchTemplate": {"Version": "1"}, "MinSize": "1", "MaxSize": "4"}
NEW = {**OLD, "LaunchTemplate": {"Version": "2"}}


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ({"Type": GROUP, "UpdatePolicy": {"Sideways": {}}}, "UpdatePolicy Sideways of resource A is not supported"),
        ({"Type": "AWS::Lambda::Alias", "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": {}}}, "is not supported"),
        ({"Type": GROUP, "UpdatePolicy": {ROLLING: {"Speed": 1}}}, "unsupported property Speed"),
        ({"Type": GROUP, "UpdatePolicy": []}, None),
        ({"Type": GROUP, "UpdatePolicy": "now"}, "must be an object"),
        ({"Type": GROUP, "UpdatePolicy": {REPLACING: {"WillReplace": True}, SCHEDULED: {}}}, None),
        ({"Type": GROUP}, None),
    ],
)
def test_nothing_of_a_policy_is_ignored(resource: dict[str, Any], said: str | None) -> None:
    if said is None:
        check_policy("A", resource)
        return
    with pytest.raises(TemplateError, match=said):
        check_policy("A", resource)


def test_a_group_is_replaced_when_what_it_launches_changes() -> None:
    policy = {REPLACING: {"WillReplace": "true"}}
    assert replaces(policy, frozenset({"LaunchTemplate"}))
    assert not replaces(policy, frozenset({"MaxSize"}))
    assert not replaces({REPLACING: {"WillReplace": False}}, frozenset({"LaunchTemplate"}))


def test_sizes_that_the_template_does_not_change_are_left_alone() -> None:
    policy = {SCHEDULED: {"IgnoreUnmodifiedGroupSizeProperties": True}}
    model, previous = without_sizes(policy, {**NEW, "MaxSize": 5}, OLD)
    assert model == {"LaunchTemplate": {"Version": "2"}, "MaxSize": 5}
    assert previous == {"LaunchTemplate": {"Version": "1"}, "MaxSize": "4"}
    assert without_sizes({}, NEW, OLD) == (NEW, OLD)


def test_instances_roll_where_the_policy_says_so() -> None:
    assert rolls(GROUP, {ROLLING: {}}, NEW, OLD)
    assert not rolls(GROUP, {ROLLING: {}}, {**OLD, "MaxSize": 9}, OLD)
    assert not rolls(GROUP, {}, NEW, OLD)


class Scaling:
    """Auto Scaling with so many instances. `refreshes`: how a refresh stands, one for each time that it is asked."""

    def __init__(self, size: int, refreshes: list[str], refused: str = "") -> None:
        self.size = size
        self.refreshes = refreshes
        self.refused = refused
        self.did: list[tuple[str, Any]] = []

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation == "DescribeAutoScalingGroups":
            return {"AutoScalingGroups": [{"Instances": [{}] * self.size}]}
        if operation == "DescribeInstanceRefreshes":
            found = [{"Status": self.refreshes.pop(0), "StatusReason": "so it was"}] if self.refreshes else []
            return {"InstanceRefreshes": found}
        self.did.append((operation, members.get("Preferences") or members.get("ScalingProcesses")))
        if operation in ("StartInstanceRefresh", "CancelInstanceRefresh") and self.refused:
            raise CallRefused(service=service, operation=operation, code=self.refused, message="no")
        return {}


@pytest.mark.parametrize(
    ("size", "policy", "percentage"),
    [
        (4, {}, 75),
        (4, {"MaxBatchSize": "2"}, 50),
        (4, {"MaxBatchSize": 4, "MinInstancesInService": 3}, 75),
        (3, {"MaxBatchSize": 1}, 66),
        (1, {"MinInstancesInService": 1}, 100),
    ],
)
def test_so_many_instances_stay_in_service(size: int, policy: Any, percentage: int) -> None:
    scaling = Scaling(size, ["Successful"])
    asyncio.run(Rolling(scaling, "g", {ROLLING: policy}).begin())
    ((_, preferences),) = scaling.did
    assert preferences == {"InstanceWarmup": 0, "MinHealthyPercentage": percentage, "SkipMatching": True}


def test_processes_are_suspended_and_resumed_and_the_end_is_told() -> None:
    async def scene() -> None:
        scaling = Scaling(2, ["InProgress", "Successful", "Failed"])
        rolling = Rolling(scaling, "g", {ROLLING: {"PauseTime": "PT1M", "SuspendProcesses": ["AZRebalance"]}})
        await rolling.suspend()
        await rolling.begin()
        assert await rolling.ended() is None
        assert await rolling.ended() == ""
        assert await rolling.ended() == "The rolling update ended as Failed: so it was"
        await rolling.cancel()
        await rolling.resume()
        assert [name for name, _ in scaling.did] == [
            "SuspendProcesses",
            "StartInstanceRefresh",
            "CancelInstanceRefresh",
            "ResumeProcesses",
        ]
        assert scaling.did[1][1]["InstanceWarmup"] == 60

    asyncio.run(scene())


def test_what_is_under_way_is_carried_on() -> None:
    assert asyncio.run(Rolling(Scaling(2, [], "InstanceRefreshInProgress"), "g", {ROLLING: {}}).begin())
    assert not asyncio.run(Rolling(Scaling(0, ["Failed"]), "g", {ROLLING: {}}).begin()), "an empty group"
    asyncio.run(Rolling(Scaling(2, [], "ActiveInstanceRefreshNotFound"), "g", {ROLLING: {}}).cancel())
    with pytest.raises(CallRefused, match="no"):
        asyncio.run(Rolling(Scaling(2, [], "ValidationError"), "g", {ROLLING: {}}).begin())
    with pytest.raises(TemplateError, match="MaxBatchSize of UpdatePolicy AutoScalingRollingUpdate must be an integer"):
        asyncio.run(Rolling(Scaling(2, []), "g", {ROLLING: {"MaxBatchSize": "few"}}).begin())
