"""Reports on their way to the controller: one queue for each task, in order, tried until they are accepted.

A report leaves its queue only when the controller has taken it or has refused it for good; the state file keeps it
until then, so an agent that is killed sends it again.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable

from awsorch.agent.state_file import SavedReport

LOG = logging.getLogger(__name__)

AT_ONCE = 10
FIRST_DELAY = 1.0
LAST_DELAY = 30.0
GROWTH = 1.3
JITTER = 0.2


class RefusedError(Exception):
    """The controller will never take this report; it is dropped."""


class Reports:
    """The queues. `send` raises RefusedError, or anything else to be tried again."""

    def __init__(self, send: Callable[[SavedReport], Awaitable[None]]) -> None:
        self._send = send
        self._queues: dict[str, deque[tuple[SavedReport, Callable[[SavedReport], None]]]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._workers: set[asyncio.Task[None]] = set()

    def add(self, report: SavedReport, delivered: Callable[[SavedReport], None]) -> None:
        """Send it after the task's earlier ones; `delivered` is called when it needs no more sending."""
        queue = self._queues.get(report.task)
        if queue is not None:
            queue.append((report, delivered))
            return
        self._queues[report.task] = deque(((report, delivered),))
        worker = asyncio.create_task(self._work(report.task))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    @property
    def waiting(self) -> int:
        """How many reports have not been accepted yet."""
        return sum(len(queue) for queue in self._queues.values())

    async def close(self) -> None:
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, task: str) -> None:
        queue, delay = self._queues[task], FIRST_DELAY
        while queue:
            report, delivered = queue[0]
            try:
                async with self._slots:
                    await self._send(report)
            except RefusedError as error:
                LOG.warning("the report of %s was refused: %s", task, error)
            except Exception as error:  # whatever it was, the report must arrive
                LOG.warning("the report of %s was not accepted: %s", task, error)
                await asyncio.sleep(delay * random.uniform(1 - JITTER, 1 + JITTER))
                delay = min(delay * GROWTH, LAST_DELAY)
                continue
            delay = FIRST_DELAY
            queue.popleft()
            delivered(report)
        del self._queues[task]
