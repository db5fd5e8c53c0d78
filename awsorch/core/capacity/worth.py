"""What a unit of CPU, of memory and a GPU is worth: the dual prices of buying capacity by the aggregate.

Were machines divisible, the cheapest purchase that covers the sums of CPU and memory would cost what these prices make
of the sums, and no machine offers more worth than its price. So worth ÷ price says how well a filled machine is used,
across types of different shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from awsorch.core.capacity.lots import Lots, Size

#: Dollars an hour of one CPU unit, one MiB, one GPU.
Prices = tuple[float, float, float]


def dual_prices(sizes: Sequence[Size], cpu: int, memory: int, gpus: int) -> Prices:
    """The prices at which these sums are worth most while no size is worth more than it costs."""
    plain = [size for size in sizes if not size.gpus] or list(sizes)
    best, best_prices = -1.0, (0.0, 0.0)
    for unit_cpu, unit_memory in _corners(plain):
        worth = unit_cpu * cpu + unit_memory * memory
        if worth > best + 1e-12:
            best, best_prices = worth, (unit_cpu, unit_memory)
    unit_cpu, unit_memory = best_prices
    rest = [(s.price - unit_cpu * s.cpu - unit_memory * s.memory) / s.gpus for s in sizes if s.gpus] if gpus else []
    return unit_cpu, unit_memory, max(0.0, min(rest, default=0.0))


def _corners(sizes: Sequence[Size]) -> list[tuple[float, float]]:
    """The corners of {(c, m) >= 0: c·cpu + m·memory <= price for all sizes}."""
    points = _outermost([(size.cpu / size.price, size.memory / size.price) for size in sizes])
    corners = [(1 / max(points[0][0], 1e-9), 0.0), (0.0, 1 / points[-1][1])]
    for (cpu, memory), (less_cpu, more_memory) in pairwise(points):
        area = cpu * more_memory - less_cpu * memory
        corners.append(((more_memory - memory) / area, (cpu - less_cpu) / area))
    return corners


def _outermost(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (CPU a dollar, memory a dollar) those that no mix of others beats, by falling CPU."""
    found: list[tuple[float, float]] = []
    for cpu, memory in sorted(points, key=lambda point: (-point[0], -point[1])):
        if found and memory <= found[-1][1]:
            continue
        while len(found) > 1:
            (x1, y1), (x2, y2) = found[-2:]
            if (x2 - x1) * (memory - y1) - (y2 - y1) * (cpu - x1) > 0:
                break
            found.pop()
        found.append((cpu, memory))
    return found


def prices_by_kind(lots: Lots, sizes: Sequence[Size]) -> dict[int, Prices]:
    """The dual prices of each architecture (its bit) for the lots that it may get."""
    prices = {}
    for kind in sorted({size.kind for size in sizes}):
        alike = [size for size in sizes if size.kind == kind]
        mine = [lot for lot in range(len(lots.counts)) if lots.kinds[lot] & kind]
        sums = [sum(lots.counts[i] * of[i] for i in mine) for of in (lots.cpu, lots.memory, lots.gpus)]
        prices[kind] = dual_prices(alike, *sums)
    return prices


def blended(lots: Lots, prices: dict[int, Prices], even: float) -> dict[int, Prices]:
    """The prices, less one-sided: the part ``even`` of what all lots are worth is laid on CPU and memory half and half.

    Where the sums need little of one, its dual price is nothing, and tasks that need much of it would be thought of
    last, when there is nobody left to share a machine with.
    """
    mixed = {}
    for kind, (unit_cpu, unit_memory, unit_gpu) in prices.items():
        mine = [lot for lot in range(len(lots.counts)) if lots.kinds[lot] & kind]
        cpu = sum(lots.counts[lot] * lots.cpu[lot] for lot in mine)
        memory = sum(lots.counts[lot] * lots.memory[lot] for lot in mine)
        half = (unit_cpu * cpu + unit_memory * memory) / 2
        mixed[kind] = (
            (1 - even) * unit_cpu + (even * half / cpu if cpu else 0.0),
            (1 - even) * unit_memory + (even * half / memory if memory else 0.0),
            unit_gpu,
        )
    return mixed


def worth_of(lots: Lots, prices: dict[int, Prices]) -> list[float]:
    """What one task of each lot is worth on the architecture where that is least."""
    worth = []
    for lot in range(len(lots.counts)):
        units = [price for kind, price in prices.items() if kind & lots.kinds[lot]]
        sums = [c * lots.cpu[lot] + m * lots.memory[lot] + g * lots.gpus[lot] for c, m, g in units]
        worth.append(max(min(sums, default=0.0), 1e-12))
    return worth
