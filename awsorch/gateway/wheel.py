"""One clockwork for all connections: who is due in which second. A timer for each of ten thousand idle connections
would cost more than the connections do."""

from __future__ import annotations

from collections.abc import Hashable
from math import ceil
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Items by the second in which they are due. `now` and `due` are in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._seconds: dict[int, set[T]] = {}
        self._second_of: dict[T, int] = {}
        self._turned_to = 0

    def schedule(self, item: T, due: float) -> None:
        """The item is due then, and at no other time; at the next turn if that is past."""
        second = max(ceil(due), self._turned_to + 1)
        if self._second_of.get(item) == second:
            return
        self.forget(item)
        self._second_of[item] = second
        self._seconds.setdefault(second, set()).add(item)

    def hasten(self, item: T, due: float) -> None:
        """The item is due then, if it is not due earlier. An item that is not on the wheel stays off it."""
        known = self._second_of.get(item)
        if known is not None and ceil(due) < known:
            self.schedule(item, due)

    def forget(self, item: T) -> None:
        """The item is never due."""
        second = self._second_of.pop(item, None)
        if second is not None:
            items = self._seconds[second]
            items.discard(item)
            if not items:
                del self._seconds[second]

    def turn(self, now: float) -> list[T]:
        """Everything that has become due; it is off the wheel until it is scheduled again."""
        due: list[T] = []
        last = int(now)
        if last - self._turned_to > len(self._seconds):
            seconds = sorted(second for second in self._seconds if second <= last)
        else:
            seconds = [second for second in range(self._turned_to + 1, last + 1) if second in self._seconds]
        for second in seconds:
            due.extend(self._seconds.pop(second))
        for item in due:
            del self._second_of[item]
        self._turned_to = max(self._turned_to, last)
        return due
