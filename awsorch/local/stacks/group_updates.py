"""UpdatePolicy of Auto Scaling groups: what an update of what instances are launched from does to those that run.

A rolling update is an instance refresh of the group. Source: AWS CloudFormation template reference, "UpdatePolicy
attribute" (AutoScalingReplacingUpdate, AutoScalingRollingUpdate, AutoScalingScheduledAction).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused, Properties, same, scalar_text
from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.signals import GROUP, seconds_of

Policy = Mapping[str, Any]

ROLLING = "AutoScalingRollingUpdate"
REPLACING = "AutoScalingReplacingUpdate"
SCHEDULED = "AutoScalingScheduledAction"
_MEMBERS = {
    ROLLING: {
        "MaxBatchSize",
        "MinInstancesInService",
        "MinSuccessfulInstancesPercent",
        "PauseTime",
        "SuspendProcesses",
        "WaitOnResourceSignals",
    },
    REPLACING: {"WillReplace"},
    SCHEDULED: {"IgnoreUnmodifiedGroupSizeProperties"},
}
_LAUNCHING = frozenset(
    {
        "AvailabilityZones",
        "LaunchConfigurationName",
        "LaunchTemplate",
        "MixedInstancesPolicy",
        "PlacementGroup",
        "VPCZoneIdentifier",
    }
)
"""The properties whose change concerns the instances."""
_SIZES = frozenset({"DesiredCapacity", "MaxSize", "MinSize"})
_ENDED_BADLY = frozenset({"Cancelled", "Failed", "RollbackFailed", "RollbackSuccessful"})


def check_policy(name: str, resource: Mapping[str, Any]) -> None:
    """Raises TemplateError for a policy of which something would be ignored; values that functions make are looked at
    when they are known."""
    policy = resource.get("UpdatePolicy") or {}
    if not isinstance(policy, Mapping):
        raise TemplateError(f"Template format error: UpdatePolicy of resource {name} must be an object.")
    for part, members in policy.items():
        if resource.get("Type") != GROUP or part not in _MEMBERS:
            raise TemplateError(f"UpdatePolicy {part} of resource {name} is not supported by the local stack engine.")
        unknown = sorted(set(members) - _MEMBERS[part]) if isinstance(members, Mapping) else ["?"]
        if unknown and not unknown[0].startswith("Fn::"):
            raise TemplateError(f"Encountered unsupported property {unknown[0]} in UpdatePolicy {part} of {name}")


def replaces(policy: Policy, differing: frozenset[str]) -> bool:
    """Whether an update that changes these properties makes another group."""
    return bool(differing & _LAUNCHING) and _is_true((policy.get(REPLACING) or {}).get("WillReplace"))


def without_sizes(policy: Policy, model: Properties, previous: Properties) -> tuple[Properties, Properties]:
    """The properties to update with, and the previous ones; without unchanged sizes, which scheduled actions may have
    set since, where the policy says so."""
    if not _is_true((policy.get(SCHEDULED) or {}).get("IgnoreUnmodifiedGroupSizeProperties")):
        return model, previous
    left = {name for name in _SIZES if same(model.get(name), previous.get(name))}
    return (
        {name: value for name, value in model.items() if name not in left},
        {name: value for name, value in previous.items() if name not in left},
    )


def rolls(type: str, policy: Policy, model: Properties, previous: Properties) -> bool:
    """Whether an update replaces the instances that run."""
    if type != GROUP or ROLLING not in policy:
        return False
    return any(not same(model.get(name), previous.get(name)) for name in _LAUNCHING)


def is_signalled(policy: Policy) -> bool:
    """Whether a rolling update waits for signals of the new instances."""
    return _is_true((policy.get(ROLLING) or {}).get("WaitOnResourceSignals"))


class Rolling:
    """The rolling update of one group. Methods raise CallRefused, TemplateError."""

    def __init__(self, calls: AwsCalls, group: str, policy: Policy) -> None:
        self._calls = calls
        self._named = {"AutoScalingGroupName": group}
        self._policy = policy.get(ROLLING) or {}

    async def suspend(self) -> None:
        """Keep the group from doing what it is not to do meanwhile."""
        suspended = self._policy.get("SuspendProcesses") or []
        if suspended:
            await self._call("SuspendProcesses", ScalingProcesses=suspended)

    async def begin(self) -> bool:
        """Begin to replace the instances that are not as the group now has them; carry on where that is under way.
        Answers whether there are any instances."""
        answer = await self._call("DescribeAutoScalingGroups")
        size = len(answer["AutoScalingGroups"][0]["Instances"])
        if size == 0:
            return False
        preferences = {
            "InstanceWarmup": int(seconds_of(self._policy.get("PauseTime", "PT0S"))),
            "MinHealthyPercentage": self._percentage(size),
            "SkipMatching": True,
        }
        try:
            await self._calls.call("autoscaling", "StartInstanceRefresh", {**self._named, "Preferences": preferences})
        except CallRefused as error:
            if error.code != "InstanceRefreshInProgress":
                raise
        return True

    async def ended(self) -> str | None:
        """ "" when it has ended well, why when it has not; None while it goes on."""
        answer = await self._calls.call("autoscaling", "DescribeInstanceRefreshes", self._named)
        newest = next(iter(answer["InstanceRefreshes"]), None)
        if newest is None or newest["Status"] == "Successful":
            return ""
        if newest["Status"] in _ENDED_BADLY:
            return (
                f"The rolling update ended as {newest['Status']}: {newest.get('StatusReason', 'no reason was given')}"
            )
        return None

    async def cancel(self) -> None:
        """Replace no more."""
        try:
            await self._call("CancelInstanceRefresh")
        except CallRefused as error:
            if error.code != "ActiveInstanceRefreshNotFound":
                raise

    async def resume(self) -> None:
        """Let the group do again what it was not to do meanwhile."""
        suspended = self._policy.get("SuspendProcesses") or []
        if suspended:
            await self._call("ResumeProcesses", ScalingProcesses=suspended)

    def _percentage(self, size: int) -> int:
        """How many of so many instances stay in service, in percent."""
        batch, least = self._number("MaxBatchSize", 1), self._number("MinInstancesInService", 0)
        return min(100, 100 * max(least, size - batch, 0) // size)

    def _number(self, name: str, unsaid: int) -> int:
        text = scalar_text(self._policy.get(name, unsaid)) or ""
        if not text.isdecimal():
            raise TemplateError(f"{name} of UpdatePolicy {ROLLING} must be an integer, not {text}.")
        return int(text)

    async def _call(self, operation: str, **members: Any) -> Mapping[str, Any]:
        names = {"AutoScalingGroupNames": [self._named["AutoScalingGroupName"]]}
        own = names if operation == "DescribeAutoScalingGroups" else self._named
        return await self._calls.call("autoscaling", operation, {**own, **members})


def _is_true(value: Any) -> bool:
    return not isinstance(value, Mapping | list) and scalar_text(value) == "true"
