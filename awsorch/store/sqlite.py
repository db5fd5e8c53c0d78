"""The default store: one SQLite file, WAL, every commit on the disk before it returns.

One thread of its own does all the work, so the event loop never waits for the disk, and commits and loads of
one process are in order. The file is this process's alone, so leases need no clock on disk: they live in
memory, and only the epoch, which must never repeat, is stored.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from awsorch.engine.ports import Change, Lease, Snapshot, StoreFailure
from awsorch.store.leases import lost_epoch, next_lease
from awsorch.store.records import Row, record_of, rows_of
from awsorch.store.sqlite_file import SqliteFile

T = TypeVar("T")

_FIND = "SELECT id, seed, revision, epoch FROM partitions WHERE name = ?"
_PUT = """
    INSERT INTO records (partition, kind, key, version, body) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (partition, kind, key) DO UPDATE SET version = excluded.version, body = excluded.body
"""
_REMOVE = "DELETE FROM records WHERE partition = ? AND kind = ? AND key = ?"


class SqliteStore:
    """The Store port over the file at ``path``. Opens at the first use; StoreFailure says what is wrong."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="awsorch-sqlite")
        self._leases: dict[str, Lease] = {}
        self._closed = False

    async def load(self, partition: str) -> Snapshot:
        """See Store.load."""
        return await self._run(lambda: self._load(partition))

    async def commit(self, partition: str, epoch: int, revision: int, changes: Sequence[Change]) -> None:
        """See Store.commit."""
        rows = rows_of(changes)
        await self._run(lambda: self._file.write(lambda db: _commit(db, partition, epoch, revision, rows)))

    async def partitions(self) -> Sequence[str]:
        """See Store.partitions."""
        query = """
            SELECT name FROM partitions
            WHERE EXISTS (SELECT 1 FROM records WHERE partition = partitions.id) ORDER BY name
        """
        return await self._run(lambda: self._file.read(lambda db: [name for (name,) in db.execute(query)]))

    async def take_lease(self, partition: str, owner: str, address: str, now: float, ttl: float) -> Lease:
        """See Store.take_lease. Renewing writes nothing: it works on a full disk."""
        return await self._run(lambda: self._take_lease(partition, owner, address, now, ttl))

    async def find_lease(self, partition: str) -> Lease | None:
        """See Store.find_lease. A lease of an earlier process is void: that process is gone."""
        return self._leases.get(partition)

    async def close(self) -> None:
        """Close the file after what is under way."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreFailure("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self, partition: str) -> Snapshot:
        ident, seed, revision, _ = self._find_or_make(partition)
        rows = self._file.read(
            lambda db: db.execute(
                "SELECT kind, key, version, body FROM records WHERE partition = ? ORDER BY id", (ident,)
            ).fetchall()
        )
        return Snapshot(revision=revision, seed=seed, records=[record_of(*row) for row in rows])

    def _take_lease(self, partition: str, owner: str, address: str, now: float, ttl: float) -> Lease:
        current = self._leases.get(partition)
        ident, _, _, epoch = self._find_or_make(partition)
        lease = next_lease(current, partition=partition, owner=owner, address=address, now=now, ttl=ttl, epoch=epoch)
        if lease.epoch != epoch:
            self._file.write(
                lambda db: db.execute("UPDATE partitions SET epoch = ? WHERE id = ?", (lease.epoch, ident))
            )
        self._leases[partition] = lease
        return lease

    def _find_or_make(self, partition: str) -> tuple[int, str, int, int]:
        found = self._file.read(lambda db: db.execute(_FIND, (partition,)).fetchone())
        if found is None:
            values = (partition, secrets.token_hex(16))
            self._file.write(lambda db: db.execute("INSERT INTO partitions (name, seed) VALUES (?, ?)", values))
            found = self._file.read(lambda db: db.execute(_FIND, (partition,)).fetchone())
        ident, seed, revision, epoch = found
        return ident, seed, revision, epoch


def _commit(db: sqlite3.Connection, partition: str, epoch: int, revision: int, rows: Sequence[Row]) -> None:
    ident, _, _, current = db.execute(_FIND, (partition,)).fetchone() or (0, "", 0, 0)
    if current != epoch or not ident:
        raise lost_epoch(partition, epoch, current)
    db.execute("UPDATE partitions SET revision = ? WHERE id = ?", (revision, ident))
    db.executemany(_REMOVE, [(ident, row.kind, row.key) for row in rows if row.body is None])
    db.executemany(_PUT, [(ident, row.kind, row.key, row.version, row.body) for row in rows if row.body is not None])
