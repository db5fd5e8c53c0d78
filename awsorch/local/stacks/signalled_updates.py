"""Rolling updates that wait for signals: batch by batch, the next one when the new instances of the last have said that
they are well.

Source: AWS CloudFormation template reference, "UpdatePolicy attribute", AutoScalingRollingUpdate
(WaitOnResourceSignals, MinSuccessfulInstancesPercent).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.cfn.contract import AwsCalls, Properties, same, scalar_text
from awsorch.local.stacks.errors import TemplateError
from awsorch.local.stacks.mailbox import Letter
from awsorch.local.stacks.signals import seconds_of

_TEMPLATES = ("LaunchConfigurationName", "LaunchTemplate", "MixedInstancesPolicy")
_LAUNCH_SECONDS = 600.0
"""Instances that are not in service by then never will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """What the policy says. `least`: instances in service meanwhile; `percent` of a batch's signals have to be good."""

    size: int
    least: int
    pause: float
    percent: int

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> Batches:
        """Raises TemplateError."""
        return cls(
            size=max(1, _number(policy, "MaxBatchSize", 1)),
            least=_number(policy, "MinInstancesInService", 0),
            pause=seconds_of(policy.get("PauseTime", "PT5M")),
            percent=_number(policy, "MinSuccessfulInstancesPercent", 100),
        )


@dataclass(slots=True)
class SignalledUpdate:
    """Replaces the instances of one group. `signals` are all that came for it; `rest` waits for so many seconds and
    answers whether to give up."""

    calls: AwsCalls
    group: str
    batches: Batches
    signals: Callable[[], Mapping[str, Letter]]
    rest: Callable[[float], Awaitable[bool]]

    async def run(self, model: Properties, previous: Properties) -> str | None:
        """Replace what was launched as `previous` says. Answers why it failed, "" where it did not, None where it was
        given up. Raises CallRefused."""
        group = await self._look()
        old = [each["InstanceId"] for each in group["Instances"]]
        if any(not same(model.get(name), previous.get(name)) for name in _TEMPLATES):
            wanted = await self._launched_with(group)
            old = [each["InstanceId"] for each in group["Instances"] if _launched_with(each) != wanted]
        desired, extra = int(group["DesiredCapacity"]), 0
        if old and min(self.batches.least, desired) >= desired:
            # None can be spared: as many more for the time being as the group may have.
            extra = max(0, min(self.batches.size, len(old), int(group["MaxSize"]) - desired))
        try:
            if extra:
                why = await self._batch(extra, lambda: self._set_size(desired + extra))
                if why != "":
                    return why
            return await self._replace(old, desired + extra, extra)
        finally:
            if extra:
                await self._set_size(desired)

    async def _replace(self, old: list[str], size: int, extra: int) -> str | None:
        """Batch by batch, of so many instances. The last of `old` have their successors already, where there are
        `extra`."""
        spared = max(1, min(self.batches.size, size - self.batches.least))
        while len(old) > extra:
            count = min(spared, len(old) - extra)
            batch, old = old[:count], old[count:]

            async def end(batch: list[str] = batch) -> None:
                for id in batch:
                    await self._end(id, for_good=False)

            why = await self._batch(len(batch), end)
            if why != "":
                return why
        for id in old:
            await self._end(id, for_good=True)
        return ""

    async def _batch(self, count: int, change: Callable[[], Awaitable[None]]) -> str | None:
        """Change something of which so many new instances come, and hear of them."""
        known = {each["InstanceId"] for each in (await self._look())["Instances"]}
        before = self.signals().keys()
        await change()
        waited, pause = 0.0, 0.25
        while True:
            heard = {id: each for id, each in self.signals().items() if id not in before}
            why = self._verdict(count, heard, waited)
            if why != "":
                if why is not None:
                    return why
            elif await self._is_there(count, known):
                return ""
            elif waited > _LAUNCH_SECONDS:
                return f"{count} new instance(s) were not in service within {_LAUNCH_SECONDS:.0f} seconds"
            if await self.rest(pause):
                return None
            waited, pause = waited + pause, min(2 * pause, 2.0)

    def _verdict(self, count: int, heard: Mapping[str, Letter], waited: float) -> str | None:
        """As of signals.heard: why never, "" for enough, None while more may come."""
        needed = math.ceil(count * self.batches.percent / 100)
        good = sum(each["Status"] == "SUCCESS" for each in heard.values())
        bad = len(heard) - good
        if good >= needed:
            return ""
        if bad > count - needed:
            return (
                f"Received {bad} FAILURE signal(s) out of {count}. Unable to satisfy "
                f"{self.batches.percent}% MinSuccessfulInstancesPercent requirement"
            )
        if waited >= self.batches.pause:
            return (
                f"Failed to receive {needed - good} resource signal(s) for the current batch. Each resource signal "
                "timeout is counted as a FAILURE."
            )
        return None

    async def _is_there(self, count: int, known: set[str]) -> bool:
        instances = (await self._look())["Instances"]
        fresh = [each for each in instances if each["InstanceId"] not in known]
        return len([each for each in fresh if each["LifecycleState"] == "InService"]) >= count

    async def _look(self) -> Mapping[str, Any]:
        members = {"AutoScalingGroupNames": [self.group]}
        answer = await self.calls.call("autoscaling", "DescribeAutoScalingGroups", members)
        group: Mapping[str, Any] = answer["AutoScalingGroups"][0]
        return group

    async def _set_size(self, desired: int) -> None:
        members = {"AutoScalingGroupName": self.group, "DesiredCapacity": desired, "HonorCooldown": False}
        await self.calls.call("autoscaling", "SetDesiredCapacity", members)

    async def _end(self, instance: str, *, for_good: bool) -> None:
        members = {"InstanceId": instance, "ShouldDecrementDesiredCapacity": for_good}
        await self.calls.call("autoscaling", "TerminateInstanceInAutoScalingGroup", members)

    async def _launched_with(self, group: Mapping[str, Any]) -> tuple[str, str]:
        """What the group launches from, a version by its number."""
        mixed = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
        template = mixed.get("LaunchTemplateSpecification") or group.get("LaunchTemplate")
        if not template:
            return "", group.get("LaunchConfigurationName", "")
        version = str(template.get("Version") or "$Default")
        if version.startswith("$"):
            members = {"LaunchTemplateIds": [template["LaunchTemplateId"]]}
            answer = await self.calls.call("ec2", "DescribeLaunchTemplates", members)
            numbers = answer["LaunchTemplates"][0]
            version = str(numbers["LatestVersionNumber" if version == "$Latest" else "DefaultVersionNumber"])
        return template["LaunchTemplateId"], version


def _launched_with(instance: Mapping[str, Any]) -> tuple[str, str]:
    template = instance.get("LaunchTemplate")
    if not template:
        return "", instance.get("LaunchConfigurationName", "")
    return template["LaunchTemplateId"], str(template.get("Version", ""))


def _number(policy: Mapping[str, Any], name: str, unsaid: int) -> int:
    text = scalar_text(policy.get(name, unsaid)) or ""
    if not text.isdecimal():
        raise TemplateError(f"{name} of UpdatePolicy AutoScalingRollingUpdate must be an integer, not {text}.")
    return int(text)
