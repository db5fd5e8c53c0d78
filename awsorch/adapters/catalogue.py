"""The catalogue of instance types and their prices: a table that ships with awsorch, refreshed where AWS can be asked.

It answers at once from what it has. When that is a day old it asks AWS meanwhile; what can't be asked stays as it is,
and is asked again a day later. Which types suit whom is decided in core/capacity/requirements.py.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.adapters.price_list import on_demand_prices, spot_prices
from awsorch.core.capacity.instance_types import Accelerators, InstanceType
from awsorch.core.capacity.requirements import offers_meeting, shortened
from awsorch.core.model_capacity import Offer

logger = logging.getLogger(__name__)

#: Prices are asked for again after this long, whether that works or not. Seconds.
REFRESH_S = 24 * 3600.0
#: A refresh that takes longer is given up. Seconds.
LONGEST_S = 300.0
#: Spot prices below this part of the on-demand price are no prices: AWS gives 90 % off at most.
LEAST_SPOT_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Types with their prices in ``region``, and where those are from, in words. ``spot_share``: what spot instances
    typically cost in parts of the on-demand price, where their price is not known."""

    region: str
    origin: str
    spot_share: float
    types: tuple[InstanceType, ...]


def shipped_table(region: str) -> Table:
    """The table that ships with awsorch (made by scripts/instance_types.py).

    It has the on-demand prices of one region. Those of another are that region's times a factor, the median over all
    types, which is right within a few percent; spot prices are a typical part of the on-demand price.
    """
    data = json.loads(gzip.decompress((files("awsorch") / "data" / "instance_types.json.gz").read_bytes()))
    factor = data["regions"].get(region)
    origin = f"AWS's prices of {data['sources']['newer_prices_at']} for {data['region']}"
    if region != data["region"]:
        origin += f" x {factor} for {region}" if factor else f", as nothing is known of {region}"
    share, scale = data["spot_share"], factor or 1.0
    types = (_type(dict(zip(data["columns"], row, strict=True)), scale, share) for row in data["types"])
    return Table(region=region, origin=origin, spot_share=share, types=tuple(types))


def _type(row: dict[str, Any], scale: float, spot_share: float) -> InstanceType:
    price = None if row["price"] is None else round(row["price"] * scale, 6)
    row["price"] = price
    row["spot_price"] = None if price is None else round(price * spot_share, 6)
    row["accelerators"] = tuple(
        Accelerators(kind=kind, name=name, manufacturer=made, count=count, memory=memory)
        for kind, name, made, count, memory in row["accelerators"]
    )
    return InstanceType(**row)


class PricedTypes:
    """The catalogue (engine.ports.Catalogue). ``aws`` calls the region, ``pricing`` the one where prices are known."""

    def __init__(self, *, aws: AwsCalls, pricing: AwsCalls, region: str, clock: Callable[[], float]) -> None:
        self._aws = aws
        self._pricing = pricing
        self._clock = clock
        self._region = region
        self._table: Table | None = None
        self._asked_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    def offers(self, managed: Mapping[str, Any]) -> tuple[Offer, ...]:
        """What a ``managedInstancesProvider`` may launch: the best of the types that meet its requirements, each at its
        price. Has the prices refreshed where they are old, in a running event loop."""
        if self._clock() - self._asked_at >= REFRESH_S:
            self._asked_at = self._clock()
            self._refreshing = asyncio.get_running_loop().create_task(self.refresh(), name="refresh prices")
        template = managed.get("instanceLaunchTemplate", {})
        spot = template.get("capacityOptionType") == "SPOT"
        return shortened(offers_meeting(self.table.types, template.get("instanceRequirements"), spot=spot, gpus=True))

    def price_of(self, instance_type: str, *, spot: bool) -> float:
        """US dollars an hour; 0 where it is not known."""
        kinds = (kind for kind in self.table.types if kind.name == instance_type)
        return next((kind.price_of(spot=spot) or 0.0 for kind in kinds), 0.0)

    def interfaces_of(self, instance_type: str) -> int | None:
        """How many network interfaces tasks may have on such an instance, besides its own; None for a type that is not
        known."""
        return next((kind.interfaces - 1 for kind in self.table.types if kind.name == instance_type), None)

    @property
    def table(self) -> Table:
        """What is known now."""
        if self._table is None:
            self._table = shipped_table(self._region)
        return self._table

    async def refresh(self) -> None:
        """Ask AWS for the prices, and keep what it says. Failures are logged, in one line; nothing is raised."""
        failures: list[str] = []
        try:
            async with asyncio.timeout(LONGEST_S):
                for ask in (self._ask_on_demand, self._ask_spot):
                    try:
                        await ask()
                    except AwsError as error:
                        failures.append(str(error))
        except TimeoutError:
            failures.append(f"no answer in {LONGEST_S:.0f} seconds")
        except Exception:
            logger.exception("prices could not be refreshed; going on with %s", self.table.origin)
        if failures:
            logger.warning(
                "prices could not be refreshed (%s); going on with %s", "; ".join(failures), self.table.origin
            )

    async def _ask_on_demand(self) -> None:
        prices = await on_demand_prices(self._pricing, self._region)
        if not prices:
            raise AwsError("NoPrices", f"the Price List has nothing for {self._region}")
        share = self.table.spot_share
        types = tuple(_at(kind, prices.get(kind.name), share) for kind in self.table.types)
        self._table = replace(self.table, types=types, origin=f"AWS's on-demand prices for {self._region}")

    async def _ask_spot(self) -> None:
        prices = await spot_prices(self._aws, self._clock())
        self._table = replace(
            self.table, types=tuple(_at_spot(kind, prices.get(kind.name)) for kind in self.table.types)
        )

    async def close(self) -> None:
        """Stop asking."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)


def _at(kind: InstanceType, price: float | None, spot_share: float) -> InstanceType:
    """The type at a new on-demand price, its spot price in proportion. Without one it is not for sale there."""
    if price is None:
        return replace(kind, price=None, spot_price=None)
    share = kind.spot_price / kind.price if kind.price and kind.spot_price else spot_share
    return replace(kind, price=price, spot_price=round(price * share, 6))


def _at_spot(kind: InstanceType, price: float | None) -> InstanceType:
    """The type at a new spot price, where that can be true."""
    if price is None or kind.price is None or price < LEAST_SPOT_SHARE * kind.price:
        return kind
    return replace(kind, spot_price=price)
