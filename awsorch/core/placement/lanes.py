"""Lanes: the candidates with the same values of all spread attributes, in the order in which a group's tasks take them.

Inside a lane strategies see single instances only, so the best one is found without looking at other lanes; place.py
chooses among the lanes' heads. Identical tasks taken one after another follow one walk over the index: an instance
that is packed stays the least until it is full, and one that is spread over goes to the next level. A lane reads slots
and never changes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush, heapreplace

from awsorch.core.placement.blocks import BEYOND, ORDER_MASK
from awsorch.core.placement.filters import Needs
from awsorch.core.placement.index import Lane
from awsorch.core.placement.slot import Slot
from awsorch.core.placement.strategies import COUNT, CPU, MEMORY, ROOM

Key = tuple[int, ...]
#: A slot, the tasks it was given before in the same call, and the tasks given now.
Given = tuple[Slot, int, int]
_TRIES = 16


class Terms:
    """What all lanes of one call share. ``inner``: the steps about single instances. ``floor``: the least entry with
    room; ``other``: what is needed of the resource that entries are not sorted by. ``slots``: by order."""

    __slots__ = ("floor", "inner", "needs", "other", "slots")

    def __init__(self, needs: Needs, inner: tuple[str, ...], sizes: tuple[int, int], slots: Mapping[int, Slot]) -> None:
        self.needs = needs
        self.inner = inner
        self.floor, self.other = sizes
        self.slots = slots

    def key(self, slot: Slot, taken: int) -> Key:
        """How the slot compares within a lane after ``taken`` tasks were given to it: the least is best."""
        demand, parts = self.needs.demand, []
        for step in self.inner:
            if step == MEMORY:
                parts.append(slot.memory - taken * demand.memory)
            elif step == CPU:
                parts.append(slot.cpu - taken * demand.cpu)
            elif step == ROOM:
                parts.append(taken * demand.memory - slot.memory)
            else:
                parts.append(slot.groups.get(self.needs.group, 0) + taken)
        parts.append(-slot.order if step == ROOM else slot.order)
        return tuple(parts)


def first_packed(
    needs: Needs,
    sizes: tuple[int, int],
    slots: Mapping[int, Slot],
    lanes: list[Lane],
    counts: Mapping[str | None, int] | None,
) -> Slot | None:
    """Where one task goes that is spread over an attribute by ``counts`` (or over nothing) and then packed: the same as
    the heads of PackedLanes compared, without making them."""
    floor, other = sizes
    while lanes:
        level = _fewest(lanes, counts) if counts else lanes
        best: int | None = None
        for lane in level:
            below = BEYOND if best is None else best
            found = lane.first(floor, other, below) if needs.plain else _first(needs, sizes, slots, lane)
            if found is not None and found < below:
                best = found
        if best is not None:
            return slots[best & ORDER_MASK]
        lanes = [lane for lane in lanes if lane not in level]
    return None


def _fewest(lanes: list[Lane], counts: Mapping[str | None, int]) -> list[Lane]:
    """The lanes of which the group has fewest tasks."""
    level: list[Lane] = []
    fewest = -1
    for lane in lanes:
        count = counts.get(lane.values[0], 0)
        if count == fewest:
            level.append(lane)
        elif count < fewest or not level:
            level, fewest = [lane], count
    return level


def _first(needs: Needs, sizes: tuple[int, int], slots: Mapping[int, Slot], lane: Lane) -> int | None:
    """The least entry of the lane that has room for one task."""
    for entry in lane.ascending(*sizes):
        if needs.room(slots[entry & ORDER_MASK]):
            return entry
    return None


class PackedLane:
    """A lane whose instances are packed by one resource and nothing else: the index has them in that very order, and
    each is filled before the next."""

    __slots__ = ("_entries", "_room", "_slot", "_taken", "_terms")

    def __init__(self, terms: Terms, lane: Lane) -> None:
        self._terms = terms
        self._entries = lane.ascending(terms.floor, terms.other)
        self._slot: Slot | None = None
        self._taken = 0
        self._room = 0

    def head(self) -> Key | None:
        """The key of the instance that is next; None when no instance has room."""
        if not self._room:
            self._slot = None
            for slot, room in self._rooms():
                self._slot, self._taken, self._room = slot, 0, room
                break
        return None if self._slot is None else self._terms.key(self._slot, self._taken)

    def take(self, count: int, given: list[Given]) -> int:
        """Give up to ``count`` tasks to instances, noting them in ``given``. Returns how many."""
        left = count
        if self._room and self._slot is not None:
            now = min(self._room, left)
            given.append((self._slot, self._taken, now))
            self._taken += now
            self._room -= now
            left -= now
        if left:
            for slot, room in self._rooms():
                if room >= left:
                    given.append((slot, 0, left))
                    self._slot, self._taken, self._room = slot, left, room - left
                    return count
                given.append((slot, 0, room))
                left -= room
        return count - left

    def _rooms(self) -> Iterator[tuple[Slot, int]]:
        """The instances not looked at yet that have room, and how much. Whoever stops can ask again for the rest."""
        needs, slots = self._terms.needs, self._terms.slots
        cpu, memory = needs.demand.cpu, needs.demand.memory
        if not needs.plain or not cpu or not memory:
            for entry in self._entries:
                slot = slots[entry & ORDER_MASK]
                room = needs.room(slot)
                if room:
                    yield slot, room
            return
        for entry in self._entries:
            slot = slots[entry & ORDER_MASK]
            room, by_memory = slot.cpu // cpu, slot.memory // memory
            yield slot, room if room < by_memory else by_memory


class OrderedLane:
    """A lane whose instances have any other order: by fewest tasks of the group, or packed with ties broken further."""

    def __init__(self, terms: Terms, lane: Lane) -> None:
        inner, demand = terms.inner, terms.needs.demand
        self._terms = terms
        walk = lane.descending if ROOM in inner else lane.ascending
        self._entries = walk(terms.floor, terms.other)
        self._by_count = inner[0] == COUNT
        # The walk's order is the whole order when nothing follows the resource that it is sorted by.
        self._sorted = len(inner) == 1 + self._by_count
        shrinks = demand.cpu if inner[0] == CPU else demand.memory
        self._fills = not self._by_count and not terms.needs.filter.dynamic and shrinks > 0
        self._open: list[tuple[Key, Slot, int, int]] = []
        self._ahead: tuple[Key, Slot, int] | None = None
        self._advance()

    def head(self) -> Key | None:
        """The key of the instance that is next; None when no instance has room."""
        opened = self._open
        while self._ahead is not None:
            key, slot, room = self._ahead
            if opened and opened[0][0] < (key if self._sorted else key[: 1 + self._by_count]):
                break
            heappush(opened, (key, slot, 0, room))
            self._advance()
            if self._sorted:
                break
        return opened[0][0] if opened else None

    def take(self, count: int, given: list[Given]) -> int:
        """Give up to ``count`` tasks to instances, noting them in ``given``. Returns how many."""
        opened, terms, left = self._open, self._terms, count
        while left and self.head() is not None:
            _, slot, taken, room = opened[0]
            now = min(room, left) if self._fills else 1
            given.append((slot, taken, now))
            left -= now
            taken += now
            room = terms.needs.room(slot, taken) if terms.needs.filter.dynamic else room - now
            if room:
                heapreplace(opened, (terms.key(slot, taken), slot, taken, room))
            else:
                heappop(opened)
        return count - left

    def _advance(self) -> None:
        """Find the next instance of the walk with room. When instances without a task of the group go first, those that
        have one wait among the opened."""
        terms = self._terms
        needs, slots = terms.needs, terms.slots
        for entry in self._entries:
            slot = slots[entry & ORDER_MASK]
            room = needs.room(slot)
            if room:
                key = terms.key(slot, 0)
                if not self._by_count or needs.group not in slot.groups:
                    self._ahead = key, slot, room
                    return
                heappush(self._open, (key, slot, 0, room))
        self._ahead = None


class Dice:
    """A sequence of numbers decided by a seed (SplitMix64)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & ORDER_MASK

    def below(self, bound: int) -> int:
        """The next number from 0 up to, not including, ``bound``."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & ORDER_MASK
        mixed = (self._state ^ self._state >> 30) * 0xBF58476D1CE4E5B9 & ORDER_MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & ORDER_MASK
        return (mixed ^ mixed >> 31) % bound


class RandomLane:
    """A lane of which any instance will do, among those that are equal by the steps before ``random``.

    Instances are drawn until one has room; after some failures those with room are listed and drawn from.
    """

    def __init__(self, terms: Terms, lane: Lane, dice: Dice) -> None:
        self._terms = terms
        self._dice = dice
        self._all = [entry for cell in lane.cells for entry in cell.listed(terms.floor)]
        if len(lane.cells) > 1:
            self._all.sort()  # cells come in the order in which they were made; a fleet loaded again must draw alike
        self._taken: dict[int, int] = {}
        self._listed: list[Slot] | None = None
        self._ahead: Slot | None = None

    def head(self) -> Key | None:
        """The key that the instance drawn next has by the steps before ``random``; None when none has room."""
        if self._ahead is None:
            self._ahead = self._draw()
        return None if self._ahead is None else self._key(self._ahead)

    def take(self, count: int, given: list[Given]) -> int:
        """Give up to ``count`` tasks to instances, noting them in ``given``. Returns how many."""
        left = count
        while left and self.head() is not None and self._ahead is not None:
            slot, self._ahead = self._ahead, None
            taken = self._taken.get(slot.order, 0)
            self._taken[slot.order] = taken + 1
            given.append((slot, taken, 1))
            left -= 1
        return count - left

    def _key(self, slot: Slot) -> Key:
        return self._terms.key(slot, self._taken.get(slot.order, 0))[:-1] if self._terms.inner else ()

    def _room(self, slot: Slot) -> int:
        return self._terms.needs.room(slot, self._taken.get(slot.order, 0))

    def _draw(self) -> Slot | None:
        if not self._terms.inner and self._listed is None:
            for _ in range(_TRIES if self._all else 0):
                slot = self._terms.slots[self._all[self._dice.below(len(self._all))] & ORDER_MASK]
                if self._room(slot):
                    return slot
        if self._listed is None:
            slots = self._terms.slots
            self._listed = [slots[entry & ORDER_MASK] for entry in self._all]
        self._listed = [slot for slot in self._listed if self._room(slot)]
        best = min(map(self._key, self._listed), default=None)
        equal = [slot for slot in self._listed if self._key(slot) == best]
        return equal[self._dice.below(len(equal))] if equal else None
