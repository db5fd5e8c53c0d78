"""Making a purchase cheaper: what awkward tasks really cost is learnt from one way of buying for the next, and the
machines that give least for their price are given up and bought again with others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from awsorch.core.capacity.buying import Buy, Market, price_of
from awsorch.core.capacity.lots import Size

#: Ways of sorting lots by proportion that are tried, and how often each with what was learnt.
BINS = (12, 1, 4)
LESSONS = 2
#: Rounds of giving up and buying again.
ROUNDS = 30
#: Nothing better is looked for where this little is to be gained.
NEAR = 1.002
#: Sorts of machine that are given up at once.
GIVEN_UP = (3, 8, 20)
#: Prices that differ by less are the same. US dollars an hour.
SAME = 1e-9


def cheapest(market: Market, counts: Sequence[int], worth: Sequence[float]) -> list[Buy]:
    """The cheapest purchase found for ``counts`` of each lot; ``worth`` of one task of each to begin with, which are
    dual prices: no purchase costs less than all of it."""
    enough = NEAR * sum(count * unit for count, unit in zip(counts, worth, strict=True))
    best: list[Buy] | None = None
    for bins in BINS:
        learnt = list(worth)
        for _ in range(LESSONS):
            best, bought = _better(market, best, market.buy(counts, learnt, bins))
            if price_of(best) <= enough:
                return best
            learnt = _learn(bought, learnt)
    if best is None:
        return []
    for among in _selections(market, max(buy.size.cpu for buy in best)):
        if market.effort > 0:
            best, _ = _better(market, best, market.buy(counts, worth, BINS[0], among))
    return _improve(market, best, worth)


def _selections(market: Market, largest: int) -> Iterator[Sequence[Size]]:
    """Sizes to buy among: all up to a number of CPU units, the next below ``largest`` first; then each by itself."""
    for most in sorted({size.cpu for size in market.sizes if size.cpu < largest}, reverse=True):
        yield [size for size in market.sizes if size.cpu <= most]
    for size in market.sizes:
        yield [size]


def _better(market: Market, best: list[Buy] | None, bought: Sequence[Buy]) -> tuple[list[Buy], list[Buy]]:
    """(the better of the two, the second as it is once each machine has the size that it needs)."""
    trimmed = market.trim(bought)
    return (trimmed if best is None or _is_better(trimmed, best) else best), trimmed


def _learn(bought: Sequence[Buy], worth: Sequence[float]) -> list[float]:
    """What tasks of each lot cost there, halfway from what they were worth before."""
    costs, counts = [0.0] * len(worth), [0] * len(worth)
    for buy in bought:
        total = sum(worth[lot] * count for lot, count in buy.filling.contents)
        for lot, count in buy.filling.contents:
            costs[lot] += buy.price * worth[lot] * count / total
            counts[lot] += buy.count * count
    return [(known + costs[i] / counts[i]) / 2 if counts[i] else known for i, known in enumerate(worth)]


def _is_better(one: Sequence[Buy], other: Sequence[Buy]) -> bool:
    """Cheaper, or as cheap with fewer machines."""
    saved = price_of(other) - price_of(one)
    fewer = sum(buy.count for buy in one) < sum(buy.count for buy in other)
    return saved > SAME or (fewer and saved > -SAME)


def _improve(market: Market, bought: list[Buy], worth: Sequence[float]) -> list[Buy]:
    """Give up a few machines at a time, the worst first, and keep what is bought instead where that is better."""
    tried: set[tuple[int, tuple[int, ...]]] = set()
    for turn in range(ROUNDS):
        chosen, bins = _give_up(bought, worth, turn), BINS[turn % len(BINS)]
        if market.effort <= 0 or (bins, chosen) in tried:
            continue
        tried.add((bins, chosen))
        given_up = [bought[i] for i in chosen]
        counts = [0] * len(worth)
        for buy in given_up:
            for lot, count in buy.filling.contents:
                counts[lot] += buy.count * count
        again = market.trim(market.buy(counts, worth, bins))
        if _is_better(again, given_up):
            bought = [buy for i, buy in enumerate(bought) if i not in chosen] + again
            tried.clear()
    return bought


def _give_up(bought: Sequence[Buy], worth: Sequence[float], turn: int) -> tuple[int, ...]:
    """Which ones to buy again."""
    ranked = sorted(range(len(bought)), key=lambda i: (_use(bought[i], worth), i))
    start = (turn // len(GIVEN_UP)) * 2 % max(1, len(ranked))
    return tuple(sorted(ranked[start : start + GIVEN_UP[turn % len(GIVEN_UP)]]))


def _use(buy: Buy, worth: Sequence[float]) -> float:
    """Worth ÷ price; the least is used worst."""
    return sum(worth[lot] * count for lot, count in buy.filling.contents) / buy.size.price
