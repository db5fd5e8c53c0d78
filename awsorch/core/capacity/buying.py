"""One way through the lots: the largest first, each on the size of machine that gives most worth for its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from awsorch.core.capacity.filling import Filler, Filling
from awsorch.core.capacity.lots import Lots, Size
from awsorch.core.capacity.worth import Prices

#: Sizes that are tried for the largest task left.
TRIES = 24
#: How much is spent on looking, in lots put on machines: about a second where there are hundreds of lots.
EFFORT = 150_000
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


class Market:
    """What there is to buy for, and what to buy: lots, sizes (cheapest first), what units are worth."""

    def __init__(self, lots: Lots, sizes: Sequence[Size], prices: dict[int, Prices]) -> None:
        self.lots = lots
        self.sizes = sizes
        self.prices = prices
        ranked = sorted(sizes, key=lambda size: (-round(self._yield(size), 3), -size.price, size.offer.key))
        self._ranked = ranked
        #: What may still be spent on looking for something better, in lots put on machines.
        self.effort = EFFORT
        self._for_lot: dict[int, list[Size]] = {}

    def _yield(self, size: Size) -> float:
        """The worth of a machine used to the last bit ÷ its price: 1 at most."""
        unit_cpu, unit_memory, unit_gpu = self.prices[size.kind]
        return (unit_cpu * size.cpu + unit_memory * size.memory + unit_gpu * size.gpus) / size.price

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

    def buy(
        self, counts: Sequence[int], worth: Sequence[float], bins: int, among: Sequence[Size] | None = None
    ) -> list[Buy]:
        """Machines for ``counts`` of each lot, each of which fits some size; of the sizes ``among`` only, but for tasks
        that fit none of those."""
        left = list(counts)
        active = [lot for lot, count in enumerate(left) if count]
        filler = Filler(self.lots, active, worth, self.prices, bins)
        bought = []
        for seed in sorted(active, key=lambda lot: (-worth[lot], lot)):
            while left[seed]:
                size, filling = self._best(filler, seed, left, among)
                times = min(left[lot] // count for lot, count in filling.contents)
                for lot, count in filling.contents:
                    left[lot] -= times * count
                bought.append(Buy(size=size, filling=filling, count=times))
        return bought

    def _best(
        self, filler: Filler, seed: int, left: Sequence[int], among: Sequence[Size] | None
    ) -> tuple[Size, Filling]:
        """The size, and what is on it, that gives most worth for its price with one of ``seed`` there."""
        best: tuple[float, Size, Filling] | None = None
        sizes = self.sizes_for(seed)
        if among is not None:
            sizes = [size for size in sizes if size in among] or sizes
        for size in sizes[:TRIES]:
            if best is not None and best[0] >= GOOD * self._yield(size):
                break
            filling = filler.fill(size, seed, left)
            self.effort -= len(filling.contents) + 1
            had = size
            if filling.worth < SLACK * size.price:
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
