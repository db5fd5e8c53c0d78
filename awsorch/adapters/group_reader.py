"""How an Auto Scaling group is: its size, its instances, the types and zones that it launches in, what went wrong.

What changes seldom (launch templates' versions, types, subnets) is remembered. Raises AwsError throughout.
Source: Amazon EC2 Auto Scaling API, AutoScalingGroup, Activity; EC2 API, LaunchTemplateVersion, InstanceTypeInfo.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.core.capacity.instance_types import CPU_PER_VCPU, visible_memory
from awsorch.core.events_capacity import GroupSeen, LaunchProblem, SeenMachine
from awsorch.core.model_capacity import Offer

HOOK = "ecs-managed-draining-termination-hook"
#: Whether a group has the hook is asked again after this long: somebody may have taken it away. Seconds.
HOOK_LIFE_S = 300.0
#: What AWS's words about a failed launch mean in EC2's own codes.
_CODES = (
    ("sufficient", "InsufficientInstanceCapacity"),
    ("vCPU", "VcpuLimitExceeded"),
    ("InvalidAMIID", "InvalidAMIID.NotFound"),
    ("image id", "InvalidAMIID.NotFound"),
    ("spot", "SpotMaxPriceTooLow"),
    ("subnet", "InsufficientFreeAddressesInSubnet"),
    ("authorized", "UnauthorizedOperation"),
)
_CODE_IN_TEXT = re.compile(r"\(([A-Z][A-Za-z]+(?:\.[A-Za-z]+)?)\)")


class Prices(Protocol):
    """What instance types cost."""

    def price_of(self, instance_type: str, *, spot: bool) -> float:
        """US dollars an hour; 0 where it is not known."""
        ...


class GroupReader:
    """Reads groups through AWS's API."""

    def __init__(self, aws: AwsCalls, prices: Prices) -> None:
        self._aws = aws
        self._prices = prices
        self._types: dict[str, dict[str, Any]] = {}
        self._subnets: dict[str, str] = {}
        self._templates: dict[tuple[str, str], str] = {}
        self._hooked: dict[str, tuple[bool, float]] = {}

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
        now = asyncio.get_running_loop().time()
        hooked, asked_at = self._hooked.get(name, (False, float("-inf")))
        if asked_at + HOOK_LIFE_S <= now:
            answer = await self._aws.call("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=name)
            hooked = any(hook["LifecycleHookName"] == HOOK for hook in answer["LifecycleHooks"])
            self._hooked[name] = hooked, now
        return hooked

    def forget_hook(self, name: str) -> None:
        """It is being changed."""
        self._hooked.pop(name, None)

    async def see(self, provider: str, name: str) -> GroupSeen:
        """How the group is now."""
        found = await self.require(name)
        machines = tuple(_machine(instance) for instance in found["Instances"])
        serving = sum(machine.state == "InService" for machine in machines)
        return GroupSeen(
            cause=f"DescribeAutoScalingGroups {name}",
            provider=provider,
            minimum=found["MinSize"],
            maximum=found["MaxSize"],
            desired=found["DesiredCapacity"],
            zones=await self._zones(found),
            offers=await self._offers(found),
            machines=machines,
            hooked=await self.is_hooked(name),
            problem=await self._problem(name) if serving < found["DesiredCapacity"] else None,
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

    async def _offers(self, group: Mapping[str, Any]) -> tuple[Offer, ...]:
        """The types that it may launch, in the order of its preference."""
        names, spot = await self._type_names(group)
        unknown = [name for name in names if name not in self._types]
        if unknown:
            answer = await self._aws.call("ec2", "describe_instance_types", InstanceTypes=unknown)
            self._types |= {each["InstanceType"]: each for each in answer["InstanceTypes"]}
        return tuple(self._offer(name, spot=spot) for name in names if name in self._types)

    def _offer(self, name: str, *, spot: bool) -> Offer:
        kind = self._types[name]
        gpus = kind.get("GpuInfo", {}).get("Gpus", ())
        architectures = kind.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
        return Offer(
            instance_type=name,
            cpu=kind["VCpuInfo"]["DefaultVCpus"] * CPU_PER_VCPU,
            memory=visible_memory(kind["MemoryInfo"]["SizeInMiB"]),
            gpus=sum(gpu.get("Count", 0) for gpu in gpus),
            architecture="arm64" if "arm64" in architectures else "x86_64",
            spot=spot,
            price=self._prices.price_of(name, spot=spot),
        )

    async def _type_names(self, group: Mapping[str, Any]) -> tuple[list[str], bool]:
        """Instance types, the first choice first, and whether all that is launched is spot."""
        policy = group.get("MixedInstancesPolicy")
        if policy is None:
            if "LaunchConfigurationName" in group:
                return [await self._type_of_configuration(group["LaunchConfigurationName"])], False
            return [await self._type_of_template(group["LaunchTemplate"])], False
        template = policy["LaunchTemplate"]
        overrides = template.get("Overrides", ())
        names = [each["InstanceType"] for each in overrides if "InstanceType" in each]
        for each in overrides:
            if "InstanceRequirements" in each:
                names += await self._types_meeting(each["InstanceRequirements"])
        if not names:
            names = [await self._type_of_template(template["LaunchTemplateSpecification"])]
        share = policy.get("InstancesDistribution", {}).get("OnDemandPercentageAboveBaseCapacity", 100)
        return list(dict.fromkeys(names)), share == 0

    async def _types_meeting(self, requirements: Mapping[str, Any]) -> list[str]:
        answer = await self._aws.call(
            "ec2",
            "get_instance_types_from_instance_requirements",
            ArchitectureTypes=["x86_64", "arm64"],
            VirtualizationTypes=["hvm"],
            InstanceRequirements=requirements,
        )
        return [each["InstanceType"] for each in answer["InstanceTypes"]]

    async def _type_of_configuration(self, name: str) -> str:
        answer = await self._aws.call("autoscaling", "describe_launch_configurations", LaunchConfigurationNames=[name])
        for configuration in answer["LaunchConfigurations"]:
            return str(configuration["InstanceType"])
        raise AwsError("ValidationError", f"The launch configuration {name} does not exist.", refused=True)

    async def _type_of_template(self, template: Mapping[str, Any]) -> str:
        """The launch template's own type. Versions that are numbers never change."""
        template_id, version = template["LaunchTemplateId"], template.get("Version", "$Default")
        key = (template_id, version)
        if key not in self._templates:
            answer = await self._aws.call(
                "ec2", "describe_launch_template_versions", LaunchTemplateId=template_id, Versions=[version]
            )
            data = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
            if "InstanceType" not in data:
                message = f"The launch template {template_id}, version {version}, names no instance type."
                raise AwsError("ValidationError", message, refused=True)
            if not version.isdecimal():
                return str(data["InstanceType"])
            self._templates[key] = data["InstanceType"]
        return self._templates[key]

    async def _problem(self, name: str) -> LaunchProblem | None:
        """Why its newest launch failed, where none has worked since."""
        answer = await self._aws.call(
            "autoscaling", "describe_scaling_activities", AutoScalingGroupName=name, MaxRecords=20
        )
        return _newest_problem(answer["Activities"])


def _newest_problem(activities: Sequence[Mapping[str, Any]]) -> LaunchProblem | None:
    """From activities, newest first."""
    for activity in activities:
        if not activity.get("Description", "").startswith("Launching"):
            continue
        if activity["StatusCode"] in ("Failed", "Cancelled"):
            message = activity.get("StatusMessage", "")
            return LaunchProblem(activity=activity["ActivityId"], code=_code_of(message), message=message)
        return None
    return None


def _code_of(message: str) -> str:
    """EC2's code for what an activity says in words."""
    named = _CODE_IN_TEXT.search(message)
    if named is not None:
        return named.group(1)
    return next((code for words, code in _CODES if words in message), "LaunchFailed")


def _machine(instance: Mapping[str, Any]) -> SeenMachine:
    return SeenMachine(
        id=instance["InstanceId"],
        zone=instance["AvailabilityZone"],
        instance_type=instance.get("InstanceType", ""),
        state=instance["LifecycleState"],
        healthy=instance.get("HealthStatus", "Healthy").lower() == "healthy",
        protected=bool(instance.get("ProtectedFromScaleIn")),
        spot=instance.get("InstanceLifecycle") == "spot",
    )
