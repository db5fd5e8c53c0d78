"""What AWS says that instance types cost: on-demand from the Price List, spot from EC2's price history.

Asks and reads; keeps nothing. Source: AWS Price List API, GetProducts; EC2 API, DescribeSpotPriceHistory.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from statistics import median
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError

#: More pages than this are no answer. A region has about 15 of each sort.
MOST_PAGES = 100
SPOT_PAGE = 1000
#: Linux, as anybody rents it by the hour.
_PRODUCT = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
#: The regions where the Price List can be asked, by the beginning of those that ask there.
_PRICING_REGIONS = {"eu": "eu-central-1", "ap": "ap-south-1", "cn": "cn-northwest-1"}


def pricing_region(region: str) -> str:
    """The region whose endpoint knows the prices of ``region``."""
    return _PRICING_REGIONS.get(region.partition("-")[0], "us-east-1")


async def on_demand_prices(pricing: AwsCalls, region: str) -> dict[str, float]:
    """US dollars an hour by instance type. ``pricing`` calls ``pricing_region(region)``. Raises AwsError."""
    filters = {**_PRODUCT, "regionCode": region}
    asked = {
        "ServiceCode": "AmazonEC2",
        "Filters": [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in filters.items()],
    }
    prices: dict[str, float] = {}
    async for page in _pages(pricing, "pricing", "get_products", asked):
        for text in page.get("PriceList", ()):
            found = _priced(text)
            if found is not None:
                prices[found[0]] = found[1]
    return prices


def _priced(text: str) -> tuple[str, float] | None:
    """(instance type, price) of one product; None where it is no hourly price of one."""
    try:
        product = json.loads(text)
        name = product["product"]["attributes"]["instanceType"]
        terms = product["terms"]["OnDemand"].values()
        dimensions = [dimension for term in terms for dimension in term["priceDimensions"].values()]
        hourly = [float(d["pricePerUnit"]["USD"]) for d in dimensions if d["unit"] == "Hrs"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return (name, max(hourly)) if any(hourly) else None


async def spot_prices(aws: AwsCalls, now: float) -> dict[str, float]:
    """What spot instances cost at ``now`` (seconds since the epoch), US dollars an hour by instance type: the median of
    the zones. Raises AwsError."""
    asked = {
        "StartTime": datetime.fromtimestamp(now, UTC),
        "ProductDescriptions": ["Linux/UNIX"],
        "MaxResults": SPOT_PAGE,
    }
    zones: dict[str, dict[str, float]] = {}
    async for page in _pages(aws, "ec2", "describe_spot_price_history", asked):
        for entry in page.get("SpotPriceHistory", ()):
            price = float(entry["SpotPrice"])
            zones.setdefault(entry["InstanceType"], {}).setdefault(entry["AvailabilityZone"], price)
    return {name: median(by_zone.values()) for name, by_zone in zones.items()}


async def _pages(
    aws: AwsCalls, service: str, operation: str, asked: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Any]]:
    token = ""
    for _ in range(MOST_PAGES):
        page = await aws.call(service, operation, **asked, **({"NextToken": token} if token else {}))
        yield page
        token = page.get("NextToken") or ""
        if not token:
            return
    raise AwsError("TooManyPages", f"{operation} did not come to an end in {MOST_PAGES} pages")
