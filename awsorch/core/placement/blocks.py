"""A sorted list of slots that answers: the least entry from here on with so much of something else.

Packing asks for the instance with least memory left that still has enough memory *and* CPU. In a sorted list that
search would stumble over every instance that has run out of CPU; those pile up exactly where it begins. So each entry
has its amount of the other resource written beside it as one byte, its *level*: one translation of those bytes marks
all that are high enough, and the next mark is found as a byte is. And the list is cut into blocks, whose highest
levels are written down in the same way: a search goes straight to a block that may have what it wants.

An entry is one integer, the amount left above the slot's order: comparing and bisecting, like that search, are then
done by the interpreter's own C.

An instance that was packed is mostly the next to be packed. So the entry that moved last is kept *loose*, outside the
blocks: while it goes on moving nothing else has to, and it bounds every search that it is good enough for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache

ORDER_BITS = 64
ORDER_MASK = (1 << ORDER_BITS) - 1
_LENGTH = 48
_LOWEST = -(1 << 200)
#: Above every entry.
BEYOND = 1 << 200


def _level(amount: int) -> int:
    """An amount as a byte that never falls as amounts rise: exact below 32, then 16 steps for each doubling. Never 0,
    which is the level of an empty block."""
    if amount < 32:
        return amount + 1 if amount > 0 else 1
    extra = amount.bit_length() - 5
    return min((extra << 4) + (amount >> extra) + 1, 255)


#: By level, what turns it and those above into 1 and those below into 0.
_MARKS = [bytes(other >= level for other in range(256)) for level in range(256)]


@lru_cache(maxsize=4096)
def _marks_for(amount: int) -> bytes:
    """What turns the levels of those that may have the amount into 1, and others into 0."""
    return _MARKS[_level(amount)]


class _Block:
    """Entries in order, their other amounts, and these as levels."""

    __slots__ = ("entries", "levels", "others")

    def __init__(self, entries: list[int], others: list[int], levels: bytearray) -> None:
        self.entries = entries
        self.others = others
        self.levels = levels

    def cut(self) -> _Block:
        """Take the upper half off, as a block of its own."""
        half = len(self.entries) // 2
        upper = _Block(self.entries[half:], self.others[half:], self.levels[half:])
        del self.entries[half:], self.others[half:], self.levels[half:]
        return upper


class Blocks:
    """Entries in order, each with its amount of the other resource."""

    __slots__ = ("_blocks", "_bounds", "_loose", "_loose_other", "_tops")

    def __init__(self) -> None:
        self._blocks = [_Block([], [], bytearray())]
        #: The entry that each block begins at or after.
        self._bounds = [_LOWEST]
        #: None of the levels in a block is above its own here.
        self._tops = bytearray(1)
        self._loose: int | None = None
        self._loose_other = 0

    def __bool__(self) -> bool:
        return self._loose is not None or bool(self._blocks[0].entries)

    def insert(self, entry: int, other: int) -> None:
        """Put an entry in."""
        number = bisect_right(self._bounds, entry) - 1
        block, level = self._blocks[number], _level(other)
        at = bisect_left(block.entries, entry)
        block.entries.insert(at, entry)
        block.others.insert(at, other)
        block.levels.insert(at, level)
        if level > self._tops[number]:
            self._tops[number] = level
        if len(block.entries) > 2 * _LENGTH:
            upper = block.cut()
            self._blocks.insert(number + 1, upper)
            self._bounds.insert(number + 1, upper.entries[0])
            self._tops[number : number + 1] = (max(block.levels), max(upper.levels))

    def remove(self, entry: int) -> None:
        """Take an entry out that is in."""
        if entry == self._loose:
            self._loose = None
            return
        number = bisect_right(self._bounds, entry) - 1
        block = self._blocks[number]
        at = bisect_left(block.entries, entry)
        del block.entries[at], block.others[at], block.levels[at]
        if not block.entries and len(self._blocks) > 1:
            del self._blocks[number], self._bounds[number], self._tops[number]
            self._bounds[0] = _LOWEST

    def move(self, entry: int, new: int, other: int) -> None:
        """Put another entry in the place of one that is in; the new one is loose from then on."""
        if entry != self._loose:
            self.remove(entry)
            self._settle()
        self._loose = new
        self._loose_other = other

    def first(self, entry: int, other: int, below: int = BEYOND) -> int | None:
        """The first of ``least``, for those who want no more, and only if it is below ``below``."""
        found = self._loose
        if found is not None and entry <= found < below and other <= self._loose_other:
            below = found
        else:
            found = None
        marks, bounds = _marks_for(other), self._bounds
        tops = self._tops.translate(marks)
        number = tops.find(1, bisect_right(bounds, entry) - 1)
        while number >= 0 and bounds[number] < below:
            block = self._blocks[number]
            start = bisect_left(block.entries, entry) if bounds[number] < entry else 0
            marked = block.levels.translate(marks)
            at = marked.find(1, start)
            if at < 0 and not start:
                self._tops[number] = marks.find(1) - 1  # below the least level that has a mark
            while at >= 0:
                if block.others[at] >= other:
                    return block.entries[at] if block.entries[at] < below else found
                at = marked.find(1, at + 1)
            number = tops.find(1, number + 1)
        return found

    def least(self, entry: int, other: int) -> Iterator[int]:
        """The entries from ``entry`` up that have at least ``other``, in order. Not to be changed meanwhile."""
        self._settle()
        marks, bounds = _marks_for(other), self._bounds
        tops = self._tops.translate(marks)
        number = tops.find(1, bisect_right(bounds, entry) - 1)
        while number >= 0:
            block = self._blocks[number]
            start = bisect_left(block.entries, entry) if bounds[number] < entry else 0
            marked = block.levels.translate(marks)
            at = marked.find(1, start)
            if at < 0 and not start:
                self._tops[number] = marks.find(1) - 1  # below the least level that has a mark
            while at >= 0:
                if block.others[at] >= other:
                    yield block.entries[at]
                at = marked.find(1, at + 1)
            number = tops.find(1, number + 1)

    def greatest(self, entry: int, other: int) -> Iterator[int]:
        """The same entries, the greatest first."""
        self._settle()
        last = bisect_right(self._bounds, entry) - 1
        marks = _marks_for(other)
        tops = self._tops.translate(marks)
        number = tops.rfind(1, last)
        while number >= 0:
            block = self._blocks[number]
            start = bisect_left(block.entries, entry) if number == last else 0
            marked = block.levels.translate(marks)
            at = marked.rfind(1, start)
            while at >= 0:
                if block.others[at] >= other:
                    yield block.entries[at]
                at = marked.rfind(1, start, at)
            number = tops.rfind(1, last, number)

    def listed(self, entry: int) -> list[int]:
        """All entries from ``entry`` up, whatever they have of the other resource."""
        self._settle()
        number = bisect_right(self._bounds, entry) - 1
        found = self._blocks[number].entries[bisect_left(self._blocks[number].entries, entry) :]
        for block in self._blocks[number + 1 :]:
            found += block.entries
        return found

    def _settle(self) -> None:
        """Put the loose entry among the others."""
        if self._loose is not None:
            self.insert(self._loose, self._loose_other)
            self._loose = None
