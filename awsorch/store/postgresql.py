"""The store of several controllers: PostgreSQL 13 or later, such as RDS Multi-AZ or Aurora.

A commit is one statement: it takes the partition's row where the epoch is still the committer's, and writes nothing
where it is not. So a controller that was paused, or cut off, past its lease changes nothing when it comes back. Who
owns a partition is kept in the partition's row, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

import asyncpg

from awsorch.engine.ports import Change, Lease, Snapshot, StoreFailure
from awsorch.store.leases import lost_epoch, next_lease
from awsorch.store.postgresql_schema import upgrade
from awsorch.store.records import Row, record_of, rows_of

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Password = Callable[[], Awaitable[str]]

#: Commits of as many partitions go on at once; more wait.
CONNECTIONS = 8
#: A statement or a connection that takes longer has failed. A failover of Multi-AZ takes a minute: who asks is told
#: before, and asks again. Seconds.
PATIENCE_S = 10.0

#: What asyncpg raises; the last where a server dies at the wrong moment of its protocol.
_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_FIND = "SELECT id, seed, revision, epoch, owner, address, expires_at FROM partitions WHERE name = $1"
_MAKE = "INSERT INTO partitions (name, seed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
_LEASE = "UPDATE partitions SET epoch = $2, owner = $3, address = $4, expires_at = $5 WHERE id = $1"
_COMMIT = """
    WITH held AS (
        UPDATE partitions SET revision = $3 WHERE name = $1 AND epoch = $2 RETURNING id
    ), gone AS (
        DELETE FROM records USING held, unnest($4::text[], $5::text[]) AS each (kind, key)
        WHERE records.partition = held.id AND records.kind = each.kind AND records.key = each.key
    ), put AS (
        INSERT INTO records (partition, kind, key, version, body)
        SELECT held.id, each.kind, each.key, each.version, each.body
        FROM held, unnest($6::text[], $7::text[], $8::integer[], $9::bytea[]) AS each (kind, key, version, body)
        ON CONFLICT (partition, kind, key) DO UPDATE SET version = excluded.version, body = excluded.body
    )
    SELECT id FROM held
"""
_PARTITIONS = """
    SELECT name FROM partitions
    WHERE EXISTS (SELECT 1 FROM records WHERE partition = partitions.id) ORDER BY name COLLATE "C"
"""
_RECORDS = "SELECT kind, key, version, body FROM records WHERE partition = $1 ORDER BY id"


class PostgresqlStore:
    """The Store port over the database at ``url`` (``postgresql://user@host/database?sslmode=require``).

    ``password`` is asked whenever a connection is made, for passwords that are rotated. Connects at the first use;
    StoreFailure says what is wrong.
    """

    def __init__(self, url: str, password: Password | None = None) -> None:
        self._url = url
        self._password = password
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._closed = False

    async def load(self, partition: str) -> Snapshot:
        """See Store.load."""
        async with self._connection() as db:
            await _make(db, partition)
            # One snapshot: the revision is that of the records.
            async with db.transaction(isolation="repeatable_read", readonly=True):
                found = await db.fetchrow(_FIND, partition)
                assert found is not None, "partitions are never removed"
                rows = await db.fetch(_RECORDS, found["id"])
        records = [record_of(*row) for row in rows]
        return Snapshot(revision=found["revision"], seed=found["seed"], records=records)

    async def commit(self, partition: str, epoch: int, revision: int, changes: Sequence[Change]) -> None:
        """See Store.commit."""
        rows = rows_of(changes)
        gone = [row for row in rows if row.body is None]
        put = [row for row in rows if row.body is not None]
        async with self._connection() as db:
            held = await db.fetchval(_COMMIT, partition, epoch, revision, *_names(gone), *_columns(put))
            if held is None:
                found = await db.fetchrow(_FIND, partition)
                raise lost_epoch(partition, epoch, found["epoch"] if found else 0)

    async def partitions(self) -> Sequence[str]:
        """See Store.partitions."""
        async with self._connection() as db:
            return [row["name"] for row in await db.fetch(_PARTITIONS)]

    async def take_lease(self, partition: str, owner: str, address: str, now: float, ttl: float) -> Lease:
        """See Store.take_lease. ``now`` is the caller's clock: controllers' clocks should agree within a second or
        two. A clock that is wrong changes who leads, never what is stored."""
        async with self._connection() as db, db.transaction():
            await _make(db, partition)
            found = await db.fetchrow(f"{_FIND} FOR UPDATE", partition)
            assert found is not None, "partitions are never removed"
            lease = next_lease(
                _lease_of(partition, found),
                partition=partition,
                owner=owner,
                address=address,
                now=now,
                ttl=ttl,
                epoch=found["epoch"],
            )
            await db.execute(_LEASE, found["id"], lease.epoch, owner, address, lease.expires_at)
        return lease

    async def find_lease(self, partition: str) -> Lease | None:
        """See Store.find_lease."""
        async with self._connection() as db:
            found = await db.fetchrow(_FIND, partition)
        return _lease_of(partition, found) if found else None

    async def close(self) -> None:
        """Let go of the connections, after what is under way."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await pool.close()
            except _ERRORS:
                pool.terminate()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection to a database that has our tables; errors leave as StoreFailure."""
        if self._closed:
            raise StoreFailure("the store is closed")
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=PATIENCE_S) as db:
                yield db
        except _ERRORS as error:
            raise _explained(error) from error

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self._url,
                    password=self._password,
                    min_size=1,
                    max_size=CONNECTIONS,
                    timeout=PATIENCE_S,
                    command_timeout=PATIENCE_S,
                    # Durable when a commit returns, whatever the server's default is.
                    server_settings={"application_name": "awsorch", "synchronous_commit": "on"},
                )
                try:
                    async with pool.acquire(timeout=PATIENCE_S) as db:
                        await upgrade(db)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
            return self._pool


async def _make(db: Connection, partition: str) -> None:
    if await db.fetchval("SELECT 1 FROM partitions WHERE name = $1", partition) is None:
        await db.execute(_MAKE, partition, secrets.token_hex(16))


def _lease_of(partition: str, found: asyncpg.Record) -> Lease | None:
    if found["owner"] is None:
        return None
    return Lease(
        partition=partition,
        owner=found["owner"],
        epoch=found["epoch"],
        address=found["address"],
        expires_at=found["expires_at"],
    )


def _names(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    return [row.kind for row in rows], [row.key for row in rows]


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str], list[int], list[bytes | None]]:
    return *_names(rows), [row.version for row in rows], [row.body for row in rows]


#: By class of SQLSTATE (PostgreSQL's appendix A), what the operator should do.
_ADVICE = {
    "08": "cannot be reached: look at its address, its security group, and whether it runs",
    "25": "takes no writes: it is a replica, or read-only; name the writer's endpoint",
    "28": "refuses this user or password: look at the URL, or at the secret that has the password",
    "3D": "has no such database: create it, or name another in the URL",
    "42": "refuses a statement: the user needs to own the database, or its schema",
    "53": "has no room, memory or connections left: give it more; writes go on by themselves",
    "57": "is shutting down, starting, or ended the statement: writes go on by themselves when it is back",
}


def _explained(error: Exception) -> StoreFailure:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return StoreFailure(f"the database {_ADVICE.get(state[:2], 'failed')} ({state} {error})")
    if isinstance(error, TimeoutError):
        return StoreFailure(f"the database did not answer within {PATIENCE_S:.0f} seconds")
    return StoreFailure(f"the database {_ADVICE['08']} ({error})")
