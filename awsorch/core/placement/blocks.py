"""A sorted list of slots that answers: the least entry from here on with so much of something else.

Packing asks for the instance with least memory left that still has enough memory *and* CPU. In one sorted list that
search would stumble over every instance that has run out of CPU; those pile up exactly where it begins. So the list is
cut into blocks that know the most of the other resource that any of theirs has, and blocks without enough are skipped.

An entry is one integer, the amount left above the slot's order: comparing and bisecting are then done by the
interpreter's C.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

ORDER_BITS = 64
ORDER_MASK = (1 << ORDER_BITS) - 1
_LENGTH = 32
_LOWEST = -(1 << 200)


class Blocks:
    """Entries in order, each with its amount of the other resource."""

    __slots__ = ("_bounds", "_entries", "_most", "_others")

    def __init__(self) -> None:
        # By block: the entry it begins at or after; its entries; their other amounts; no less than the most of those.
        self._bounds: list[int] = [_LOWEST]
        self._entries: list[list[int]] = [[]]
        self._others: list[list[int]] = [[]]
        self._most: list[int] = [_LOWEST]

    def __bool__(self) -> bool:
        return bool(self._entries[0])

    def insert(self, entry: int, other: int) -> None:
        """Put an entry in."""
        number = bisect_right(self._bounds, entry) - 1
        entries, others = self._entries[number], self._others[number]
        at = bisect_left(entries, entry)
        entries.insert(at, entry)
        others.insert(at, other)
        if other > self._most[number]:
            self._most[number] = other
        if len(entries) > 2 * _LENGTH:
            self._split(number)

    def remove(self, entry: int) -> None:
        """Take an entry out that is in."""
        number = bisect_right(self._bounds, entry) - 1
        entries = self._entries[number]
        at = bisect_left(entries, entry)
        del entries[at]
        del self._others[number][at]
        if not entries and len(self._entries) > 1:
            del self._bounds[number], self._entries[number], self._others[number], self._most[number]
            self._bounds[0] = _LOWEST

    def least(self, entry: int, other: int) -> Iterator[int]:
        """The entries from ``entry`` up that have at least ``other``, in order. Not to be changed meanwhile."""
        first = bisect_right(self._bounds, entry) - 1
        start = bisect_left(self._entries[first], entry)
        most = self._most
        for number in range(first, len(most)):
            if most[number] >= other:
                entries, others = self._entries[number], self._others[number]
                found = False
                for at in range(start, len(entries)):
                    if others[at] >= other:
                        found = True
                        yield entries[at]
                if not found and not start:
                    most[number] = max(others, default=_LOWEST)
            start = 0

    def greatest(self, entry: int, other: int) -> Iterator[int]:
        """The same entries, the greatest first."""
        last = bisect_right(self._bounds, entry) - 1
        for number in range(len(self._most) - 1, last - 1, -1):
            if self._most[number] >= other:
                entries, others = self._entries[number], self._others[number]
                start = bisect_left(entries, entry) if number == last else 0
                for at in range(len(entries) - 1, start - 1, -1):
                    if others[at] >= other:
                        yield entries[at]

    def listed(self, entry: int) -> list[int]:
        """All entries from ``entry`` up, whatever they have of the other resource."""
        number = bisect_right(self._bounds, entry) - 1
        found = self._entries[number][bisect_left(self._entries[number], entry) :]
        for entries in self._entries[number + 1 :]:
            found += entries
        return found

    def _split(self, number: int) -> None:
        entries, others = self._entries[number], self._others[number]
        self._bounds.insert(number + 1, entries[_LENGTH])
        self._entries.insert(number + 1, entries[_LENGTH:])
        self._others.insert(number + 1, others[_LENGTH:])
        del entries[_LENGTH:], others[_LENGTH:]
        self._most[number : number + 1] = max(others), max(self._others[number + 1])
