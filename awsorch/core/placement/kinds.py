"""Kinds: instances that every filter asked so far treats alike.

A filter (required attributes, memberOf) is asked once of each instance record, not once a task. Filters that
refuse nobody, or everybody, of a kind leave it whole, so there are few kinds: a fleet on which all agents have the
same capabilities is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from awsorch.core.placement.filters import Filter
from awsorch.core.placement.slot import Slot

#: Filters whose verdicts are kept; one more, and all are forgotten and asked again as they return.
MOST_FILTERS = 256


class Kind:
    """``mask``: a bit per known filter that accepts these instances. Equal by identity."""

    __slots__ = ("mask", "size")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.size = 0


class Kinds:
    """The kinds of one fleet's slots. ``moved`` is told of each slot whose kind changed without its record."""

    def __init__(self, moved: Callable[[Slot], None]) -> None:
        self._moved = moved
        self._bits: dict[Filter, int] = {}
        self._by_mask: dict[int, Kind] = {}

    def sort(self, slot: Slot) -> None:
        """Put a slot whose record is new or changed into its kind; one without a record into none."""
        self._leave(slot)
        if slot.instance is not None:
            mask = 0
            for known, bit in self._bits.items():
                if known.accepts(slot.instance):
                    mask |= bit
            self._enter(slot, mask)

    @property
    def full(self) -> bool:
        """Whether one more filter is too many."""
        return len(self._bits) >= MOST_FILTERS

    def bit_of(self, asked: Filter) -> int | None:
        """The filter's bit in the masks; None for one that was not learnt."""
        return self._bits.get(asked)

    def learn(self, asked: Filter, slots: Iterable[Slot]) -> int:
        """Ask a new filter of all slots, splitting kinds of which it accepts a part. Returns its bit."""
        bit = self._bits[asked] = 1 << len(self._bits)
        accepted: dict[Kind, list[Slot]] = {}
        for slot in slots:
            if slot.kind is not None and slot.instance is not None and asked.accepts(slot.instance):
                accepted.setdefault(slot.kind, []).append(slot)
        for kind, members in accepted.items():
            if len(members) == kind.size:
                del self._by_mask[kind.mask]
                kind.mask |= bit
                self._by_mask[kind.mask] = kind
            else:
                for slot in members:
                    self._leave(slot)
                    self._enter(slot, kind.mask | bit)
                    self._moved(slot)
        return bit

    def forget(self, slots: Iterable[Slot]) -> None:
        """Forget all filters, and with them what tells the kinds apart."""
        self._bits.clear()
        self._by_mask.clear()
        for slot in slots:
            slot.kind = None
            self.sort(slot)

    def _enter(self, slot: Slot, mask: int) -> None:
        kind = self._by_mask.get(mask)
        if kind is None:
            kind = self._by_mask[mask] = Kind(mask)
        kind.size += 1
        slot.kind = kind

    def _leave(self, slot: Slot) -> None:
        kind = slot.kind
        if kind is not None:
            kind.size -= 1
            if not kind.size:
                del self._by_mask[kind.mask]
            slot.kind = None
