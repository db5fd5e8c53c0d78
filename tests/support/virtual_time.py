"""An event loop whose time is a number: when nothing is ready it jumps to the next timer, so an hour costs
nothing.

Code under it may not use threads, processes or sockets: nothing outside the loop can happen.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: What the wall clock shows when a loop starts, in seconds since the epoch.
START = 1_700_000_000.0
#: So many turns of the loop in which no time passes mean that something is spinning.
TURNS_LIMIT = 100_000


class Stalled(AssertionError):
    """Nothing would ever happen again, or time stands still because something spins."""


class _Jump(selectors.SelectSelector):
    """Never waits: a wait becomes a jump of the loop's time."""

    def __init__(self, advance: Callable[[float | None], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._advance(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """``time()`` starts at 0; ``clock()`` is the wall clock that goes with it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._turns = 0
        super().__init__(_Jump(self._wait))

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._now

    def clock(self) -> float:
        """Seconds since the epoch."""
        return START + self._now

    def _wait(self, timeout: float | None) -> None:
        if timeout is None:
            raise Stalled(f"at {self._now:.3f} s: every coroutine waits for something that nothing will do")
        if timeout > 0:
            self._now += timeout
            self._turns = 0
            return
        self._turns += 1
        if self._turns > TURNS_LIMIT:
            raise Stalled(f"at {self._now:.3f} s: {TURNS_LIMIT} turns of the loop and no time has passed")


def run(scenario: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function, called with the loop, in virtual time."""
    loop = VirtualTimeLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(scenario(loop))
