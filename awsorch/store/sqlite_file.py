"""One SQLite file owned by this process: opening, locking, transactions, and what an error means for the
operator.

Everything here blocks and belongs to one thread. A connection that failed is thrown away and the file opened
again at the next use, so the store is well again as soon as the disk is.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from awsorch.engine.ports import StoreFailure
from awsorch.store.schema import upgrade

T = TypeVar("T")

WAL_LIMIT_BYTES = 64 * 1024 * 1024

_ADVICE = {
    sqlite3.SQLITE_FULL: "has no room: free space on its disk; writes go on by themselves",
    sqlite3.SQLITE_IOERR: "cannot be written or read: look at the disk, its free space, quotas and file size limits",
    sqlite3.SQLITE_READONLY: "is read-only: make the file, its directory and their mount writable for this user",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: its directory must exist and be writable for this user",
    sqlite3.SQLITE_CORRUPT: "is damaged: stop awsorch, then put back a copy or rebuild it with sqlite3's .recover",
    sqlite3.SQLITE_NOTADB: "is not an awsorch store, or is damaged: name another file or put back a copy",
    sqlite3.SQLITE_BUSY: "is open in another program: close that, then writes go on by themselves",
}


class SqliteFile:
    """The file at ``path``, made when it is missing, for this process alone while it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` answers. Raises StoreFailure in place of sqlite3 and operating system errors."""
        try:
            return work(self._opened())
        except (sqlite3.Error, OSError) as error:
            self._drop()
            raise self._explained(error) from error

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same in one transaction: durable when this returns, undone when anything is raised."""

        def transact(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                answer = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return answer

        return self.read(transact)

    def close(self) -> None:
        """Close the file and let other processes have it."""
        self._drop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._lock is None:
                self._lock = self._take_lock()
            self._connection = self._connect()
        return self._connection

    def _take_lock(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise StoreFailure(
                f"{self._path} is in use by process {holder}: stop it, or give this one another data directory"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, only its message will not name the process
        return lock

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=1.0)
        try:
            # Exclusive locking keeps the WAL index in memory: no -shm file that a full disk could not hold.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            upgrade(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass  # what was committed is in the WAL and is found there again

    def _explained(self, error: sqlite3.Error | OSError) -> StoreFailure:
        if isinstance(error, OSError):
            return StoreFailure(f"{self._path} cannot be used: {error.strerror}: {error.filename or self._path}")
        code = getattr(error, "sqlite_errorcode", None) or 0
        advice = _ADVICE.get(code & 0xFF, "failed")
        return StoreFailure(f"{self._path} {advice} ({error})")
