"""An index over candidate instances: sorted by what they have left, apart by kind and by spread value."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from awsorch.core.placement.blocks import ORDER_BITS, Blocks
from awsorch.core.placement.kinds import Kind
from awsorch.core.placement.slot import Slot

Values = tuple[str | None, ...]
_CROWDED = 64


class Lane(NamedTuple):
    """The slots with the same spread values, by kind."""

    values: Values
    cells: list[Blocks]

    def first(self, floor: int, other: int, below: int) -> int | None:
        """The first of ``ascending``, if it is below ``below``."""
        cells = self.cells
        if len(cells) == 1:
            return cells[0].first(floor, other, below)
        found = [entry for cell in cells if (entry := cell.first(floor, other, below)) is not None]
        return min(found, default=None)

    def ascending(self, floor: int, other: int) -> Iterator[int]:
        """Entries from ``floor`` up with enough of the other resource."""
        cells = self.cells
        if len(cells) == 1:
            return cells[0].least(floor, other)
        return merge(*[cell.least(floor, other) for cell in cells])

    def descending(self, floor: int, other: int) -> Iterator[int]:
        """The same, the greatest first."""
        cells = self.cells
        if len(cells) == 1:
            return cells[0].greatest(floor, other)
        return merge(*[cell.greatest(floor, other) for cell in cells], reverse=True)


class _Place:
    """Where a slot is, and the record and kind by which it was put there."""

    __slots__ = ("cell", "entry", "instance", "kind")

    def __init__(self, slot: Slot, cell: Blocks, entry: int) -> None:
        self.instance = slot.instance
        self.kind = slot.kind
        self.cell = cell
        self.entry = entry


class Index:
    """Slots by (kind, values of ``attributes``), sorted by CPU (``by_cpu``) or else by memory.

    ``stale`` are the slots that changed, by order; ``refresh`` moves those to where they belong now.
    """

    def __init__(self, attributes: tuple[str, ...], by_cpu: bool) -> None:
        self._attributes = attributes
        self._by_cpu = by_cpu
        self._cells: dict[tuple[Kind | None, Values], Blocks] = {}
        self._places: dict[int, _Place] = {}
        self._lanes: dict[int, list[Lane]] = {}
        self._crowded = _CROWDED
        self.stale: dict[int, Slot] = {}

    def put(self, slot: Slot) -> None:
        """Put a candidate where it belongs, moving it when it was elsewhere."""
        order = slot.order
        amount, other = (slot.cpu, slot.memory) if self._by_cpu else (slot.memory, slot.cpu)
        entry = amount << ORDER_BITS | order
        place = self._places.get(order)
        if place is not None and place.instance is slot.instance and place.kind is slot.kind:
            place.cell.move(place.entry, entry, other)
            place.entry = entry
            return
        if place is not None:
            place.cell.remove(place.entry)
        place = self._places[order] = _Place(slot, self._cell_for(slot), entry)
        place.cell.insert(entry, other)

    def drop(self, order: int) -> None:
        """Forget a slot, if it is here."""
        place = self._places.pop(order, None)
        if place is not None:
            place.cell.remove(place.entry)

    def refresh(self) -> None:
        """Bring what is stale up to date."""
        for order, slot in self.stale.items():
            if slot.open:
                self.put(slot)
            else:
                self.drop(order)
        self.stale.clear()

    def lanes(self, bit: int = 0) -> list[Lane]:
        """A lane for each combination of spread values, of the kinds that the filter with this bit accepts (0: all)."""
        lanes = self._lanes.get(bit)
        if lanes is None:
            by_values: dict[Values, Lane] = {}
            for (kind, values), cell in self._cells.items():
                if not bit or (kind is not None and kind.mask & bit):
                    by_values.setdefault(values, Lane(values, [])).cells.append(cell)
            lanes = sorted(by_values.values(), key=lambda lane: [(v is not None, v or "") for v in lane.values])
            self._lanes[bit] = lanes
        return lanes

    def sizes(self, cpu: int, memory: int) -> tuple[int, int]:
        """The least entry with room for a task of that size, and what it needs of the other resource."""
        return (cpu << ORDER_BITS, memory) if self._by_cpu else (memory << ORDER_BITS, cpu)

    def _cell_for(self, slot: Slot) -> Blocks:
        instance = slot.instance
        attributes = instance.attributes if instance is not None else {}
        key = (slot.kind, tuple(attributes.get(name) for name in self._attributes))
        cell = self._cells.get(key)
        if cell is None:
            self._lanes.clear()
            if len(self._cells) >= self._crowded:
                self._cells = {key: cell for key, cell in self._cells.items() if cell}
                self._crowded = 2 * len(self._cells) + _CROWDED
            cell = self._cells[key] = Blocks()
        return cell
