"""Volumes of tasks that have ended, on their way off the host: unmounted, however often that has to be tried.

A task's last report waits for them, though not for ever: at it the controller has EC2 detach what was attached.
"""

import asyncio
import logging
from collections.abc import Callable

from awsorch.agent.assignment import Assignment
from awsorch.agent.ebs import VolumeError, Volumes, volumes_of

LOG = logging.getLogger(__name__)

AGAIN = 2.0
"""What could not be unmounted is tried again after so many seconds."""
PATIENCE = 20.0
"""A report waits so many seconds at most; EC2 waits for the unmounting itself from then on."""


class Unmounting:
    """The volumes of one instance's tasks."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waiting: set[asyncio.Task[None]] = set()

    def begin(self, assignment: Assignment) -> None:
        """Unmount the volumes of a task whose containers have all ended."""
        arn = assignment.arn
        if assignment.task.attachments and arn not in self._under_way:
            self._under_way[arn] = asyncio.create_task(self._release(assignment))
            self._under_way[arn].add_done_callback(lambda _: self._under_way.pop(arn, None))

    def first(self, arn: str, then: Callable[[], None]) -> None:
        """Do `then` when the volumes of a task are unmounted, or that takes long; at once where there are none."""
        under_way = self._under_way.get(arn)
        if under_way is None:
            then()
            return
        waiting = asyncio.create_task(self._then(under_way, then))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        """The agent stops: its next life begins again."""
        for each in (running := [*self._under_way.values(), *self._waiting]):
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @staticmethod
    async def _then(under_way: asyncio.Task[None], then: Callable[[], None]) -> None:
        await asyncio.wait((under_way,), timeout=PATIENCE)
        then()

    async def _release(self, assignment: Assignment) -> None:
        for volume in volumes_of(assignment.task.attachments, self._volumes.folder):
            while True:
                try:
                    await self._volumes.release(volume)
                    break
                except VolumeError as error:
                    LOG.warning("%s; trying again", error)
                    await asyncio.sleep(AGAIN)
