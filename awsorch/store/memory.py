"""A store that forgets: for tests, simulations, and trying things out. It has knobs to fail as real stores
fail.

It keeps encoded rows, not objects, so that what a partition reloads went through the same bytes as on disk.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from awsorch.engine.ports import Change, Lease, Snapshot, StoreFailure
from awsorch.store.leases import lost_epoch, next_lease
from awsorch.store.records import Row, record_of, rows_of

FailNext = Callable[[str], str | None]


@dataclass(slots=True, kw_only=True)
class Faults:
    """How the store misbehaves.

    ``full``: every commit fails and nothing is stored. ``delay``: seconds that each operation takes.
    ``commits``: asked with the partition at each commit; "before" fails it with nothing stored, "after"
    fails it although it was stored, None lets it pass. ``next_commits`` does the same from a list, first
    come first served.
    """

    full: bool = False
    delay: float = 0.0
    next_commits: list[str] = field(default_factory=list)
    commits: FailNext | None = None

    def verdict(self, partition: str) -> str | None:
        """What becomes of the commit at hand."""
        if self.full:
            return "before"
        if self.next_commits:
            return self.next_commits.pop(0)
        return self.commits(partition) if self.commits is not None else None


@dataclass(slots=True)
class _Partition:
    seed: str
    revision: int = 0
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    lease: Lease | None = None


class MemoryStore:
    """The Store port over dictionaries. ``draw_seed`` gives a partition's seed when it is first loaded."""

    def __init__(
        self, faults: Faults | None = None, *, draw_seed: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        self.faults = faults or Faults()
        self._draw_seed = draw_seed
        self._partitions: dict[str, _Partition] = {}

    async def load(self, partition: str) -> Snapshot:
        """See Store.load."""
        await self._take_time()
        held = self._open(partition)
        records = [
            record_of(row.kind, row.key, row.version, row.body) for row in held.rows.values() if row.body is not None
        ]
        return Snapshot(revision=held.revision, seed=held.seed, records=records)

    async def commit(self, partition: str, epoch: int, revision: int, changes: Sequence[Change]) -> None:
        """See Store.commit."""
        rows = rows_of(changes)
        await self._take_time()
        held = self._open(partition)
        current = held.lease.epoch if held.lease else 0
        if current != epoch or held.lease is None:
            raise lost_epoch(partition, epoch, current)
        verdict = self.faults.verdict(partition)
        if verdict == "before":
            raise StoreFailure("the store is full or failing: nothing was stored")
        for row in rows:
            if row.body is None:
                held.rows.pop((row.kind, row.key), None)
            else:
                held.rows[row.kind, row.key] = row
        held.revision = revision
        if verdict == "after":
            raise StoreFailure("the store went away during the commit: it may have been stored")

    async def partitions(self) -> Sequence[str]:
        """See Store.partitions."""
        await self._take_time()
        return sorted(name for name, held in self._partitions.items() if held.rows)

    async def take_lease(self, partition: str, owner: str, address: str, now: float, ttl: float) -> Lease:
        """See Store.take_lease."""
        await self._take_time()
        held = self._open(partition)
        held.lease = next_lease(held.lease, partition=partition, owner=owner, address=address, now=now, ttl=ttl)
        return held.lease

    async def find_lease(self, partition: str) -> Lease | None:
        """See Store.find_lease."""
        await self._take_time()
        held = self._partitions.get(partition)
        return held.lease if held else None

    async def close(self) -> None:
        """What was committed stays and leases are void, as on a disk whose process ended."""
        for held in self._partitions.values():
            if held.lease is not None:
                held.lease = replace(held.lease, expires_at=0.0)

    def revision_of(self, partition: str) -> int:
        """The revision that is stored; 0 for a partition that is not."""
        held = self._partitions.get(partition)
        return held.revision if held is not None else 0

    def _open(self, partition: str) -> _Partition:
        held = self._partitions.get(partition)
        if held is None:
            held = self._partitions[partition] = _Partition(self._draw_seed())
        return held

    async def _take_time(self) -> None:
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
