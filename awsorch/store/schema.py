"""The tables of the SQLite store, step by step: each entry of STEPS takes a file from one version to the
next.

A step that was ever released may not change; what comes later is a new step. Versions are kept in
user_version.

Records have an integer key beside their unique (partition, kind, key): inserting is four times faster than
into a table without row ids keyed by text, because a new record goes at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from awsorch.engine.ports import StoreFailure

Step = tuple[str, ...]

STEPS: tuple[Step, ...] = (
    (
        """CREATE TABLE partitions (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            seed TEXT NOT NULL,
            revision INTEGER NOT NULL DEFAULT 0,
            epoch INTEGER NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE records (
            id INTEGER PRIMARY KEY,
            partition INTEGER NOT NULL REFERENCES partitions (id),
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            version INTEGER NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (partition, kind, key)
        )""",
    ),
)


def upgrade(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring the file to the newest version, all steps or none.

    Raises StoreFailure where a newer awsorch wrote the file, sqlite3.Error where it cannot be written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(steps):
        return
    if version > len(steps):
        raise StoreFailure(
            f"the file has schema version {version} and this awsorch knows {len(steps)}: "
            "run the awsorch that wrote it, or a newer one"
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
