"""How an Auto Scaling group is: its size, its instances, the types and zones that it launches in, what went wrong.

What changes seldom (subnets, the hook) is remembered. Raises AwsError throughout.
Source: Amazon EC2 Auto Scaling API, AutoScalingGroup, Activity; its user guide, "Troubleshoot".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from awsorch.adapters.answers import Answers
from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.adapters.group_types import GroupTypes, Prices
from awsorch.core.events_capacity import GroupSeen, LaunchProblem, SeenMachine

HOOK = "ecs-managed-draining-termination-hook"
#: Whether a group has the hook is asked again after this long: somebody may have taken it away. Seconds.
HOOK_LIFE_S = 300.0
#: So many of the newest activities are looked through for launches.
ACTIVITIES = 20
#: What AWS's words about a failed launch mean in EC2's own codes, where they name none.
_CODES = (
    ("sufficient", "InsufficientInstanceCapacity"),
    ("no spot capacity", "InsufficientInstanceCapacity"),
    ("vcpu", "VcpuLimitExceeded"),
    ("quota", "InstanceLimitExceeded"),
    ("image id", "InvalidAMIID.NotFound"),
    ("free addresses", "InsufficientFreeAddressesInSubnet"),
    ("spot request price", "SpotMaxPriceTooLow"),
    ("not supported", "Unsupported"),
    ("authorized", "UnauthorizedOperation"),
)
#: A code in brackets, or before what it means: "VcpuLimitExceeded - You have …", "Client.InternalError: Client …".
_CODE_IN_TEXT = re.compile(
    r"\(([A-Z][A-Za-z]+(?:\.[A-Z][A-Za-z]+)?)\)|\b([A-Z][A-Za-z]+\.[A-Z][A-Za-z]+|(?:[A-Z][a-z]+){2,})(?= - |: )"
)


class GroupReader:
    """Reads groups through AWS's API."""

    def __init__(self, aws: AwsCalls, prices: Prices) -> None:
        self._aws = aws
        self._types = GroupTypes(aws, prices)
        self._subnets: dict[str, str] = {}
        self._hooked = Answers[bool]()
        #: Activities of each group: the newest launch that failed; the one that had when nothing was missing.
        self._newest: dict[str, str] = {}
        self._past: dict[str, str] = {}

    async def find(self, name: str) -> Mapping[str, Any] | None:
        """The group as AWS describes it."""
        answer = await self._aws.call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
        for group in answer["AutoScalingGroups"]:
            found: Mapping[str, Any] = group
            return found
        return None

    async def require(self, name: str) -> Mapping[str, Any]:
        """The group, which must be there."""
        found = await self.find(name)
        if found is None:
            raise AwsError("ValidationError", f"The Auto Scaling group {name} does not exist.", refused=True)
        return found

    async def is_hooked(self, name: str) -> bool:
        """Whether it has ECS's lifecycle hook. Asked now and then, and again after it was changed."""
        return await self._hooked.get(name, lambda: self._ask_hook(name), seconds=HOOK_LIFE_S)

    async def _ask_hook(self, name: str) -> bool:
        answer = await self._aws.call("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=name)
        return any(hook["LifecycleHookName"] == HOOK for hook in answer["LifecycleHooks"])

    async def _is_known_to_be_hooked(self, name: str) -> bool:
        """Not where nobody may ask."""
        try:
            return await self.is_hooked(name)
        except AwsError as error:
            if not error.refused:
                raise
            return False

    def forget_hook(self, name: str) -> None:
        """It is being changed."""
        self._hooked.forget(name)

    async def see(self, provider: str, name: str) -> GroupSeen:
        """How the group is now."""
        found = await self.require(name)
        offers = await self._types.offers(found)
        spot = any(offer.spot for offer in offers)
        machines = tuple(_machine(instance, spot=spot) for instance in found["Instances"])
        serving = sum(machine.state == "InService" for machine in machines)
        return GroupSeen(
            cause=f"DescribeAutoScalingGroups {name}",
            provider=provider,
            minimum=found["MinSize"],
            maximum=found["MaxSize"],
            desired=found["DesiredCapacity"],
            zones=await self._zones(found),
            offers=offers,
            machines=machines,
            hooked=await self._is_known_to_be_hooked(name),
            problem=await self._problem(name, is_short=serving < found["DesiredCapacity"]),
        )

    async def _zones(self, group: Mapping[str, Any]) -> Mapping[str, str]:
        """Zone → subnet."""
        subnets = [subnet for subnet in group.get("VPCZoneIdentifier", "").split(",") if subnet]
        if not subnets:
            return dict.fromkeys(sorted(group["AvailabilityZones"]), "")
        unknown = [subnet for subnet in subnets if subnet not in self._subnets]
        if unknown:
            answer = await self._aws.call("ec2", "describe_subnets", SubnetIds=unknown)
            self._subnets |= {each["SubnetId"]: each["AvailabilityZone"] for each in answer["Subnets"]}
        return {self._subnets[subnet]: subnet for subnet in sorted(subnets, reverse=True)}

    async def _problem(self, name: str, *, is_short: bool) -> LaunchProblem | None:
        """Why the newest launch failed, where instances are missing and none has been launched since. What had failed
        when nothing was missing is past, even if no launch has followed."""
        if is_short or name not in self._past:
            answer = await self._aws.call(
                "autoscaling", "describe_scaling_activities", AutoScalingGroupName=name, MaxRecords=ACTIVITIES
            )
            problem = _newest_problem(answer["Activities"])
            self._newest[name] = problem.activity if problem is not None else ""
            if is_short and problem is not None and problem.activity != self._past.get(name):
                return problem
        if not is_short:
            self._past[name] = self._newest[name]
        return None


def _newest_problem(activities: Sequence[Mapping[str, Any]]) -> LaunchProblem | None:
    """From activities, newest first. One that was cancelled says nothing: the group wanted fewer by then."""
    for activity in activities:
        if activity["StatusCode"] == "Cancelled" or not activity.get("Description", "").startswith("Launching"):
            continue
        if activity["StatusCode"] != "Failed":
            return None
        message = activity.get("StatusMessage", "")
        return LaunchProblem(activity=activity["ActivityId"], code=_code_of(message), message=message)
    return None


def _code_of(message: str) -> str:
    """EC2's code for what an activity says in words."""
    named = _CODE_IN_TEXT.search(message)
    if named is not None:
        return named[1] or named[2]
    return next((code for words, code in _CODES if words in message.lower()), "LaunchFailed")


def _machine(instance: Mapping[str, Any], *, spot: bool) -> SeenMachine:
    return SeenMachine(
        id=instance["InstanceId"],
        zone=instance["AvailabilityZone"],
        instance_type=instance.get("InstanceType", ""),
        state=instance["LifecycleState"],
        healthy=instance.get("HealthStatus", "Healthy").lower() == "healthy",
        protected=bool(instance.get("ProtectedFromScaleIn")),
        spot=spot,
    )
