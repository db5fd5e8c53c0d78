"""The stores under contract: how each is opened, opened again after its process ended, filled up and given
room.

PostgreSQL will be one more class here.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from awsorch.engine.ports import Store
from awsorch.store.memory import MemoryStore
from awsorch.store.sqlite import SqliteStore


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


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process can be written past ``size`` bytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


BENCHES = {"memory": MemoryBench, "sqlite": SqliteBench}
