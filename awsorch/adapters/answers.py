"""AWS's answers that change seldom, kept for a while so that what is asked every few seconds costs one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
FOR_EVER = float("inf")


class Answers(Generic[T]):
    """Answers by what was asked. Failures are not kept."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, T]] = {}

    async def get(self, question: Hashable, ask: Callable[[], Awaitable[T]], *, seconds: float) -> T:
        """What was answered at most so many seconds ago, else what ``ask`` answers. Raises what that raises."""
        now = asyncio.get_running_loop().time()
        until, answer = self._kept.get(question, (now, None))
        if answer is None or until <= now:
            answer = await ask()
            self._kept = {each: kept for each, kept in self._kept.items() if now < kept[0]}
            self._kept[question] = now + seconds, answer
        return answer

    def forget(self, question: Hashable) -> None:
        """It may have another answer now."""
        self._kept.pop(question, None)
