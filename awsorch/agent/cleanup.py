"""What is left of a stopped task is removed, when it has been stopped for long enough and the controller knows of it.

Source: ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION.
"""

import asyncio
import logging
from collections.abc import Callable

from awsorch.agent import firelens
from awsorch.agent.assignment import Assignment
from awsorch.agent.calls import EngineCalls, remove_objects
from awsorch.agent.engine import EngineError
from awsorch.agent.pause import PAUSE
from awsorch.agent.surroundings import Surroundings

LOG = logging.getLogger(__name__)

RETRY_DELAY = 60.0


class Cleanup:
    """Cleans up on one instance; `done` is told of each task of which nothing is left."""

    def __init__(self, surroundings: Surroundings, calls: EngineCalls, done: Callable[[Assignment], None]) -> None:
        self._around = surroundings
        self._calls = calls
        self._done = done

    def schedule(self, assignment: Assignment) -> None:
        """Clean up a stopped task when it is time."""
        if assignment.cleanup is not None or assignment.state.stopped_at is None:
            return
        at = assignment.state.stopped_at + self._around.settings.engine.cleanup_wait
        delay = max(at - self._around.clock(), 0.0)
        assignment.cleanup = asyncio.get_running_loop().call_later(delay, self._begin, assignment)

    def _begin(self, assignment: Assignment) -> None:
        assignment.cleanup = None
        self._calls.spawn(self._clean_up(assignment))

    async def _clean_up(self, assignment: Assignment) -> None:
        try:
            await remove_objects(assignment, self._around.engine)
            holder = assignment.state.containers.get(PAUSE)
            self._around.networks.forget(holder.docker_id if holder is not None else None)
            await self._around.limits.remove(assignment.task)
            self._around.metadata_files.remove(assignment)
            firelens.remove(assignment.task, self._around.place)
        except EngineError as error:
            LOG.warning("task %s is not cleaned up yet: %s", assignment.arn, error)
            assignment.cleanup = asyncio.get_running_loop().call_later(RETRY_DELAY, self._begin, assignment)
            return
        for wanted in assignment.task.containers:
            self._around.images.release(wanted.image)
        self._done(assignment)
