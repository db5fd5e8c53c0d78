"""Questions: what requests ask of a fleet that differ in nothing but their group and the size and number of tasks.

A service asks one question all its life. What it takes to answer it is looked up once and then kept by the fleet.
Nothing is decided here.
"""

from __future__ import annotations

from awsorch.core.placement.filters import Filter
from awsorch.core.placement.index import Index, Lane
from awsorch.core.placement.strategies import Chain


class Question:
    """A filter, a chain, and an index of candidates by what the chain spreads over and packs. ``bit``: the filter's in
    the masks of their kinds, 0 where it has accepted all of them. ``packs``: lanes have their instances in the very
    order in which tasks are given to them. ``spread``: the attribute over which tasks are spread before all else.
    ``direct``: one task goes to the first instance with room in the lanes with fewest tasks."""

    __slots__ = ("_bit", "chain", "direct", "filter", "index", "packs", "spread")

    def __init__(self, conditions: Filter, chain: Chain, index: Index, bit: int) -> None:
        self.filter = conditions
        self.chain = chain
        self.index = index
        self.packs = chain.packs and not conditions.dynamic
        self.spread = chain.attributes[0] if chain.spreads else None
        self.direct = self.packs and (chain.spreads or not chain.attributes)
        self._bit = bit

    def lanes(self) -> list[Lane]:
        """The lanes of the candidates that the filter accepts."""
        return self.index.lanes(self._bit)
