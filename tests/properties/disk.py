"""A state with a disk under it, cut off after every commit: what a restart would load must be what is in memory.

``step`` decides an event twice, on the state and on one built from the disk: equal states must decide alike. A refused
event must leave no trace. Planners' wakes are kept as the reconciler keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from awsorch.core.errors import Refusal
from awsorch.core.events import Event, Look
from awsorch.core.invariants import check
from awsorch.core.state import Key, State
from awsorch.core.step import Outcome, step
from awsorch.core.wakes import all_keys
from awsorch.engine.ports import Change
from awsorch.store.records import Row, record_of, rows_of
from tests.support.states import contents, differences

S = TypeVar("S", bound=State)


class Disk(Generic[S]):
    """``state`` is what runs; the rows are what would be found after the power went."""

    def __init__(self, make: Callable[[str], S]) -> None:
        self._make = make
        self._rows: dict[tuple[str, str], Row] = {}
        self._revision = 0
        self.state = make("seed")
        self.due: dict[Key, float] = {}
        self.now = 1_000_000.0
        self.sound = True

    def load(self) -> S:
        """A state built from the disk."""
        state = self._make("seed")
        rows = self._rows.values()
        state.load((record_of(r.kind, r.key, r.version, r.body) for r in rows if r.body is not None), self._revision)
        return state

    def restart(self) -> None:
        """Go on with what the disk has; every key is dirty."""
        self.state = self.load()
        self.due = dict.fromkeys(all_keys(self.state), 0.0)

    def step(self, event: Event) -> Outcome:
        """Decide, store, compare. Raises Refusal. After anything else the disk is no longer ``sound``."""
        self.sound = False
        before = contents(self.state)
        twin = self.load()
        same(before, contents(twin), "loaded again")
        try:
            outcome = step(self.state, event, self.now)
        except Refusal:
            same(before, contents(self.state), "refused")
            self.sound = True
            raise
        twin_outcome = step(twin, event, self.now)
        same(contents(self.state), contents(twin), "decided again")
        assert outcome == twin_outcome
        self._store(outcome)
        assert check(self.state) == []
        self.sound = True
        for key, at in outcome.wakes.items():
            self.due[key] = min(at, self.due.get(key, at))
        return outcome

    def look(self, key: Key) -> Outcome:
        """Have a planner look at a key; it is clean until something marks it again."""
        self.due.pop(key, None)
        return self.step(Look(planner=key[0], subject=key[1]))

    def look_at_due(self) -> None:
        """Look at every key whose time has come."""
        for key in sorted(key for key, at in self.due.items() if at <= self.now):
            self.look(key)

    def _store(self, outcome: Outcome) -> None:
        changes = [Change(kind=kind, key=key, record=record) for (kind, key), record in outcome.changes.items()]
        for row in rows_of(changes):
            if row.body is None:
                self._rows.pop((row.kind, row.key), None)
            else:
                self._rows[row.kind, row.key] = row
        assert self.state.revision == self._revision + bool(changes)
        self._revision = self.state.revision


def same(one: dict[str, Any], other: dict[str, Any], when: str) -> None:
    """Fail with what differs."""
    found = differences(one, other)
    assert not found, f"{when}: {found}"
