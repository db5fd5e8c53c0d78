"""Everything between the controller, its clients and its agents: slow, forgetful and repetitive, by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

#: How long a caller waits for an answer that does not come, in seconds.
CALL_TIMEOUT_S = 5.0


class Unreachable(Exception):
    """No answer came. Whether the request arrived is not known."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """How bad the network is. Probabilities a message; ``delay_s`` at most, so later ones may overtake."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.01


class Network:
    """Carries messages one way and calls both ways, in the weather that is set at the time."""

    def __init__(self, rng: random.Random) -> None:
        self.weather = Weather()
        self._rng = rng
        self._running: set[asyncio.Task[Any]] = set()

    def message(self, deliver: Callable[[], None]) -> None:
        """Deliver none, one or two times, later."""
        for delay in self._arrivals():
            asyncio.get_running_loop().call_later(delay, deliver)

    async def call(self, handle: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request. Raises Unreachable where request or answer got lost, else what ``handle`` raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda late: late.cancelled() or late.exception())  # the caller may have died

        async def arrive(delay: float) -> None:
            await asyncio.sleep(delay)
            try:
                result = await handle()
            except Exception as error:
                self.message(lambda error=error: answer.done() or answer.set_exception(error))  # type: ignore[misc]
            else:
                self.message(lambda: answer.done() or answer.set_result(result))  # type: ignore[func-returns-value]

        for delay in self._arrivals():
            self.spawn(arrive(delay))
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await asyncio.shield(answer)
        except TimeoutError:
            answer.cancel()
            raise Unreachable("no answer") from None

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that nobody waits for, to its end."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _arrivals(self) -> list[float]:
        weather, rng = self.weather, self._rng
        if rng.random() < weather.loss:
            return []
        copies = 2 if rng.random() < weather.duplication else 1
        return [rng.uniform(0.001, weather.delay_s) for _ in range(copies)]
