"""Which instance types a group launches, by what its template, configuration or policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from awsorch.adapters.aws import AwsError
from awsorch.adapters.group_types import BATCH, REQUIREMENTS_LIFE_S, VERSION_LIFE_S, GroupTypes
from awsorch.core.model_capacity import Offer
from tests.support import virtual_time
from tests.support.unreliable import Unreliable

Described = Mapping[str, Any]
SPEC = {"LaunchTemplateId": "lt-1", "Version": "1"}
REQUIREMENTS = {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 0}}
PRICES = {"cheap": 0.01, "dear": 0.05}


class Ec2(Unreliable):
    """Templates and types. ``data``: what the template's version says; ``pages``: the types that meet requirements."""

    def __init__(self, data: Described | None = None, pages: Sequence[Sequence[str]] = ()) -> None:
        super().__init__()
        self.data = dict(data or {})
        self.pages = pages
        self.gpus: list[dict[str, Any]] = []

    def _describe_instance_types(self, parameters: Described) -> Described:
        known = [name for name in parameters["InstanceTypes"] if name != "retired"]
        size = {"VCpuInfo": {"DefaultVCpus": 2}, "MemoryInfo": {"SizeInMiB": 1000}, "GpuInfo": {"Gpus": self.gpus}}
        return {"InstanceTypes": [{"InstanceType": name, **size} for name in known]}

    def _describe_launch_template_versions(self, parameters: Described) -> Described:
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": self.data}]}

    def _describe_launch_configurations(self, parameters: Described) -> Described:
        named = {"spot": {"InstanceType": "dear", "SpotPrice": "0.02"}, "usual": {"InstanceType": "dear"}}
        return {"LaunchConfigurations": [named[n] for n in parameters["LaunchConfigurationNames"] if n in named]}

    def _get_instance_types_from_instance_requirements(self, parameters: Described) -> Described:
        at = int(parameters.get("NextToken", 0))
        more = {"NextToken": str(at + 1)} if at + 1 < len(self.pages) else {}
        return {"InstanceTypes": [{"InstanceType": name} for name in self.pages[at]], **more}


class Priced:
    """Prices of some."""

    def price_of(self, instance_type: str, *, spot: bool) -> float:
        return PRICES.get(instance_type, 0.0) / (2 if spot else 1)


def offers_of(ec2: Ec2, group: Described, *more: Callable[[], object]) -> tuple[Offer, ...]:
    """What the group launches, asked for again after each of ``more``."""

    async def scene() -> tuple[Offer, ...]:
        types = GroupTypes(ec2, Priced())
        found = await types.offers({"AutoScalingGroupName": "g", **group})
        for act in more:
            done = act()
            if asyncio.iscoroutine(done):
                await done
            found = await types.offers({"AutoScalingGroupName": "g", **group})
        return found

    return virtual_time.run(lambda _: scene())


def policy(overrides: Sequence[Described], **distribution: object) -> Described:
    template = {"LaunchTemplateSpecification": SPEC, "Overrides": list(overrides)}
    return {"MixedInstancesPolicy": {"LaunchTemplate": template, "InstancesDistribution": distribution}}


def types(*names: str) -> list[dict[str, str]]:
    return [{"InstanceType": name} for name in names]


def names_of(offers: Sequence[Offer]) -> list[str]:
    return [offer.instance_type for offer in offers]


def test_a_template_names_the_type_and_whether_it_is_spot() -> None:
    (offer,) = offers_of(Ec2({"InstanceType": "dear"}), {"LaunchTemplate": SPEC})
    assert (offer.instance_type, offer.cpu, offer.memory, offer.spot, offer.price) == ("dear", 2048, 948, False, 0.05)
    data = {"InstanceType": "dear", "InstanceMarketOptions": {"MarketType": "spot"}}
    (offer,) = offers_of(Ec2(data), {"LaunchTemplate": SPEC})
    assert (offer.spot, offer.price) == (True, 0.025)


@pytest.mark.parametrize(("name", "spot"), [("usual", False), ("spot", True)])
def test_a_launch_configuration_does_too(name: str, spot: bool) -> None:
    (offer,) = offers_of(Ec2(), {"LaunchConfigurationName": name})
    assert (offer.instance_type, offer.spot) == ("dear", spot)


def test_overrides_are_the_types_in_their_order() -> None:
    assert names_of(offers_of(Ec2(), policy(types("dear", "cheap", "dear", "retired")))) == ["dear", "cheap"]
    by_price = policy(types("dear", "none", "cheap"), OnDemandAllocationStrategy="lowest-price")
    assert names_of(offers_of(Ec2(), by_price)) == ["cheap", "dear", "none"]


def test_a_policy_without_overrides_launches_what_the_template_names() -> None:
    assert names_of(offers_of(Ec2({"InstanceType": "dear"}), policy([{}]))) == ["dear"]


@pytest.mark.parametrize(
    ("distribution", "spot"),
    [
        ({}, False),
        ({"OnDemandPercentageAboveBaseCapacity": 0}, True),
        ({"OnDemandPercentageAboveBaseCapacity": 0, "OnDemandBaseCapacity": 1}, False),
        ({"OnDemandPercentageAboveBaseCapacity": 50}, False),
    ],
)
def test_a_group_is_spot_where_nothing_in_it_is_on_demand(distribution: Mapping[str, object], spot: bool) -> None:
    (offer,) = offers_of(Ec2(), policy(types("dear"), **distribution))
    assert offer.spot == spot


def test_requirements_stand_for_all_types_that_meet_them_cheapest_first() -> None:
    pages = [["dear", "none"], ["cheap"]]
    for ec2, group in (
        (Ec2(pages=pages), policy([{"InstanceRequirements": REQUIREMENTS}])),
        (Ec2({"InstanceRequirements": REQUIREMENTS}, pages), {"LaunchTemplate": SPEC}),
        (Ec2({"InstanceRequirements": REQUIREMENTS}, pages), policy([])),
    ):
        assert names_of(offers_of(ec2, group)) == ["cheap", "dear", "none"]
        (asked, _) = ec2.called("get_instance_types_from_instance_requirements")
        assert asked["InstanceRequirements"] == REQUIREMENTS


def test_types_are_described_in_batches_and_once() -> None:
    ec2 = Ec2(pages=[[f"t-{number}" for number in range(BATCH + 20)]])
    group = policy([{"InstanceRequirements": REQUIREMENTS}])
    assert len(offers_of(ec2, group, lambda: None)) == BATCH + 20
    assert [len(call["InstanceTypes"]) for call in ec2.called("describe_instance_types")] == [BATCH, 20]
    assert len(ec2.called("get_instance_types_from_instance_requirements")) == 1
    offers_of(ec2, group, lambda: asyncio.sleep(REQUIREMENTS_LIFE_S))
    assert len(ec2.called("get_instance_types_from_instance_requirements")) == 3


@pytest.mark.parametrize(("version", "type_later"), [("1", "dear"), ("$Latest", "cheap")])
def test_numbered_versions_stay_and_others_are_asked_for_again(version: str, type_later: str) -> None:
    ec2 = Ec2({"InstanceType": "dear"})

    async def change() -> None:
        ec2.data["InstanceType"] = "cheap"
        await asyncio.sleep(VERSION_LIFE_S)

    assert names_of(offers_of(ec2, {"LaunchTemplate": {**SPEC, "Version": version}}, change)) == [type_later]


def test_only_gpus_that_tasks_can_have_count() -> None:
    ec2 = Ec2()
    ec2.gpus = [{"Manufacturer": "NVIDIA", "Count": 4}, {"Manufacturer": "AMD", "Count": 2}]
    (offer,) = offers_of(ec2, policy(types("dear")))
    assert offer.gpus == 4


@pytest.mark.parametrize(
    ("data", "group", "words"),
    [
        ({}, policy([{"InstanceType": "dear", "WeightedCapacity": "4"}]), "without instance weighting"),
        ({"ImageId": "ami-1"}, {"LaunchTemplate": SPEC}, "should have InstanceType or InstanceRequirements"),
        ({}, {"LaunchConfigurationName": "gone"}, "launch configuration gone does not exist"),
    ],
)
def test_groups_whose_instances_cannot_be_known_are_refused(data: Described, group: Described, words: str) -> None:
    with pytest.raises(AwsError, match=words) as caught:
        offers_of(Ec2(data), group)
    assert caught.value.refused


def test_a_weight_of_one_is_no_weight() -> None:
    assert offers_of(Ec2(), policy([{"InstanceType": "dear", "WeightedCapacity": "1"}]))


def test_failures_are_not_kept() -> None:
    ec2 = Ec2({"InstanceType": "dear"})
    ec2.fault = lambda operation: AwsError("Throttling", "Rate exceeded")
    with pytest.raises(AwsError):
        offers_of(ec2, {"LaunchTemplate": SPEC})
    ec2.obey()
    assert offers_of(ec2, {"LaunchTemplate": SPEC})
