"""Once a minute, what clusters and services use and reserve, to whoever publishes it. What is lost stays lost.

It is no planner: nothing of it is kept, and nothing follows from it here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TypeVar

from awsorch.core.state import ClusterState
from awsorch.core.utilization import Tally, Used
from awsorch.engine.partition import Partition, Unavailable
from awsorch.engine.ports import TaskUsage, Utilizations

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: ECS's period. Seconds.
PERIOD_S = 60.0
#: So many instances or tasks are looked at between two turns of the loop.
SLICE = 500


class UtilizationMeter:
    """Reads ``usage`` and the clusters at every full minute of ``clock`` (seconds since the epoch)."""

    def __init__(
        self,
        clusters: Mapping[str, Partition[ClusterState]],
        usage: TaskUsage,
        publisher: Utilizations,
        clock: Callable[[], float],
    ) -> None:
        self._clusters = clusters
        self._usage = usage
        self._publisher = publisher
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish, at the next full minute."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="utilization")

    async def close(self) -> None:
        """Publish no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            now = self._clock()
            minute = now - now % PERIOD_S
            await asyncio.sleep(minute + PERIOD_S - now)
            for name, partition in list(self._clusters.items()):
                try:
                    await self._publish(name, partition, minute)
                except Unavailable:
                    continue  # its state is being loaded: it has figures again in a minute
                except Exception:
                    logger.exception("%s: a bug in measuring what it uses; the next minute follows", name)

    async def _publish(self, cluster: str, partition: Partition[ClusterState], minute: float) -> None:
        """The figures of the minute that began at ``minute``. What changes meanwhile is counted before or after."""
        used: dict[str, Used] = {}
        async for part in _in_turns(self._usage.take_usage(cluster), every=SLICE // 10):
            used.update(part)
        state, tally = partition.state, Tally(cluster)
        async for instance in _in_turns(list(state.instances.values())):
            tally.offer(instance)
        async for task_id in _in_turns(list(state.tasks)):
            task = state.tasks.get(task_id)
            if task is not None:
                tally.count(task, state.instances.get(task.instance_id or ""), used.get(task_id))
        figures = tally.figures()
        if figures:
            self._publisher.publish_figures(minute, figures)


async def _in_turns(items: Iterable[T], *, every: int = SLICE) -> AsyncIterator[T]:
    """The same items, with a turn for everybody else after so many."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % every == 0:
            await asyncio.sleep(0)
