"""Blocks beside a plain sorted list. The fleets of the other tests fit into one block; here blocks are short, so that
they are cut, emptied and passed over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from awsorch.core.placement import blocks
from awsorch.core.placement.blocks import ORDER_BITS, Blocks

amounts = st.integers(-3, 70)
entries = st.builds(lambda amount, order: amount << ORDER_BITS | order, amounts, st.integers(0, 3))


@pytest.fixture(autouse=True, scope="module")
def short_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_LENGTH", 2)
        yield


class BlocksMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = Blocks()
        self.others: dict[int, int] = {}

    @rule(added=st.dictionaries(entries, amounts, max_size=12))
    def insert(self, added: dict[int, int]) -> None:
        for entry, other in added.items():
            if entry not in self.others:
                self.others[entry] = other
                self.blocks.insert(entry, other)

    @precondition(lambda self: self.others)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        for entry in data.draw(st.lists(st.sampled_from(sorted(self.others)), unique=True, max_size=8)):
            del self.others[entry]
            self.blocks.remove(entry)

    @precondition(lambda self: self.others)
    @rule(data=st.data(), moves=st.lists(st.tuples(entries, amounts), min_size=1, max_size=4))
    def move(self, data: st.DataObject, moves: list[tuple[int, int]]) -> None:
        entry = data.draw(st.sampled_from(sorted(self.others)))
        for new, other in moves:
            if new == entry or new not in self.others:
                del self.others[entry]
                self.others[new] = other
                self.blocks.move(entry, new, other)
                entry = new

    @rule(floor=entries, other=amounts, below=entries)
    def find_first(self, floor: int, other: int, below: int) -> None:
        first = min((entry for entry, own in self.others.items() if entry >= floor and own >= other), default=None)
        assert self.blocks.first(floor, other) == first
        assert self.blocks.first(floor, other, below) == (None if first is None or first >= below else first)

    @rule(floor=entries, other=amounts)
    def search(self, floor: int, other: int) -> None:
        enough = sorted(entry for entry, own in self.others.items() if entry >= floor and own >= other)
        assert list(self.blocks.least(floor, other)) == enough
        assert list(self.blocks.greatest(floor, other)) == enough[::-1]

    @rule(floor=entries)
    def list_all(self, floor: int) -> None:
        assert self.blocks.listed(floor) == sorted(entry for entry in self.others if entry >= floor)

    @invariant()
    def it_knows_whether_it_is_empty(self) -> None:
        assert bool(self.blocks) is bool(self.others)


TestBlocks = BlocksMachine.TestCase
