"""Ways to find records without looking at all of them. Each follows its table through ``changed`` and can be undone by
calling it again with old and new swapped."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from awsorch.core.model import Task

R = TypeVar("R")


class SortedKeys:
    """Keys in order, for pages: ``after(key)`` goes on where the last page ended."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def add(self, key: str) -> None:
        """Put in a key that is not there."""
        if not self._keys or key > self._keys[-1]:
            self._keys.append(key)
        else:
            insort(self._keys, key)

    def discard(self, key: str) -> None:
        """Take out a key if it is there."""
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            del self._keys[at]

    def changed(self, old: Any | None, new: Any | None) -> None:
        """Follow one record by its key."""
        if old is None and new is not None:
            self.add(new.key)
        elif new is None and old is not None:
            self.discard(old.key)

    def after(self, key: str | None, count: int) -> list[str]:
        """Up to ``count`` keys that follow ``key`` (None: from the beginning)."""
        at = 0 if key is None else bisect_right(self._keys, key)
        return self._keys[at : at + count]


class Groups(Generic[R]):
    """Keys of records by one of their properties, e.g. tasks by family. Records whose property is None are left out."""

    def __init__(self, name: Callable[[R], str | None], key: Callable[[R], str]) -> None:
        self._name = name
        self._key = key
        self._groups: dict[str, set[str]] = {}

    def __getitem__(self, name: str) -> frozenset[str] | set[str]:
        return self._groups.get(name, frozenset())

    def names(self) -> list[str]:
        """Groups that have a record, in order."""
        return sorted(self._groups)

    def changed(self, old: R | None, new: R | None) -> None:
        """Follow one record."""
        before = self._name(old) if old is not None else None
        after = self._name(new) if new is not None else None
        if before == after:
            return
        if old is not None and before is not None:
            group = self._groups[before]
            group.discard(self._key(old))
            if not group:
                del self._groups[before]
        if new is not None and after is not None:
            self._groups.setdefault(after, set()).add(self._key(new))


class TaskIndex:
    """Tasks by what ListTasks filters on, and by when those that may be forgotten stopped."""

    def __init__(self) -> None:
        self.by_desired = {"RUNNING": SortedKeys(), "PENDING": SortedKeys(), "STOPPED": SortedKeys()}
        self.by_instance: Groups[Task] = Groups(lambda t: t.instance_id, lambda t: t.id)
        self.by_family: Groups[Task] = Groups(lambda t: t.family, lambda t: t.id)
        self.by_starter: Groups[Task] = Groups(lambda t: t.started_by, lambda t: t.id)
        self.by_group: Groups[Task] = Groups(lambda t: t.group, lambda t: t.id)
        self.by_definition: Groups[Task] = Groups(lambda t: t.definition, lambda t: t.id)
        self.stopped: list[tuple[float, str]] = []

    def changed(self, old: Task | None, new: Task | None) -> None:
        """Follow one task."""
        for group in (self.by_instance, self.by_family, self.by_starter, self.by_group, self.by_definition):
            group.changed(old, new)
        before = old.desired_status if old is not None else None
        after = new.desired_status if new is not None else None
        if before != after:
            if old is not None and before is not None:
                self.by_desired[before].discard(old.id)
            if new is not None and after is not None:
                self.by_desired[after].add(new.id)
        self._follow_stop(old, new)

    def _follow_stop(self, old: Task | None, new: Task | None) -> None:
        before = old.forgettable_at if old is not None else None
        after = new.forgettable_at if new is not None else None
        if before == after:
            return
        if old is not None and before is not None:
            at = bisect_left(self.stopped, (before, old.id))
            del self.stopped[at]
        if new is not None and after is not None:
            insort(self.stopped, (after, new.id))
