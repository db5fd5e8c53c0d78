"""The stores under contract: how each is opened, opened again after its process ended, filled up and given
room."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from awsorch.engine.ports import Store
from awsorch.store.memory import MemoryStore
from awsorch.store.postgresql import PostgresqlStore
from awsorch.store.sqlite import SqliteStore
from tests.support.postgresql import PostgresqlServer


class Bench(Protocol):
    """One kind of store on a place of its own."""

    def open(self) -> Store:
        """The store; called again after close, what a new process would find."""
        ...

    def without_room(self, store: Store) -> contextlib.AbstractContextManager[None]:
        """Inside, nothing more fits."""
        ...


class MemoryBench:
    """Memory keeps what it has for as long as the object lives."""

    def __init__(self, place: Path) -> None:
        self._store = MemoryStore()

    def open(self) -> Store:
        return self._store

    @contextlib.contextmanager
    def without_room(self, store: Store) -> Iterator[None]:
        self._store.faults.full = True
        try:
            yield
        finally:
            self._store.faults.full = False


class SqliteBench:
    """A file; no room means that no file of this process may grow."""

    def __init__(self, place: Path) -> None:
        self.path = place / "data" / "awsorch.db"

    def open(self) -> Store:
        return SqliteStore(self.path)

    @contextlib.contextmanager
    def without_room(self, store: Store) -> Iterator[None]:
        with file_size_limit(max(file.stat().st_size for file in self.path.parent.iterdir())):
            yield


class PostgresqlBench:
    """A database of its own in the server's small place."""

    def __init__(self, server: PostgresqlServer) -> None:
        self._server = server
        self._url = server.database(small=True)

    def open(self) -> Store:
        return PostgresqlStore(self._url)

    def without_room(self, store: Store) -> contextlib.AbstractContextManager[None]:
        return self._server.without_room()


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process can be written past ``size`` bytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
