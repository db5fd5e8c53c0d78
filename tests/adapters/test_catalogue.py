"""The catalogue: what ships, and how AWS's answers change it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from awsorch.adapters.aws import AwsError
from awsorch.adapters.catalogue import REFRESH_S, PricedTypes, shipped_table
from awsorch.adapters.price_list import pricing_region
from awsorch.core.capacity.instance_types import InstanceType
from awsorch.core.model_capacity import Offer

Answer = Mapping[str, Any]
SEVENTH: Mapping[str, Any] = {
    "vCpuCount": {"min": 2, "max": 2},
    "memoryMiB": {"min": 0},
    "allowedInstanceTypes": ["m7i.*", "m7g.*", "r7i.*"],
}
ON_DEMAND: Mapping[str, Any] = {"instanceLaunchTemplate": {"instanceRequirements": SEVENTH}}
SPOT: Mapping[str, Any] = {"instanceLaunchTemplate": {"capacityOptionType": "SPOT", "instanceRequirements": SEVENTH}}
ANYTHING: Mapping[str, Any] = {"instanceLaunchTemplate": {}}
_session = botocore.session.get_session()


def product(name: str, price: str, unit: str = "Hrs") -> str:
    dimensions = {"1.2": {"unit": unit, "pricePerUnit": {"USD": price}}}
    return json.dumps(
        {
            "product": {"attributes": {"instanceType": name}},
            "terms": {"OnDemand": {"1": {"priceDimensions": dimensions}}},
        }
    )


class FakePrices:
    """AWS as the catalogue calls it: pages of prices. ``fault`` is raised instead; parameters are held to the model."""

    def __init__(self) -> None:
        self.products = [[product("m7i.large", "0.2"), product("c7i.large", "0.15")], [product("m7g.large", "0.16")]]
        self.spot: list[list[tuple[str, str, str]]] = [
            [("m7i.large", "a", "0.05"), ("m7i.large", "b", "0.07")],
            [("m7i.large", "c", "0.09"), ("m7i.large", "a", "0.99"), ("c7i.large", "a", "0.00001")],
        ]
        self.faults: dict[str, Exception] = {}
        self.calls: list[str] = []

    async def call(self, service: str, operation: str, **parameters: Any) -> Answer:
        self.calls.append(operation)
        model = _session.get_service_model(service)
        name = {"get_products": "GetProducts", "describe_spot_price_history": "DescribeSpotPriceHistory"}[operation]
        report = ParamValidator().validate(parameters, model.operation_model(name).input_shape)
        assert not report.has_errors(), report.generate_report()
        await asyncio.sleep(0)
        if operation in self.faults:
            raise self.faults[operation]
        page = int(parameters.get("NextToken", "0"))
        if operation == "get_products":
            answer: dict[str, Any] = {"PriceList": self.products[page]}
            last = len(self.products) - 1
        else:
            entries = [
                dict(zip(("InstanceType", "AvailabilityZone", "SpotPrice"), e, strict=True)) for e in self.spot[page]
            ]
            answer, last = {"SpotPriceHistory": entries}, len(self.spot) - 1
        return answer | ({"NextToken": str(page + 1)} if page < last else {})


def play(body: Callable[[PricedTypes, FakePrices, list[float]], Any]) -> None:
    """The body, an async function, with a catalogue, the AWS it asks, and a clock to be set."""

    async def main() -> None:
        aws, now = FakePrices(), [1e9]
        catalogue = PricedTypes(aws=aws, pricing=aws, region="us-east-1", clock=lambda: now[0])
        try:
            await body(catalogue, aws, now)
        finally:
            await catalogue.close()

    asyncio.run(main())


def by_name(catalogue: PricedTypes) -> dict[str, InstanceType]:
    return {kind.name: kind for kind in catalogue.table.types}


async def settle() -> None:
    """Let what runs in the background end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)


def test_the_shipped_table_has_the_facts_that_aws_gives() -> None:
    types = {kind.name: kind for kind in shipped_table("us-east-1").types}
    large = types["m7i.large"]
    assert (large.vcpus, large.memory, large.architecture, large.manufacturer) == (2, 8192, "x86_64", "intel")
    assert (large.interfaces, large.ebs_mbps, large.current, large.hibernates) == (3, 650, True, True)
    assert types["m7g.large"].manufacturer == "amazon-web-services"
    assert types["t3.medium"].burstable
    assert types["c7i.metal-24xl"].bare_metal
    assert (types["i3en.6xlarge"].storage, types["i3en.6xlarge"].storage_gb) == ("ssd", 15000)
    (gpu,) = types["g5.12xlarge"].accelerators
    assert (gpu.kind, gpu.name, gpu.manufacturer, gpu.count, gpu.memory) == ("gpu", "a10g", "nvidia", 4, 22888)
    assert types["inf2.24xlarge"].accelerators[0].kind == "inference"
    assert types["f2.6xlarge"].accelerators[0].manufacturer == "xilinx"


def test_its_prices_are_those_of_the_sources() -> None:
    prices = {kind.name: kind.price for kind in shipped_table("us-east-1").types}
    known = {"m5.large": 0.096, "c7g.xlarge": 0.145, "r8g.2xlarge": 0.47128, "t3.medium": 0.0416, "g5.12xlarge": 5.672}
    assert {name: prices[name] for name in known} == known


def test_every_price_is_plausible() -> None:
    table = shipped_table("us-east-1")
    for kind in table.types:
        if kind.price is not None:
            assert 0.001 < kind.price / kind.vcpus < 3, kind.name
            assert kind.spot_price == pytest.approx(kind.price * 0.42, abs=1e-6)
    common = [kind for kind in table.types if kind.is_common and kind.price is not None]
    assert len(common) > 500
    for architecture in ("x86_64", "arm64"):
        assert {2, 4, 8} <= {round(k.memory / k.vcpus / 1024) for k in common if k.architecture == architecture}


def test_other_regions_cost_a_factor_of_it_and_it_says_so() -> None:
    here, there, nowhere = (shipped_table(name) for name in ("us-east-1", "sa-east-1", "xx-none-1"))
    factor = 1.594
    assert there.types[0].price == pytest.approx((here.types[0].price or 0) * factor, rel=1e-4)
    assert there.origin.endswith("for us-east-1 x 1.594 for sa-east-1")
    assert nowhere.types == here.types
    assert nowhere.origin.endswith("as nothing is known of xx-none-1")


@pytest.mark.parametrize(
    ("region", "asked"),
    [
        ("us-west-2", "us-east-1"),
        ("sa-east-1", "us-east-1"),
        ("eu-west-1", "eu-central-1"),
        ("ap-east-1", "ap-south-1"),
    ],
)
def test_prices_are_asked_for_where_they_are_known(region: str, asked: str) -> None:
    assert pricing_region(region) == asked


def test_offers_come_at_once_and_prices_later_from_every_page() -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        first = price_in(catalogue.offers(ON_DEMAND), "m7i.large")
        assert (first, aws.calls) == (0.1008, [])
        await settle()
        assert {kind.name for kind in catalogue.table.types if kind.price} == {"m7i.large", "c7i.large", "m7g.large"}
        assert price_in(catalogue.offers(ON_DEMAND), "m7i.large") == 0.2
        assert price_in(catalogue.offers(ON_DEMAND), "m7g.large") == 0.16
        assert catalogue.table.origin == "AWS's on-demand prices for us-east-1"

    play(body)


def test_spot_prices_are_the_median_of_the_zones_and_nonsense_is_not_believed() -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        await catalogue.refresh()
        assert by_name(catalogue)["m7i.large"].spot_price == 0.07
        assert by_name(catalogue)["c7i.large"].spot_price == pytest.approx(0.15 * 0.42)
        assert price_in(catalogue.offers(SPOT), "m7i.large/spot") == 0.07

    play(body)


def test_aws_is_asked_once_a_day() -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        for _ in range(3):
            catalogue.offers(ON_DEMAND)
            await settle()
        assert aws.calls.count("get_products") == 2
        now[0] += REFRESH_S
        catalogue.offers(ON_DEMAND)
        await settle()
        assert aws.calls.count("get_products") == 4

    play(body)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("get_products", AwsError("AccessDenied", "no", refused=True)),
        ("get_products", ValueError("an answer that nobody expected")),
        ("describe_spot_price_history", AwsError("EndpointConnectionError", "no way")),
    ],
)
def test_what_cannot_be_asked_stays_as_it_is_and_is_said_once(
    operation: str, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        aws.faults[operation] = fault
        catalogue.offers(ON_DEMAND)
        await settle()
        on_demand = 0.1008 if operation == "get_products" else 0.2
        assert price_in(catalogue.offers(ON_DEMAND), "m7i.large") == on_demand

    with caplog.at_level(logging.WARNING):
        play(body)
    (record,) = caplog.records
    assert record.getMessage().startswith("prices could not be refreshed")


def test_the_spot_prices_are_asked_for_where_the_others_cannot_be() -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        aws.faults["get_products"] = AwsError("AccessDenied", "no", refused=True)
        await catalogue.refresh()
        assert by_name(catalogue)["m7i.large"].spot_price == 0.07

    play(body)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"product": 1}', product("m7i.large", "x"), product("m7i.large", "0")]
)
def test_products_that_are_no_prices_are_passed_over(text: str) -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        aws.products = [[text, product("m7a.large", "3", "Quantity"), product("c7i.large", "0.15")]]
        await catalogue.refresh()
        assert {kind.name for kind in catalogue.table.types if kind.price} == {"c7i.large"}

    play(body)


def test_a_price_list_without_prices_or_without_an_end_changes_nothing() -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        before = by_name(catalogue)["m7i.large"].price
        aws.products = [[]]
        await catalogue.refresh()
        assert by_name(catalogue)["m7i.large"].price == before
        aws.products = [[product("m7i.large", "9")]] * 1000
        await catalogue.refresh()
        assert by_name(catalogue)["m7i.large"].price == before

    play(body)


def test_offers_meet_the_requirements_and_are_not_more_than_can_be_used() -> None:
    async def body(catalogue: PricedTypes, aws: FakePrices, now: list[float]) -> None:
        offers = catalogue.offers(ON_DEMAND)
        assert [offer.instance_type for offer in offers] == ["m7g.large", "m7i.large", "r7i.large"]
        everything = catalogue.offers(ANYTHING)
        assert 100 < len(everything) < 300
        assert any(offer.gpus for offer in everything)

    play(body)


def price_in(offers: tuple[Offer, ...], key: str) -> float:
    return next(offer.price for offer in offers if offer.key == key)
