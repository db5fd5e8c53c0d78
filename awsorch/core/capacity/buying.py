"""One way through the lots: the largest first, each on the size of machine that gives most worth for its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from awsorch.core.capacity.filling import Filler, Filling
from awsorch.core.capacity.lots import Lots, Size
from awsorch.core.capacity.worth import Prices

#: Sizes that are tried for the largest task left.
TRIES = 24
#: How much is spent on looking for something better, in lots put on machines (about 7 microseconds each): at least, for
#: each task, and at most.
EFFORT = (6_000, 150, 150_000)
#: What filling a machine costs besides.
FILL_EFFORT = 3
#: A machine that is used this well (worth ÷ what it could hold) is not compared with further ones.
GOOD = 0.995
#: One that is used less than this is had in a smaller size where there is one.
SLACK = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Buy:
    """``count`` machines of a size, filled alike."""

    size: Size
    filling: Filling
    count: int

    @property
    def price(self) -> float:
        """US dollars an hour of all of them."""
        return self.count * self.size.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to go about buying: ``bins`` as in Filler, prices of units by architecture, and the worth of one task of each
    lot."""

    bins: int
    prices: dict[int, Prices]
    worth: Sequence[float]

    def could_hold(self, size: Size) -> float:
        """What a machine used to the last bit would hold, in worth."""
        unit_cpu, unit_memory, unit_gpu = self.prices[size.kind]
        return unit_cpu * size.cpu + unit_memory * size.memory + unit_gpu * size.gpus


class Market:
    """What there is to buy for, and what to buy: lots and sizes, cheapest first. ``first`` is the way with dual prices,
    by which sizes are compared before anything is on them."""

    def __init__(self, lots: Lots, sizes: Sequence[Size], first: Way) -> None:
        self.lots = lots
        self.sizes = sizes
        self.first = first
        self._ranked = sorted(
            sizes, key=lambda size: (-round(first.could_hold(size) / size.price, 3), -size.price, size.offer.key)
        )
        least, each, most = EFFORT
        #: What may still be spent on looking for something better.
        self.effort = min(least + each * sum(lots.counts), most)
        self._for_lot: dict[int, list[Size]] = {}

    def sizes_for(self, lot: int) -> list[Size]:
        """The sizes that take one of the lot, those that give most for their price first."""
        known = self._for_lot.get(lot)
        if known is None:
            known = self._for_lot[lot] = [size for size in self._ranked if self.lots.fits(lot, size)]
        return known

    def cheapest_holding(self, contents: Sequence[tuple[int, int]]) -> Size | None:
        """The cheapest size that holds these (lot, tasks) pairs; None where none does."""
        lots = self.lots
        cpu = sum(lots.cpu[lot] * count for lot, count in contents)
        memory = sum(lots.memory[lot] * count for lot, count in contents)
        gpus = sum(lots.gpus[lot] * count for lot, count in contents)
        kinds = -1
        for lot, _ in contents:
            kinds &= lots.kinds[lot]
        for size in self.sizes:
            if size.cpu >= cpu and size.memory >= memory and size.gpus >= gpus and size.kind & kinds:
                return size
        return None

    def buy(self, counts: Sequence[int], way: Way, among: Sequence[Size] | None = None) -> list[Buy]:
        """Machines for ``counts`` of each lot, each of which fits some size; of the sizes ``among`` only, but for tasks
        that fit none of those."""
        left = list(counts)
        active = [lot for lot, count in enumerate(left) if count]
        filler = Filler(self.lots, active, way.worth, way.prices, way.bins)
        bought = []
        for seed in sorted(active, key=lambda lot: (-way.worth[lot], lot)):
            sizes = self.sizes_for(seed)
            if among is not None:
                sizes = [size for size in sizes if size in among] or sizes
            while left[seed]:
                size, filling = self._best(filler, way, sizes[:TRIES], seed, left)
                times = min(left[lot] // count for lot, count in filling.contents)
                for lot, count in filling.contents:
                    left[lot] -= times * count
                bought.append(Buy(size=size, filling=filling, count=times))
        return bought

    def _best(
        self, filler: Filler, way: Way, sizes: Sequence[Size], seed: int, left: Sequence[int]
    ) -> tuple[Size, Filling]:
        """The one of ``sizes``, and what is on it, that gives most worth for its price with one of ``seed`` there."""
        best: tuple[float, Size, Filling] | None = None
        for size in sizes:
            could_hold = way.could_hold(size)
            if best is not None and best[0] >= GOOD * could_hold / size.price:
                continue
            filling = filler.fill(size, seed, left)
            self.effort -= len(filling.contents) + FILL_EFFORT
            had = size
            if filling.worth < SLACK * could_hold:
                had = self.cheapest_holding(filling.contents) or size
            if best is None or filling.worth / had.price > best[0] * (1 + 1e-9):
                best = (filling.worth / had.price, had, filling)
        if best is None:
            raise ValueError(f"lot {seed} fits no size")
        return best[1], best[2]

    def trim(self, bought: Sequence[Buy]) -> list[Buy]:
        """The same with each machine in the cheapest size that holds what is on it."""
        trimmed = []
        for buy in bought:
            size = self.cheapest_holding(buy.filling.contents)
            trimmed.append(buy if size is None else replace(buy, size=size))
        return trimmed


def price_of(bought: Sequence[Buy]) -> float:
    """US dollars an hour of all machines."""
    return sum(buy.price for buy in bought)
