"""The tables of the PostgreSQL store, step by step, as those of SQLite in schema.py.

The version is a row of its own. Several controllers that start at once take turns by an advisory lock.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from awsorch.engine.ports import StoreFailure

Step = tuple[str, ...]

STEPS: tuple[Step, ...] = (
    (
        """CREATE TABLE partitions (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL UNIQUE,
            seed text NOT NULL,
            revision bigint NOT NULL DEFAULT 0,
            epoch bigint NOT NULL DEFAULT 0,
            owner text,
            address text NOT NULL DEFAULT '',
            expires_at double precision NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE records (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            partition bigint NOT NULL REFERENCES partitions (id),
            kind text NOT NULL,
            key text NOT NULL,
            version integer NOT NULL,
            body bytea NOT NULL,
            UNIQUE (partition, kind, key)
        )""",
    ),
)

#: The number of the advisory lock; any that nobody else of this database takes.
_LOCK = 0x6177736F


async def upgrade(db: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], steps: Sequence[Step] = STEPS) -> None:
    """Bring the database to the newest version, all steps or none.

    Raises StoreFailure where a newer awsorch wrote it, asyncpg.PostgresError where it cannot be written.
    """
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await db.execute("CREATE TABLE IF NOT EXISTS awsorch_schema (version integer NOT NULL)")
        version = await db.fetchval("SELECT version FROM awsorch_schema") or 0
        if version > len(steps):
            raise StoreFailure(
                f"the database has schema version {version} and this awsorch knows {len(steps)}: "
                "run the awsorch that wrote it, or a newer one"
            )
        for step in steps[version:]:
            for statement in step:
                await db.execute(statement)
        if version != len(steps):
            await db.execute("DELETE FROM awsorch_schema")
            await db.execute("INSERT INTO awsorch_schema VALUES ($1)", len(steps))
