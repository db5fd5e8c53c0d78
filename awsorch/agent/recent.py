"""Answers that are good for a moment: whoever asks for the same thing meanwhile gets the same one.

It exists so that containers that look at themselves all the time do not keep the engine from its work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

KEPT = 512
"""Answers that are remembered before those that are too old are let go."""


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T]):
    answer: "asyncio.Future[T]"
    at: float


class Recent(Generic[K, T]):
    """Asks `ask` once for all who want to know the same within `seconds`. What failed is asked again."""

    def __init__(self, ask: Callable[[K], Awaitable[T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asked: dict[K, _Asked[T]] = {}

    async def get(self, key: K) -> T:
        """The answer for `key`; raises what `ask` raises."""
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(key)
        if asked is None or (asked.answer.done() and self._is_old(asked, now)):
            if len(self._asked) >= KEPT:
                self._forget(now)
            asked = self._asked[key] = _Asked(asyncio.ensure_future(self._ask(key)), now)
            asked.answer.add_done_callback(lambda _: self._drop_failure(key))
        return await asyncio.shield(asked.answer)

    def _is_old(self, asked: _Asked[T], now: float) -> bool:
        return now - asked.at >= self._seconds

    def _drop_failure(self, key: K) -> None:
        asked = self._asked.get(key)
        if asked is not None and asked.answer.done() and (asked.answer.cancelled() or asked.answer.exception()):
            del self._asked[key]

    def _forget(self, now: float) -> None:
        self._asked = {
            key: each for key, each in self._asked.items() if not each.answer.done() or not self._is_old(each, now)
        }
