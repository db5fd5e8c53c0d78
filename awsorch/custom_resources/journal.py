"""What is known of requests: in a partition of the store of its own, written before anything follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from awsorch.core.model_custom_resources import CustomRequest
from awsorch.engine.ports import Change, Store

PARTITION = "custom-resources"
#: A queue keeps messages for so long at most: until then one may come again. Seconds.
RETENTION_S = 14 * 86400.0


class Journal:
    """Requests by key. `open` first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._epoch = 0
        self._revision = 0
        self._records: dict[str, CustomRequest] = {}
        self._writing = asyncio.Lock()

    async def open(self, epoch: int) -> None:
        """Load what there is; `epoch` is that of the partition's lease. Raises StoreFailure."""
        snapshot = await self._store.load(PARTITION)
        self._epoch, self._revision = epoch, snapshot.revision
        self._records = {each.key: each for each in snapshot.records}

    def find(self, key: str) -> CustomRequest | None:
        """The request of this key."""
        return self._records.get(key)

    def open_requests(self) -> list[CustomRequest]:
        """Those that are not DONE."""
        return [each for each in self._records.values() if each.phase != "DONE"]

    def of_resource(self, stack_id: str, logical_id: str) -> list[CustomRequest]:
        """All requests for a resource, in the order in which they were sent."""
        found = (each for each in self._records.values() if (each.stack_id, each.logical_id) == (stack_id, logical_id))
        return sorted(found, key=lambda each: (each.sent_at, each.key))

    async def put(self, record: CustomRequest) -> None:
        """Keep it. Raises StoreFailure (it may or may not be kept) and LeaseLost."""
        await self._commit([Change(kind=CustomRequest, key=record.key, record=record)])
        self._records[record.key] = record

    async def forget_old(self, now: float) -> None:
        """Let go of those that were answered long ago. Raises StoreFailure, LeaseLost."""
        old = [key for key, each in self._records.items() if each.phase == "DONE" and each.since < now - RETENTION_S]
        if old:
            await self._commit([Change(kind=CustomRequest, key=key, record=None) for key in old])
            for key in old:
                del self._records[key]

    async def _commit(self, changes: Sequence[Change]) -> None:
        async with self._writing:
            await self._store.commit(PARTITION, self._epoch, self._revision + 1, changes)
            self._revision += 1
