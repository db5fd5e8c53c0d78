"""Which instance types meet ECS's instanceRequirements: every member does something, and nonsense is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest

from awsorch.core.capacity.instance_types import Accelerators, InstanceType, visible_memory
from awsorch.core.capacity.requirements import check, offers_meeting
from awsorch.core.errors import Refusal

ANY: Mapping[str, Any] = {"vCpuCount": {"min": 0}, "memoryMiB": {"min": 0}}
NO_LIMIT = {"onDemandMaxPricePercentageOverLowestPrice": 999999}


def a_type(name: str, vcpus: int = 2, gib: float = 8, price: float | None = 0.1, **more: Any) -> InstanceType:
    spot = None if price is None else round(price * 0.4, 6)
    return InstanceType(
        **{
            "name": name,
            "vcpus": vcpus,
            "memory": int(gib * 1024),
            "architecture": "x86_64",
            "manufacturer": "intel",
            "price": price,
            "spot_price": spot,
            **more,
        }
    )


GPU = (Accelerators(kind="gpu", name="t4", manufacturer="nvidia", count=1, memory=16384),)
RADEON = (Accelerators(kind="gpu", name="radeon-pro-v520", manufacturer="amd", count=2, memory=8192),)
CHIP = (Accelerators(kind="inference", name="inferentia", manufacturer="amazon-web-services", count=4, memory=8192),)
TYPES = [
    a_type("c7i.large", gib=4, price=0.09, ebs_mbps=650, interfaces=3, network_gbps=0.8),
    a_type("m7i.large", price=0.1, hibernates=True, interfaces=3, network_gbps=0.8),
    a_type("m7i.4xlarge", 16, 64, 0.8, interfaces=8, network_gbps=6.25, ebs_mbps=5000),
    a_type("r7i.large", gib=16, price=0.13),
    a_type("m7a.large", price=0.11, manufacturer="amd"),
    a_type("m7g.large", price=0.08, architecture="arm64", manufacturer="amazon-web-services"),
    a_type("m5.large", price=0.096, current=False),
    a_type("m7i.metal", 96, 384, 4.8, bare_metal=True),
    a_type("t3.medium", gib=4, price=0.042, burstable=True),
    a_type("m6id.large", price=0.119, storage="ssd", storage_gb=118),
    a_type("d3.xlarge", 4, 32, 0.5, storage="hdd", storage_gb=5940),
    a_type("g4dn.xlarge", 4, 16, 0.53, accelerators=GPU, storage="ssd", storage_gb=125),
    a_type("g4ad.xlarge", 4, 16, 0.38, accelerators=RADEON),
    a_type("inf1.xlarge", 4, 8, 0.23, accelerators=CHIP),
    a_type("m9x.large", price=None),
]


def names(requirements: Mapping[str, Any] | None, **more: Any) -> list[str]:
    if requirements is not None:
        check(requirements)
    return [offer.instance_type for offer in offers_meeting(TYPES, requirements, **more)]


def among(**requirements: Any) -> set[str]:
    """The types that meet these and no other requirements, whatever they cost."""
    return set(names({**ANY, **NO_LIMIT, **requirements}))


EVERYTHING = {kind.name for kind in TYPES} - {"m9x.large", "m7i.metal", "t3.medium"}


def test_without_requirements_it_is_the_current_common_series() -> None:
    common = ["c7i.large", "m6id.large", "m7a.large", "m7g.large", "m7i.4xlarge", "m7i.large", "r7i.large"]
    assert names(None) == common
    assert names(None, gpus=True) == sorted([*common, "g4dn.xlarge"])


def test_an_offer_is_what_an_agent_would_register() -> None:
    (offer,) = offers_meeting(TYPES, {**ANY, **NO_LIMIT, "allowedInstanceTypes": ["g4dn.*"]})
    assert (offer.cpu, offer.memory, offer.gpus) == (4096, visible_memory(16384), 1)
    assert (offer.price, offer.spot, offer.key) == (0.53, False, "g4dn.xlarge")
    assert visible_memory(4096) == 3883


def test_spot_offers_have_spot_prices_and_leave_out_what_has_none() -> None:
    types = [a_type("m7i.large"), a_type("m7a.large", has_spot=False)]
    (offer,) = offers_meeting(types, None, spot=True)
    assert (offer.key, offer.price) == ("m7i.large/spot", 0.04)


def test_all_types_with_a_price_but_burstable_and_metal_ones_meet_no_requirements_at_all() -> None:
    assert among() == EVERYTHING


MEMBERS = [
    ("vCpuCount", {"min": 5}, {"m7i.4xlarge"}),
    ("vCpuCount", {"min": 0, "max": 3}, {n for n in EVERYTHING if n.endswith(".large")}),
    ("memoryMiB", {"min": 16384, "max": 40000}, {"r7i.large", "d3.xlarge", "g4dn.xlarge", "g4ad.xlarge"}),
    ("cpuManufacturers", ["amd", "amazon-web-services"], {"m7a.large", "m7g.large"}),
    ("memoryGiBPerVCpu", {"max": 2}, {"c7i.large", "inf1.xlarge"}),
    ("memoryGiBPerVCpu", {"min": 8}, {"r7i.large", "d3.xlarge"}),
    ("excludedInstanceTypes", ["m*", "c7i.large", "*.xlarge"], {"r7i.large"}),
    ("allowedInstanceTypes", ["*.4xlarge", "r*"], {"m7i.4xlarge", "r7i.large"}),
    ("allowedInstanceTypes", ["m7i.*"], {"m7i.large", "m7i.4xlarge"}),
    ("instanceGenerations", ["previous"], {"m5.large"}),
    ("instanceGenerations", ["current", "previous"], EVERYTHING),
    ("bareMetal", "included", EVERYTHING | {"m7i.metal"}),
    ("bareMetal", "required", {"m7i.metal"}),
    ("burstablePerformance", "included", EVERYTHING | {"t3.medium"}),
    ("burstablePerformance", "required", {"t3.medium"}),
    ("requireHibernateSupport", True, {"m7i.large"}),
    ("requireHibernateSupport", False, EVERYTHING),
    ("networkInterfaceCount", {"min": 4}, {"m7i.4xlarge"}),
    ("networkBandwidthGbps", {"min": 0.8, "max": 1}, {"c7i.large", "m7i.large"}),
    ("baselineEbsBandwidthMbps", {"min": 600}, {"c7i.large", "m7i.4xlarge"}),
    ("localStorage", "required", {"m6id.large", "d3.xlarge", "g4dn.xlarge"}),
    ("localStorage", "excluded", EVERYTHING - {"m6id.large", "d3.xlarge", "g4dn.xlarge"}),
    ("localStorageTypes", ["ssd"], EVERYTHING - {"d3.xlarge"}),
    ("totalLocalStorageGB", {"min": 120}, {"d3.xlarge", "g4dn.xlarge"}),
    ("acceleratorTypes", ["gpu"], {"g4dn.xlarge", "g4ad.xlarge"}),
    ("acceleratorTypes", ["inference", "fpga"], {"inf1.xlarge"}),
    ("acceleratorCount", {"max": 0}, EVERYTHING - {"g4dn.xlarge", "g4ad.xlarge", "inf1.xlarge"}),
    ("acceleratorCount", {"min": 2}, {"g4ad.xlarge", "inf1.xlarge"}),
    ("acceleratorManufacturers", ["nvidia"], {"g4dn.xlarge"}),
    ("acceleratorNames", ["t4", "inferentia"], {"g4dn.xlarge", "inf1.xlarge"}),
    ("acceleratorTotalMemoryMiB", {"min": 16384}, {"g4dn.xlarge", "g4ad.xlarge", "inf1.xlarge"}),
    (
        "onDemandMaxPricePercentageOverLowestPrice",
        0,
        {"c7i.large", "m7i.large", "m7i.4xlarge", "r7i.large", "m5.large", "m7g.large"},
    ),
]


@pytest.mark.parametrize(("member", "value", "expected"), MEMBERS)
def test_each_member_chooses(member: str, value: Any, expected: set[str]) -> None:
    assert among(**{member: value}) == expected


def test_every_member_of_the_shape_is_tested() -> None:
    model = botocore.session.get_session().get_service_model("ecs")
    members = set(model.shape_for("InstanceRequirementsRequest").members)
    spot = {"spotMaxPricePercentageOverLowestPrice", "maxSpotPriceAsPercentageOfOptimalOnDemandPrice"}
    assert {member for member, _, _ in MEMBERS} == members - spot


def test_without_a_limit_of_the_price_it_is_a_fifth_over_the_lowest() -> None:
    dear = {"d3.xlarge", "g4dn.xlarge", "g4ad.xlarge", "inf1.xlarge"}
    assert set(names(ANY)) == EVERYTHING - dear


def test_what_has_gpus_is_compared_with_its_like() -> None:
    assert names({**ANY, "acceleratorTypes": ["gpu"]}) == ["g4ad.xlarge"]
    assert names({**ANY, "acceleratorManufacturers": ["nvidia"]}) == ["g4dn.xlarge"]


def test_previous_generations_are_compared_with_each_other_where_nothing_else_is_left() -> None:
    types = [a_type("m4.large", price=0.1, current=False), a_type("m3.large", price=0.13, current=False)]
    assert [offer.instance_type for offer in offers_meeting(types, ANY)] == ["m4.large"]


def test_spot_prices_are_limited_by_spot_or_by_on_demand_prices() -> None:
    types = [a_type("m7i.large", spot_price=0.04), a_type("m7a.large", spot_price=0.07)]
    types.append(a_type("m6i.large", spot_price=0.081))

    def chosen(**limits: int) -> list[str]:
        check({**ANY, **limits})
        return [offer.instance_type for offer in offers_meeting(types, {**ANY, **limits}, spot=True)]

    assert chosen() == ["m7a.large", "m7i.large"]
    assert chosen(spotMaxPricePercentageOverLowestPrice=10) == ["m7i.large"]
    assert chosen(maxSpotPriceAsPercentageOfOptimalOnDemandPrice=75) == ["m7a.large", "m7i.large"]
    assert chosen(maxSpotPriceAsPercentageOfOptimalOnDemandPrice=90) == ["m6i.large", "m7a.large", "m7i.large"]


REFUSED = [
    ({"memoryMiB": {"min": 0}}, "vCpuCount: a min is required"),
    ({**ANY, "memoryMiB": {"max": 1}}, "memoryMiB: a min is required"),
    ({**ANY, "vCpuCount": {"min": 4, "max": 2}}, "vCpuCount: min 4 is greater than max 2"),
    ({**ANY, "acceleratorCount": {"min": -1}}, "acceleratorCount: min and max can't be negative"),
    ({**ANY, "cpuManufacturers": ["via"]}, "via is none of intel, amd, amazon-web-services"),
    ({**ANY, "bareMetal": "maybe"}, "maybe is none of included, required, excluded"),
    ({**ANY, "allowedInstanceTypes": ["m7?.large"]}, "m7?.large is no instance type"),
    ({**ANY, "excludedInstanceTypes": ["m7i.large"] * 401}, "401 are too many; 400 can be given"),
    (
        {**ANY, "allowedInstanceTypes": ["m*"], "excludedInstanceTypes": ["m5*"]},
        "allowedInstanceTypes: it can't be combined with excludedInstanceTypes",
    ),
    (
        {
            **ANY,
            "spotMaxPricePercentageOverLowestPrice": 1,
            "maxSpotPriceAsPercentageOfOptimalOnDemandPrice": 1,
        },
        "it can't be combined with maxSpotPriceAsPercentageOfOptimalOnDemandPrice",
    ),
    ({**ANY, "onDemandMaxPricePercentageOverLowestPrice": -1}, "-1 is no percentage"),
    ({**ANY, "colour": "red"}, "colour: it is no member of InstanceRequirements"),
]


@pytest.mark.parametrize(("requirements", "text"), REFUSED)
def test_nonsense_is_refused_in_words(requirements: Mapping[str, Any], text: str) -> None:
    with pytest.raises(Refusal) as refused:
        check(requirements)
    assert refused.value.code == "ClientException"
    assert text in refused.value.message
