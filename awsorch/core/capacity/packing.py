"""Which machines to buy for tasks that need some: the cheapest mix found, and what goes on each.

Pure and deterministic, without a solver (docs/decisions/012-which-machines-to-buy.md). Tasks are put on machines
largest first, each on the size that gives most worth for its price (buying.py, filling.py, worth.py); that is done
several ways, and what is used worst is bought again (improving.py). Work is bounded by counts, not by a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from awsorch.core.capacity.buying import Buy, Market, Way
from awsorch.core.capacity.improving import WAYS, cheapest
from awsorch.core.capacity.lots import Lots, Need, lots_of, sizes_of
from awsorch.core.capacity.worth import prices_by_kind, worth_of
from awsorch.core.model_capacity import Offer

#: Machines in one purchase unless the caller says otherwise.
LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One machine to buy, and the (index of a need, tasks) pairs that it is for."""

    offer: Offer
    zone: str
    contents: tuple[tuple[int, int], ...]


def choose(
    needs: Sequence[Need],
    offers: Sequence[Offer],
    zones: Sequence[str],
    *,
    limit: int = LIMIT,
    reserve_cpu: int = 0,
    reserve_memory: int = 0,
) -> list[Purchase]:
    """The machines to buy for ``needs``, at most ``limit``: those for the largest tasks first.

    ``offers`` can be had in each of ``zones``. ``reserve_cpu`` and ``reserve_memory`` (MiB) of every machine are left
    free, for daemons. Tasks that fit no offer, or may run in none of the zones, are in no purchase (see ``missing``).
    Machines whose tasks don't mind go to the zones that get fewest.
    """
    kinds = {name: 1 << i for i, name in enumerate(sorted({offer.architecture for offer in offers}))}
    lots = lots_of(needs, zones, kinds)
    sizes = sizes_of(offers, kinds, reserve_cpu, reserve_memory)
    for lot in range(len(lots.counts)):
        if not any(lots.fits(lot, size) for size in sizes):
            lots.counts[lot] = 0
    if not any(lots.counts):
        return []
    prices = prices_by_kind(lots, sizes)
    worth = worth_of(lots, prices)
    first = Way(bins=WAYS[0][0], prices=prices, worth=worth)
    bought = cheapest(Market(lots, sizes, first), lots.counts)
    bought.sort(key=lambda buy: (-max(worth[lot] for lot, _ in buy.filling.contents), buy.filling.contents))
    return _placed(bought, lots, zones, limit)


def _placed(bought: Sequence[Buy], lots: Lots, zones: Sequence[str], limit: int) -> list[Purchase]:
    """One purchase a machine, each in the zone of those it may be in that has fewest so far."""
    there = dict.fromkeys(zones, 0)
    purchases: list[Purchase] = []
    for buy in bought:
        contents: Counter[int] = Counter()
        for lot, count in buy.filling.contents:
            contents[lots.need[lot]] += count
        allowed = [zone for number, zone in enumerate(zones) if buy.filling.zones >> number & 1]
        for _ in range(min(buy.count, limit - len(purchases))):
            zone = min(allowed, key=lambda zone: there[zone])
            there[zone] += 1
            purchases.append(Purchase(offer=buy.size.offer, zone=zone, contents=tuple(sorted(contents.items()))))
    return purchases


def missing(needs: Sequence[Need], purchases: Sequence[Purchase]) -> tuple[int, ...]:
    """How many tasks of each need no purchase is for."""
    had: Counter[int] = Counter()
    for purchase in purchases:
        had.update(dict(purchase.contents))
    return tuple(max(0, need.count - had[index]) for index, need in enumerate(needs))
