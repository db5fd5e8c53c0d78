"""Which keys are dirty and when they are due. A key waits here once, however often it was marked."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping

from awsorch.core.state import Key

#: A key whose planner failed is looked at again after this long, doubling up to the limit. Seconds.
PARK_S = 1.0
PARK_LIMIT_S = 300.0


class Reconciler:
    """Calls ``look(key)`` when a key is due. Times are seconds since the epoch, by ``clock``."""

    def __init__(self, look: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._look = look
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._parked: dict[Key, float] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="reconciler")

    async def stop(self) -> None:
        """Look no more; what was marked is forgotten (start-up marks everything)."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._due.clear()
        self._heap.clear()

    def mark(self, keys: Mapping[Key, float]) -> None:
        """Look at these keys, each at its time or before."""
        first = self._heap[0][0] if self._heap else float("inf")
        for key, at in keys.items():
            if at < self._due.get(key, float("inf")):
                self._due[key] = at
                heapq.heappush(self._heap, (at, key))
                if at < first:
                    self._changed.set()

    def park(self, key: Key) -> None:
        """Look at this key again later: its planner has a bug, and the others must go on."""
        delay = min(self._parked.get(key, PARK_S / 2) * 2, PARK_LIMIT_S)
        self._parked[key] = delay
        self.mark({key: self._clock() + delay})

    def unpark(self, key: Key) -> None:
        """The planner of this key works (again): should it fail, the first delay is short."""
        self._parked.pop(key, None)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            delay = self._look_at_due()
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the event.
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look_at_due(self) -> float | None:
        """Look at every key that is due; answers the seconds until the next one, None where there is none."""
        now = self._clock()
        while self._heap:
            at, key = self._heap[0]
            if self._due.get(key) != at:
                heapq.heappop(self._heap)
            elif at <= now:
                heapq.heappop(self._heap)
                del self._due[key]
                self._look(key)
            else:
                return max(at - now, 0.001)
        return None
