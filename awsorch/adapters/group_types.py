"""Which instance types an Auto Scaling group launches, in the order of its preference, as agents on them register.

They come from its launch template, launch configuration or mixed instances policy. Nothing is decided here: a group
whose instances can't be counted one by one is refused. Raises AwsError throughout.
Source: Amazon EC2 Auto Scaling API, MixedInstancesPolicy, LaunchTemplateOverrides; EC2 API, ResponseLaunchTemplateData,
InstanceTypeInfo; ECS developer guide, "Auto Scaling group capacity providers" (no instance weighting).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from awsorch.adapters.answers import FOR_EVER, Answers
from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.core.capacity.instance_types import CPU_PER_VCPU, visible_memory
from awsorch.core.model_capacity import Offer

#: What ``$Latest`` and ``$Default`` stand for is asked again after this long. Seconds.
VERSION_LIFE_S = 60.0
#: Which types meet requirements is asked again after this long: AWS adds new ones. Seconds.
REQUIREMENTS_LIFE_S = 3600.0
#: DescribeInstanceTypes takes so many names.
BATCH = 100
#: Types without a known price come last.
UNKNOWN = float("inf")


class Prices(Protocol):
    """What instance types cost."""

    def price_of(self, instance_type: str, *, spot: bool) -> float:
        """US dollars an hour; 0 where it is not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Types by name, and whether they are had as spot instances. The first choice comes first, or, ``by_price``, is the
    cheapest."""

    names: tuple[str, ...]
    spot: bool = False
    by_price: bool = False


class GroupTypes:
    """Knows types, and reads which of them a group launches."""

    def __init__(self, aws: AwsCalls, prices: Prices) -> None:
        self._aws = aws
        self._prices = prices
        self._types: dict[str, Mapping[str, Any]] = {}
        self._templates = Answers[Choice]()
        self._meeting = Answers[tuple[str, ...]]()

    async def offers(self, group: Mapping[str, Any]) -> tuple[Offer, ...]:
        """The types that a described group launches, the first choice first."""
        choice = await self._choice(group)
        unknown = [name for name in choice.names if name not in self._types]
        for at in range(0, len(unknown), BATCH):
            names = unknown[at : at + BATCH]
            answer = await self._aws.call("ec2", "describe_instance_types", InstanceTypes=names)
            self._types |= {each["InstanceType"]: each for each in answer["InstanceTypes"]}
        offers = [self._offer(name, spot=choice.spot) for name in choice.names if name in self._types]
        if choice.by_price:
            offers.sort(key=lambda offer: offer.price or UNKNOWN)
        return tuple(offers)

    def _offer(self, name: str, *, spot: bool) -> Offer:
        kind = self._types[name]
        gpus = kind.get("GpuInfo", {}).get("Gpus", ())
        architectures = kind.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
        return Offer(
            instance_type=name,
            cpu=kind["VCpuInfo"]["DefaultVCpus"] * CPU_PER_VCPU,
            memory=visible_memory(kind["MemoryInfo"]["SizeInMiB"]),
            # ECS gives NVIDIA's to tasks, no others.
            gpus=sum(gpu.get("Count", 0) for gpu in gpus if gpu.get("Manufacturer", "").lower() == "nvidia"),
            interfaces=kind["NetworkInfo"]["MaximumNetworkInterfaces"] - 1 if "NetworkInfo" in kind else None,
            architecture="arm64" if "arm64" in architectures else "x86_64",
            spot=spot,
            price=self._prices.price_of(name, spot=spot),
        )

    # --- what a group names ------------------------------------------------------------------------------------------

    async def _choice(self, group: Mapping[str, Any]) -> Choice:
        policy = group.get("MixedInstancesPolicy")
        if policy is not None:
            return await self._choice_of_policy(group["AutoScalingGroupName"], policy)
        if "LaunchConfigurationName" in group:
            return await self._choice_of_configuration(group["LaunchConfigurationName"])
        return await self._choice_of_template(group["LaunchTemplate"])

    async def _choice_of_policy(self, name: str, policy: Mapping[str, Any]) -> Choice:
        template = policy["LaunchTemplate"]
        overrides = template.get("Overrides", ())
        if any(each.get("WeightedCapacity", "1") != "1" for each in overrides):
            message = (
                f"The Auto Scaling group {name} weighs instance types (WeightedCapacity): its size is no number of "
                "instances. Capacity providers support groups without instance weighting only."
            )
            raise AwsError("ValidationError", message, refused=True)
        how = policy.get("InstancesDistribution", {})
        by_price = how.get("OnDemandAllocationStrategy") == "lowest-price"
        names: list[str] = []
        for each in overrides:
            if "InstanceType" in each:
                names.append(each["InstanceType"])
            elif "InstanceRequirements" in each:
                names += await self._types_meeting(each["InstanceRequirements"])
                by_price = True
        if not names:
            own = await self._choice_of_template(template["LaunchTemplateSpecification"])
            names, by_price = list(own.names), by_price or own.by_price
        on_demand = how.get("OnDemandBaseCapacity", 0) or how.get("OnDemandPercentageAboveBaseCapacity", 100)
        return Choice(names=tuple(dict.fromkeys(names)), spot=not on_demand, by_price=by_price)

    async def _choice_of_template(self, template: Mapping[str, Any]) -> Choice:
        """A launch template's own. Versions that are numbers never change."""
        version = template.get("Version", "$Default")
        seconds = FOR_EVER if version.isdecimal() else VERSION_LIFE_S
        return await self._templates.get(
            (template["LaunchTemplateId"], version), lambda: self._ask_template(template, version), seconds=seconds
        )

    async def _ask_template(self, template: Mapping[str, Any], version: str) -> Choice:
        template_id = template["LaunchTemplateId"]
        answer = await self._aws.call(
            "ec2", "describe_launch_template_versions", LaunchTemplateId=template_id, Versions=[version]
        )
        data = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        spot = data.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        if "InstanceType" in data:
            return Choice(names=(data["InstanceType"],), spot=spot)
        if "InstanceRequirements" in data:
            names = await self._types_meeting(data["InstanceRequirements"])
            return Choice(names=tuple(names), spot=spot, by_price=True)
        message = (
            f"The launch template {template_id}, version {version}, names no instance type: it should have "
            "InstanceType or InstanceRequirements."
        )
        raise AwsError("ValidationError", message, refused=True)

    async def _choice_of_configuration(self, name: str) -> Choice:
        """A launch configuration's. They never change."""
        return await self._templates.get(name, lambda: self._ask_configuration(name), seconds=FOR_EVER)

    async def _ask_configuration(self, name: str) -> Choice:
        answer = await self._aws.call("autoscaling", "describe_launch_configurations", LaunchConfigurationNames=[name])
        for configuration in answer["LaunchConfigurations"]:
            return Choice(names=(configuration["InstanceType"],), spot=bool(configuration.get("SpotPrice")))
        raise AwsError("ValidationError", f"The launch configuration {name} does not exist.", refused=True)

    async def _types_meeting(self, requirements: Mapping[str, Any]) -> Sequence[str]:
        question = json.dumps(requirements, sort_keys=True)
        return await self._meeting.get(question, lambda: self._ask_types(requirements), seconds=REQUIREMENTS_LIFE_S)

    async def _ask_types(self, requirements: Mapping[str, Any]) -> tuple[str, ...]:
        """GetInstanceTypesFromInstanceRequirements, all pages."""
        names: list[str] = []
        page: dict[str, Any] = {}
        while True:
            answer = await self._aws.call(
                "ec2",
                "get_instance_types_from_instance_requirements",
                ArchitectureTypes=["x86_64", "arm64"],
                VirtualizationTypes=["hvm"],
                InstanceRequirements=requirements,
                **page,
            )
            names += [each["InstanceType"] for each in answer["InstanceTypes"]]
            if not answer.get("NextToken"):
                return tuple(names)
            page = {"NextToken": answer["NextToken"]}
