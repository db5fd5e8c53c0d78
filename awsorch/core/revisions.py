"""Revisions in ECS's order (family, then number), by status: pages and newest ones without looking at them all.

Follows the table of task definitions like the other indexes; keys here are ``<family> <zero-padded revision>``, which
sort as ECS does because a blank sorts before every character that a family may have.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from awsorch.core.model import TaskDefinition

STATUSES = ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS")
#: Sorts after every digit, so that "<family> " + this ends the family.
_END = "~"


def order_key(family: str, revision: int) -> str:
    """Where a revision stands in the order."""
    return f"{family} {revision:07d}"


def record_key(key: str) -> str:
    """The record's key (family:revision) of an order key."""
    family, _, revision = key.rpartition(" ")
    return f"{family}:{int(revision)}"


class RevisionIndex:
    """Order keys by status, and how many revisions of each status a family has."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {status: [] for status in STATUSES}
        self._families: list[str] = []
        self._counts: dict[str, dict[str, int]] = {}

    def changed(self, old: TaskDefinition | None, new: TaskDefinition | None) -> None:
        """Follow one record. Called again with old and new swapped, it undoes itself."""
        if old is not None and new is not None and old.status == new.status:
            return
        if old is not None:
            keys = self._keys[old.status]
            del keys[bisect_left(keys, order_key(old.family, old.revision))]
            self._count(old.family, old.status, -1)
        if new is not None:
            insort(self._keys[new.status], order_key(new.family, new.revision))
            self._count(new.family, new.status, 1)

    def newest(self, family: str) -> str | None:
        """The record key of the newest ACTIVE revision."""
        keys = self._keys["ACTIVE"]
        at = bisect_right(keys, f"{family} {_END}")
        if at and keys[at - 1].startswith(f"{family} "):
            return record_key(keys[at - 1])
        return None

    def keys(self, status: str) -> list[str]:
        """Record keys of every revision of a status, in order."""
        return [record_key(key) for key in self._keys[status]]

    def walk(self, status: str, *, family: str | None, after: str | None, descending: bool) -> Iterator[str]:
        """Order keys of a status, of one family or of all, that follow ``after`` in the direction asked for."""
        keys = self._keys[status]
        first = 0 if family is None else bisect_left(keys, f"{family} ")
        end = len(keys) if family is None else bisect_right(keys, f"{family} {_END}")
        if not descending:
            start = first if after is None else max(first, bisect_right(keys, after))
            return (keys[at] for at in range(start, end))
        stop = end if after is None else min(end, bisect_left(keys, after))
        return (keys[at] for at in range(stop - 1, first - 1, -1))

    def walk_families(self, status: str, *, prefix: str, after: str | None) -> Iterator[str]:
        """Families with this prefix that follow ``after``: ACTIVE have an ACTIVE revision, INACTIVE have none, ALL."""
        start = bisect_left(self._families, prefix)
        if after is not None:
            start = max(start, bisect_right(self._families, after))
        for at in range(start, len(self._families)):
            family = self._families[at]
            if not family.startswith(prefix):
                return
            if status == "ALL" or (self._counts[family]["ACTIVE"] > 0) == (status == "ACTIVE"):
                yield family

    def _count(self, family: str, status: str, change: int) -> None:
        counts = self._counts.get(family)
        if counts is None:
            counts = self._counts[family] = dict.fromkeys(STATUSES, 0)
            insort(self._families, family)
        counts[status] += change
        if not any(counts.values()):
            del self._counts[family]
            del self._families[bisect_left(self._families, family)]
