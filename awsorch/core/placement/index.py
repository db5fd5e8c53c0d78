"""An index over candidate instances: sorted by what they have left, apart by spread value, kind and size class.

A *cell* holds the slots of one kind with the same values of the spread attributes. Its lists are sorted by one
resource (the primary); a slot is in the list of the class of its other resource, so that a search leaves out most
of what lacks that one. Classes double, so a task whose size is a power of two never meets a slot that is short of
it. An entry is one integer, the amount left above the slot's order: comparing, bisecting and moving entries is
then done by the interpreter's own C.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence

from awsorch.core.placement.kinds import Kind
from awsorch.core.placement.slot import Slot

ORDER_BITS = 64
ORDER_MASK = (1 << ORDER_BITS) - 1
_CLASSES = 10
_CPU_STEP, _MEMORY_STEP = 6, 8  # the first class ends at 64 CPU units, at 256 MiB
_END = 1 << 200

Values = tuple[str | None, ...]
Cell = list[list[int]]


def _size_class(amount: int, step: int) -> int:
    return min((amount >> step).bit_length(), _CLASSES - 1) if amount > 0 else 0


class Index:
    """Slots by (kind, values of ``attributes``). ``by_cpu``: the primary is CPU, else memory.

    ``stale`` are the orders of slots that changed; ``refresh`` moves those to where they belong now.
    """

    def __init__(self, attributes: tuple[str, ...], by_cpu: bool) -> None:
        self._attributes = attributes
        self._by_cpu = by_cpu
        self._cells: dict[tuple[Kind | None, Values], Cell] = {}
        self._where: dict[int, tuple[object, Kind | None, Cell, list[int], int]] = {}
        self._lanes: dict[int, list[tuple[Values, list[Cell]]]] = {}
        self._crowded = 64
        self.stale: set[int] = set()

    def put(self, slot: Slot) -> None:
        """Put a candidate where it belongs, moving it when it was elsewhere."""
        amount, other = (slot.cpu, slot.memory) if self._by_cpu else (slot.memory, slot.cpu)
        entry = amount << ORDER_BITS | slot.order
        step = _MEMORY_STEP if self._by_cpu else _CPU_STEP
        number = (other >> step).bit_length() if other > 0 else 0
        was = self._where.get(slot.order)
        if was is not None:
            instance, kind, cell, entries, old = was
            if instance is slot.instance and kind is slot.kind:
                target = cell[number if number < _CLASSES else -1]
                if target is entries and old == entry:
                    return
                del entries[bisect_left(entries, old)]
                insort(target, entry)
                self._where[slot.order] = (instance, kind, cell, target, entry)
                return
            del entries[bisect_left(entries, old)]
        cell = self._cell_for(slot)
        target = cell[number if number < _CLASSES else -1]
        insort(target, entry)
        self._where[slot.order] = (slot.instance, slot.kind, cell, target, entry)

    def drop(self, order: int) -> None:
        """Forget a slot, if it is here."""
        was = self._where.pop(order, None)
        if was is not None:
            _, _, _, entries, old = was
            del entries[bisect_left(entries, old)]

    def refresh(self, slots: Mapping[int, Slot]) -> None:
        """Bring what is stale up to date. ``slots``: all of the fleet's, by order."""
        for order in self.stale:
            slot = slots.get(order)
            if slot is not None and slot.candidate:
                self.put(slot)
            else:
                self.drop(order)
        self.stale.clear()

    def lanes(self, bit: int = 0) -> list[tuple[Values, list[Cell]]]:
        """The cells of kinds that the filter with this bit accepts (0: all), by their spread values."""
        found = self._lanes.get(bit)
        if found is None:
            by_values: dict[Values, list[Cell]] = {}
            for (kind, values), cell in self._cells.items():
                if not bit or (kind is not None and kind.mask & bit):
                    by_values.setdefault(values, []).append(cell)
            found = sorted(by_values.items(), key=lambda lane: [(v is not None, v or "") for v in lane[0]])
            self._lanes[bit] = found
        return found

    def first_class(self, cpu: int, memory: int) -> int:
        """The first size class in which a task of that size can fit."""
        return _size_class(memory, _MEMORY_STEP) if self._by_cpu else _size_class(cpu, _CPU_STEP)

    def floor(self, cpu: int, memory: int) -> int:
        """The least entry with room for a task of that size."""
        return (cpu if self._by_cpu else memory) << ORDER_BITS

    def _cell_for(self, slot: Slot) -> Cell:
        instance = slot.instance
        attributes = instance.attributes if instance is not None else {}
        key = (slot.kind, tuple(attributes.get(name) for name in self._attributes))
        cell = self._cells.get(key)
        if cell is None:
            self._lanes.clear()
            if len(self._cells) >= self._crowded:
                self._cells = {k: c for k, c in self._cells.items() if any(c)}
                self._crowded = 2 * len(self._cells) + 64
            cell = self._cells[key] = [[] for _ in range(_CLASSES)]
        return cell


class Walk:
    """Entries of several sorted lists in one order: ascending from ``floor``, or descending down to it."""

    __slots__ = ("_descending", "_parts")

    def __init__(self, cells: Sequence[Cell], first_class: int, floor: int, descending: bool = False) -> None:
        self._descending = descending
        self._parts: list[tuple[list[int], int, int]] = []
        for cell in cells:
            for entries in cell[first_class:]:
                if entries and entries[-1] >= floor:
                    self._parts.append((entries, bisect_left(entries, floor), len(entries)))

    def more(self, size: int) -> list[int]:
        """The next entries in order; none at the end. ``size``: how many to read of each list. Slices sorted together
        are merged at the speed of the interpreter; what may come after something unread is left for the next time."""
        if self._descending:
            return self._more_down(size)
        found: list[int] = []
        horizon = _END
        for entries, low, high in self._parts:
            part = entries[low : low + size]
            found += part
            if low + size < high and part[-1] < horizon:
                horizon = part[-1]
        found.sort()
        if horizon == _END:
            self._parts = []
            return found
        self._parts = [(e, bisect_right(e, horizon, low, high), high) for e, low, high in self._parts]
        del found[bisect_right(found, horizon) :]
        return found

    def _more_down(self, size: int) -> list[int]:
        found: list[int] = []
        horizon = -_END
        for entries, low, high in self._parts:
            part = entries[max(low, high - size) : high]
            found += part
            if high - size > low and part[0] > horizon:
                horizon = part[0]
        found.sort()
        if horizon == -_END:
            self._parts = []
        else:
            self._parts = [(e, low, bisect_left(e, horizon, low, high)) for e, low, high in self._parts]
            del found[: bisect_left(found, horizon)]
        found.reverse()
        return found

    def parts(self) -> list[tuple[list[int], int]]:
        """The lists of a walk that has not begun, with the least offset at which each has entries with room."""
        return [(entries, low) for entries, low, _ in self._parts]


def least(cells: Sequence[Cell], first_class: int, floor: int, fits: Callable[[int], object], sure: bool) -> int | None:
    """The least entry from ``floor`` on that fits: a walk's first step without the walk. ``sure``: whether all entries
    of the classes after the first fit."""
    best = _END
    for cell in cells:
        asked = True
        for entries in cell[first_class:]:
            if entries and entries[-1] >= floor:
                at = bisect_left(entries, floor)
                entry = entries[at]
                if asked or not sure:
                    while entry < best and not fits(entry):
                        at += 1
                        entry = entries[at] if at < len(entries) else _END
                if entry < best:
                    best = entry
            asked = False
    return None if best == _END else best
