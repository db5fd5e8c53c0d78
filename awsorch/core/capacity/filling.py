"""What goes together on one machine: the room is kept in the proportion of what is left, so that CPU and memory run out
at the same time. Lots wait in bins by their proportion of memory worth, the largest first in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from awsorch.core.capacity.lots import Lots, Size
from awsorch.core.capacity.worth import Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What one machine holds: (lot, tasks) pairs, the zones (bits) where all of them may run, their worth."""

    contents: tuple[tuple[int, int], ...]
    zones: int
    worth: float


class Filler:
    """Fills machines from ``lots``, of which only ``active`` ones take part, for tasks worth ``worth``.

    ``bins``: into how many classes of proportion lots are sorted; with 1 the largest that fits always goes first.
    """

    def __init__(
        self, lots: Lots, active: Iterable[int], worth: Sequence[float], prices: dict[int, Prices], bins: int
    ) -> None:
        self._lots = lots
        self._worth = worth
        self._prices = prices
        self._bins: dict[int, list[list[int]]] = {kind: [[] for _ in range(bins)] for kind in prices}
        self._near = [sorted(range(bins), key=lambda b, at=at: abs(b - at)) for at in range(bins)]  # type: ignore[misc]
        for lot in sorted(active, key=lambda lot: (-worth[lot], lot)):
            for kind, (unit_cpu, unit_memory, _) in prices.items():
                if lots.kinds[lot] & kind:
                    share = proportion(unit_cpu * lots.cpu[lot], unit_memory * lots.memory[lot])
                    self._bins[kind][int(share * (bins - 1) + 0.5)].append(lot)

    def fill(self, size: Size, seed: int, counts: Sequence[int]) -> Filling:
        """A machine of this size with one task of lot ``seed``, which fits, and as much more as can be had."""
        lots, unit = self._lots, self._prices[size.kind]
        room = Room(lots, size)
        room.take(seed, 1)
        bins = self._bins[size.kind]
        last = len(bins) - 1
        at = [0] * len(bins)
        while True:
            here = int(proportion(unit[0] * room.cpu, unit[1] * room.memory) * last + 0.5)
            for number in self._near[here]:
                lot = self._next(bins[number], at, number, room, counts)
                if lot >= 0:
                    count = room.fit(lot, counts[lot])
                    room.take(lot, count if number == here else (count + 1) // 2)
                    break
            else:
                break
        contents = tuple(sorted(room.held.items()))
        return Filling(contents=contents, zones=room.zones, worth=sum(self._worth[i] * n for i, n in contents))

    def _next(self, waiting: list[int], at: list[int], number: int, room: Room, counts: Sequence[int]) -> int:
        """The first lot of a bin of which one fits; what doesn't fit now will not later, as the room only shrinks."""
        cpus, memories, cpu, memory = self._lots.cpu, self._lots.memory, room.cpu, room.memory
        for place in range(at[number], len(waiting)):
            lot = waiting[place]
            if cpus[lot] <= cpu and memories[lot] <= memory and counts[lot] and room.fit(lot, counts[lot]):
                at[number] = place
                return lot
        at[number] = len(waiting)
        return -1


def proportion(cpu: float, memory: float) -> float:
    """The part that memory has of the two worths; a half of nothing."""
    return memory / (cpu + memory) if cpu + memory > 0 else 0.5


class Room:
    """What is left of a machine while it is filled, and what it holds."""

    __slots__ = ("_lots", "cpu", "gpus", "held", "memory", "ports", "taken_gpus", "zones")

    def __init__(self, lots: Lots, size: Size) -> None:
        self._lots = lots
        self.cpu, self.memory, self.gpus = size.cpu, size.memory, size.gpus
        self.taken_gpus = 0
        self.zones = -1
        self.ports = 0
        self.held: dict[int, int] = {}

    def fit(self, lot: int, count: int) -> int:
        """How many more of the lot fit, at most all ``count`` that there are (with those that it holds)."""
        lots = self._lots
        cpu, memory, gpus = lots.cpu[lot], lots.memory[lot], lots.gpus[lot]
        if cpu > self.cpu or memory > self.memory or gpus > self.gpus or not self.zones & lots.zones[lot]:
            return 0
        count -= self.held.get(lot, 0)
        if lots.single[lot]:
            return min(count, 1) if lot not in self.held and not self.ports & lots.ports[lot] else 0
        if gpus:
            if lots.whole[lot]:
                return min(count, 1) if not self.taken_gpus else 0
            count = min(count, self.gpus // gpus)
        if cpu:
            count = min(count, self.cpu // cpu)
        return min(count, self.memory // memory) if memory else count

    def take(self, lot: int, count: int) -> None:
        """Put ``count`` of the lot in. They fit."""
        lots = self._lots
        gpus = self.gpus if lots.whole[lot] else count * lots.gpus[lot]
        self.cpu -= count * lots.cpu[lot]
        self.memory -= count * lots.memory[lot]
        self.gpus -= gpus
        self.taken_gpus += gpus
        self.zones &= lots.zones[lot]
        self.ports |= lots.ports[lot]
        self.held[lot] = self.held.get(lot, 0) + count
