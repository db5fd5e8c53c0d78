"""Once a minute, what clusters and services use and reserve, to whoever publishes it. What is lost stays lost.

It is no planner: nothing of it is kept, and nothing follows from it here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from awsorch.core.state import ClusterState
from awsorch.core.utilization import figures_of
from awsorch.engine.partition import Partition, Unavailable
from awsorch.engine.ports import TaskUsage, Utilizations

logger = logging.getLogger(__name__)

#: ECS's period. Seconds.
PERIOD_S = 60.0


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
            await asyncio.sleep(PERIOD_S - now % PERIOD_S)
            try:
                self._publish(now - now % PERIOD_S)
            except Exception:
                logger.exception("a bug in measuring what clusters use; the next minute follows")

    def _publish(self, minute: float) -> None:
        """The figures of the minute that began at ``minute``."""
        for name, partition in list(self._clusters.items()):
            used = self._usage.take_usage(name)
            try:
                figures = figures_of(name, partition.state, used)
            except Unavailable:
                continue  # its state is being loaded: it has figures again in a minute
            if figures:
                self._publisher.publish_figures(minute, figures)
