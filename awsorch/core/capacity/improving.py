"""Making a purchase cheaper: what awkward tasks really cost is learnt from one way of buying for the next, and the
machines that give least for their price are given up and bought again with others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from awsorch.core.capacity.buying import Buy, Market, Way, price_of
from awsorch.core.capacity.lots import Size
from awsorch.core.capacity.worth import blended, worth_of

#: Ways that are tried: (bins of proportion, how much less one-sided than dual prices), and how often each with what
#: was learnt.
WAYS = ((12, 0.0), (1, 0.0), (4, 0.0), (12, 0.15), (4, 0.4))
LESSONS = 2
#: Rounds of giving up and buying again.
ROUNDS = 30
#: Nothing better is looked for where this little is to be gained.
NEAR = 1.002
#: Sorts of machine that are given up at once.
GIVEN_UP = (3, 8, 20)
#: Prices that differ by less are the same. US dollars an hour.
SAME = 1e-9


def cheapest(market: Market, counts: Sequence[int]) -> list[Buy]:
    """The cheapest purchase found for ``counts`` of each lot."""
    first, lots = market.first, market.lots
    # With dual prices no purchase costs less than what all tasks are worth.
    enough = NEAR * sum(count * unit for count, unit in zip(counts, first.worth, strict=True))
    ways = [first]
    for bins, even in WAYS[1:]:
        prices = blended(lots, first.prices, even)
        ways.append(Way(bins=bins, prices=prices, worth=worth_of(lots, prices)))
    best: list[Buy] | None = None
    for way in ways:
        learnt = way
        for _ in range(LESSONS):
            best, bought = _better(market, best, market.buy(counts, learnt))
            if price_of(best) <= enough:
                return best
            learnt = replace(learnt, worth=_learn(bought, learnt.worth))
    for among in _selections(market, counts, best or []):
        if market.effort > 0:
            best, _ = _better(market, best, market.buy(counts, ways[1], among))
    return _improve(market, best or [], ways)


def _selections(market: Market, counts: Sequence[int], best: Sequence[Buy]) -> Iterator[Sequence[Size]]:
    """Sizes to buy among: each by itself that could be cheaper than ``best``, the cheapest first; then all up to a
    number of CPU units, the largest number first."""
    lots, price = market.lots, price_of(best)
    cpu = sum(count * lots.cpu[lot] for lot, count in enumerate(counts))
    memory = sum(count * lots.memory[lot] for lot, count in enumerate(counts))
    able = [size for size in market.sizes if size.cpu]
    least = {size: size.price * ceil(max(cpu / size.cpu, memory / size.memory)) for size in able}
    for size in sorted(able, key=least.__getitem__):
        if least[size] < price - SAME:
            yield [size]
    largest = max((buy.size.cpu for buy in best), default=0)
    for most in sorted({size.cpu for size in market.sizes if size.cpu < largest}, reverse=True):
        yield [size for size in market.sizes if size.cpu <= most]


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


def _improve(market: Market, bought: list[Buy], ways: Sequence[Way]) -> list[Buy]:
    """Give up a few machines at a time, the worst first, and keep what is bought instead where that is better."""
    tried: set[tuple[int, tuple[int, ...]]] = set()
    for turn in range(ROUNDS):
        number = turn % len(ways)
        chosen = _give_up(bought, market.first.worth, turn)
        if market.effort <= 0 or (number, chosen) in tried:
            continue
        tried.add((number, chosen))
        given_up = [bought[i] for i in chosen]
        counts = [0] * len(market.lots.counts)
        for buy in given_up:
            for lot, count in buy.filling.contents:
                counts[lot] += buy.count * count
        again = market.trim(market.buy(counts, ways[number]))
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
