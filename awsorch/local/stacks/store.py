"""Stacks, their resources, events and change sets, in an SQLite file of the data folder, written through from memory.

It outlives a killed controller; what a power cut takes is as with the load balancers' file (`targets_db`).
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path

import msgspec

from awsorch.local.stacks.records import ChangeSet, Event, Resource, Stack

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stacks (id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resources (
    stack TEXT NOT NULL, key TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (stack, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change_sets (id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, document BLOB NOT NULL);
"""
_encode = msgspec.json.encode


class StackStore:
    """Everything that is known of stacks. Writing raises sqlite3.Error where the disk does not take it."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises OSError where it cannot be used, saying why."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stacks: dict[str, Stack] = {}
        self._resources: defaultdict[str, dict[str, Resource]] = defaultdict(dict)
        self._change_sets: dict[str, ChangeSet] = {}
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
            self._load()
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise OSError(f"{path} cannot be used ({error}); move it away to start without stacks") from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def stacks(self) -> list[Stack]:
        """All stacks, deleted ones too, newest first."""
        return sorted(self._stacks.values(), key=lambda each: -each.created_at)

    def find(self, name_or_id: str) -> Stack | None:
        """The stack of this name that is not deleted, or of this id whatever became of it."""
        if name_or_id in self._stacks:
            return self._stacks[name_or_id]
        there = (each for each in self.stacks() if each.status != "DELETE_COMPLETE")
        return next((each for each in there if each.name == name_or_id), None)

    def get(self, stack_id: str) -> Stack:
        """The stack of this id, which is known."""
        return self._stacks[stack_id]

    def resources(self, stack_id: str) -> dict[str, Resource]:
        """Logical id to resource, as they stand."""
        return {each.logical_id: each for each in self._resources[stack_id].values() if not each.retired}

    def retired(self, stack_id: str) -> list[Resource]:
        """What is to be deleted."""
        return [each for each in self._resources[stack_id].values() if each.retired]

    def events(self, stack_id: str) -> list[Event]:
        """Newest first."""
        return self._events[stack_id][::-1]

    def change_sets(self, stack_id: str) -> list[ChangeSet]:
        """A stack's, oldest first."""
        return [each for each in self._change_sets.values() if each.stack_id == stack_id]

    def put(self, *records: Stack | Resource | ChangeSet | Event, stack_id: str = "") -> None:
        """Keep records, all or none; `stack_id` is for resources."""
        self._connection.execute("BEGIN")
        try:
            for record in records:
                self._write(record, stack_id)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        for record in records:
            self._keep(record, stack_id)

    def remove(self, stack_id: str, resource: Resource) -> None:
        """Forget a resource."""
        self._connection.execute("DELETE FROM resources WHERE stack = ? AND key = ?", (stack_id, resource.key))
        self._resources[stack_id].pop(resource.key, None)

    def retire(self, stack_id: str, resource: Resource, restored: Resource | None = None) -> None:
        """Keep a resource as one that is to be deleted; `restored` takes its place, or nothing does."""
        self._connection.execute("BEGIN")
        self._write(resource, stack_id)
        if restored is not None:
            self._write(restored, stack_id)
        else:
            self._connection.execute(
                "DELETE FROM resources WHERE stack = ? AND key = ?", (stack_id, resource.logical_id)
            )
        self._connection.execute("COMMIT")
        self._keep(resource, stack_id)
        if restored is not None:
            self._keep(restored, stack_id)
        else:
            self._resources[stack_id].pop(resource.logical_id, None)

    def remove_change_set(self, change_set: ChangeSet) -> None:
        """Forget a change set."""
        self._connection.execute("DELETE FROM change_sets WHERE id = ?", (change_set.id,))
        self._change_sets.pop(change_set.id, None)

    def _write(self, record: Stack | Resource | ChangeSet | Event, stack_id: str) -> None:
        document = _encode(record)
        if isinstance(record, Stack):
            self._connection.execute("REPLACE INTO stacks VALUES (?, ?)", (record.id, document))
        elif isinstance(record, Resource):
            self._connection.execute("REPLACE INTO resources VALUES (?, ?, ?)", (stack_id, record.key, document))
        elif isinstance(record, ChangeSet):
            self._connection.execute("REPLACE INTO change_sets VALUES (?, ?)", (record.id, document))
        else:
            self._connection.execute("INSERT INTO events (document) VALUES (?)", (document,))

    def _keep(self, record: Stack | Resource | ChangeSet | Event, stack_id: str) -> None:
        if isinstance(record, Stack):
            self._stacks[record.id] = record
        elif isinstance(record, Resource):
            self._resources[stack_id][record.key] = record
        elif isinstance(record, ChangeSet):
            self._change_sets[record.id] = record
        else:
            self._events[record.stack_id].append(record)

    def _load(self) -> None:
        for (document,) in self._connection.execute("SELECT document FROM stacks"):
            self._keep(msgspec.json.decode(document, type=Stack), "")
        for stack_id, document in self._connection.execute("SELECT stack, document FROM resources"):
            self._keep(msgspec.json.decode(document, type=Resource), stack_id)
        for (document,) in self._connection.execute("SELECT document FROM change_sets"):
            self._keep(msgspec.json.decode(document, type=ChangeSet), "")
        for (document,) in self._connection.execute("SELECT document FROM events ORDER BY number"):
            self._keep(msgspec.json.decode(document, type=Event), "")
