"""The memory store of a world: a witness sees every commit that took effect, and processes may end right after one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from awsorch.core.state import ClusterState
from awsorch.engine.ports import Change
from awsorch.store.memory import Faults, MemoryStore
from tests.support.states import contents, differences

if TYPE_CHECKING:
    from tests.support.world import World

#: Every so many commits the state is built again from the store and compared. All of them would take most of the time.
COMPARED_COMMITS = 4


class WitnessedStore(MemoryStore):
    """See the module. While there is a ``deadly`` event, whoever commits ends there, with what was committed stored and
    nothing let out, and the event is set."""

    def __init__(self, world: World) -> None:
        super().__init__(Faults(), draw_seed=world.new_id)
        self._world = world
        self._commits = 0
        self.compared_commits = COMPARED_COMMITS
        self.deadly: asyncio.Event | None = None

    async def commit(self, partition: str, epoch: int, revision: int, changes: Sequence[Change]) -> None:
        """Store; tell the witness what took effect, whatever the caller is told."""
        before = self.revision_of(partition)
        try:
            await super().commit(partition, epoch, revision, changes)
        finally:
            if self.revision_of(partition) != before:
                self._world.promises.stored(changes)
                self._commits += 1
                if self._commits % self.compared_commits == 0:
                    await self._compare(partition)
                if self.deadly is not None:
                    self.deadly.set()
                    await asyncio.get_running_loop().create_future()

    async def _compare(self, name: str) -> None:
        """What a restart would find is what is in memory, indexes and all."""
        controller = self._world.controller
        running = controller.clusters.get(self._world.cluster) if controller else None
        if running is None or name != running.name:
            return
        delay, self.faults.delay = self.faults.delay, 0.0
        snapshot = await self.load(name)
        self.faults.delay = delay
        again = ClusterState(snapshot.seed)
        again.load(snapshot.records, snapshot.revision)
        for difference in differences(contents(running.state), contents(again)):
            self._world.promises.breaks(f"loaded again, {name} differs in {difference}")
        self._world.promises.look()
