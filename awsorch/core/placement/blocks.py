"""A sorted list of slots that answers: the least entry from here on with so much of something else.

Packing asks for the instance with least memory left that still has enough memory *and* CPU. In a sorted list that
search would stumble over every instance that has run out of CPU; those pile up exactly where it begins. So the list is
cut into blocks that know the most that any of their entries has, and blocks without enough are passed over. Inside a
block each entry has its amount of the other resource written beside it as one byte, its *level*: one translation of
those bytes marks all that are high enough, and the next mark is found as a byte is.

An entry is one integer, the amount left above the slot's order: comparing and bisecting, like that search, are then
done by the interpreter's own C.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

ORDER_BITS = 64
ORDER_MASK = (1 << ORDER_BITS) - 1
_LENGTH = 128
_LOWEST = -(1 << 200)


def _level(amount: int) -> int:
    """An amount as a byte that never falls as amounts rise: exact below 16, then eight steps for each doubling."""
    if amount < 16:
        return amount if amount > 0 else 0
    extra = amount.bit_length() - 4
    return min(extra * 8 + (amount >> extra), 255)


#: By level, what turns it and those above into 1 and those below into 0.
_ENOUGH = [bytes(other >= level for other in range(256)) for level in range(256)]


class _Block:
    """Entries in order, their other amounts, these as levels, and a bound: none of the amounts is above ``most``."""

    __slots__ = ("entries", "levels", "most", "others")

    def __init__(self, entries: list[int], others: list[int], levels: bytearray) -> None:
        self.entries = entries
        self.others = others
        self.levels = levels
        self.most = max(others, default=_LOWEST)

    def cut(self) -> _Block:
        """Take the upper half off, as a block of its own."""
        half = len(self.entries) // 2
        upper = _Block(self.entries[half:], self.others[half:], self.levels[half:])
        del self.entries[half:], self.others[half:], self.levels[half:]
        return upper


class Blocks:
    """Entries in order, each with its amount of the other resource."""

    __slots__ = ("_blocks", "_bounds")

    def __init__(self) -> None:
        self._blocks = [_Block([], [], bytearray())]
        #: The entry that each block begins at or after.
        self._bounds = [_LOWEST]

    def __bool__(self) -> bool:
        return bool(self._blocks[0].entries)

    def insert(self, entry: int, other: int) -> None:
        """Put an entry in."""
        number = bisect_right(self._bounds, entry) - 1
        block = self._blocks[number]
        at = bisect_left(block.entries, entry)
        block.entries.insert(at, entry)
        block.others.insert(at, other)
        block.levels.insert(at, _level(other))
        if other > block.most:
            block.most = other
        if len(block.entries) > 2 * _LENGTH:
            upper = block.cut()
            self._blocks.insert(number + 1, upper)
            self._bounds.insert(number + 1, upper.entries[0])

    def remove(self, entry: int) -> None:
        """Take an entry out that is in."""
        number = bisect_right(self._bounds, entry) - 1
        block = self._blocks[number]
        at = bisect_left(block.entries, entry)
        del block.entries[at], block.others[at], block.levels[at]
        if not block.entries and len(self._blocks) > 1:
            del self._blocks[number], self._bounds[number]
            self._bounds[0] = _LOWEST

    def first(self, entry: int, other: int) -> int | None:
        """The first of ``least``, for those who want no more."""
        blocks = self._blocks
        number = bisect_right(self._bounds, entry) - 1
        start = bisect_left(blocks[number].entries, entry)
        enough = _ENOUGH[_level(other)]
        while True:
            block = blocks[number]
            if block.most >= other:
                marks = block.levels.translate(enough)
                at = marks.find(1, start)
                while at >= 0:
                    if block.others[at] >= other:
                        return block.entries[at]
                    at = marks.find(1, at + 1)
                if not start:
                    block.most = max(block.others, default=_LOWEST)
            number += 1
            if number == len(blocks):
                return None
            start = 0

    def least(self, entry: int, other: int) -> Iterator[int]:
        """The entries from ``entry`` up that have at least ``other``, in order. Not to be changed meanwhile."""
        number = bisect_right(self._bounds, entry) - 1
        blocks = self._blocks
        start = bisect_left(blocks[number].entries, entry)
        enough = _ENOUGH[_level(other)]
        for block in blocks[number:] if number else blocks:
            if block.most >= other:
                marks, found = block.levels.translate(enough), False
                at = marks.find(1, start)
                while at >= 0:
                    if block.others[at] >= other:
                        found = True
                        yield block.entries[at]
                    at = marks.find(1, at + 1)
                if not found and not start:
                    block.most = max(block.others, default=_LOWEST)
            start = 0

    def greatest(self, entry: int, other: int) -> Iterator[int]:
        """The same entries, the greatest first."""
        last = bisect_right(self._bounds, entry) - 1
        enough = _ENOUGH[_level(other)]
        for number in range(len(self._blocks) - 1, last - 1, -1):
            block = self._blocks[number]
            if block.most >= other:
                start = bisect_left(block.entries, entry) if number == last else 0
                marks = block.levels.translate(enough)
                at = marks.rfind(1, start)
                while at >= 0:
                    if block.others[at] >= other:
                        yield block.entries[at]
                    at = marks.rfind(1, start, at)

    def listed(self, entry: int) -> list[int]:
        """All entries from ``entry`` up, whatever they have of the other resource."""
        number = bisect_right(self._bounds, entry) - 1
        found = self._blocks[number].entries[bisect_left(self._blocks[number].entries, entry) :]
        for block in self._blocks[number + 1 :]:
            found += block.entries
        return found
