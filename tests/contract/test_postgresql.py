"""What only a server can go through: it dies, hangs, refuses; several controllers open it at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from awsorch.adapters.aws import Aws
from awsorch.adapters.database_password import DatabasePassword
from awsorch.core.model import Gate
from awsorch.engine.ports import Change, LeaseLost, StoreFailure
from awsorch.store import postgresql_schema
from awsorch.store.postgresql import PostgresqlStore
from tests.support.builders import a_task
from tests.support.moto_process import client
from tests.support.postgresql import WITH_PASSWORD, PostgresqlServer

T = TypeVar("T")
OPEN = Change(kind=Gate, key="gate", record=Gate(open=True))


def on(url: str, work: Callable[[PostgresqlStore], Awaitable[T]]) -> T:
    async def opened() -> T:
        store = PostgresqlStore(url)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def failure_of(url: str) -> str:
    with pytest.raises(StoreFailure) as failed:
        on(url, lambda store: store.load("c"))
    return str(failed.value)


def test_a_server_killed_in_the_middle_of_commits_has_each_whole_or_not_at_all(server: PostgresqlServer) -> None:
    url = server.database()

    async def work(store: PostgresqlStore) -> None:
        epoch = (await store.take_lease("c", "me", "", 0.0, 10.0)).epoch
        done = 0

        async def write() -> None:
            nonlocal done
            for revision in range(1, 100_000):
                tasks = [a_task(f"{revision}-{n}") for n in range(5)]
                await store.commit("c", epoch, revision, [Change(kind=type(t), key=t.key, record=t) for t in tasks])
                done = revision
                if revision == 40:
                    killer.set()

        killer = asyncio.Event()
        writing = asyncio.create_task(write())
        await killer.wait()
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreFailure, match=r"the database (cannot be reached|is shutting down)"):
            await writing
        with pytest.raises(StoreFailure, match="cannot be reached"):
            await store.load("c")
        await asyncio.to_thread(server.start)
        snapshot = await store.load("c")  # the same store, by itself
        assert snapshot.revision in (done, done + 1)
        assert len(snapshot.records) == 5 * snapshot.revision
        await store.commit("c", epoch, snapshot.revision + 1, [OPEN])

    on(url, work)


def test_a_lease_is_one_controllers_and_the_other_writes_nothing_more(server: PostgresqlServer) -> None:
    url = server.database()

    async def work(first: PostgresqlStore) -> None:
        second = PostgresqlStore(url)
        old = await first.take_lease("c", "a", "http://a", 0.0, 10.0)
        with pytest.raises(LeaseLost, match="owned by a at http://a"):
            await second.take_lease("c", "b", "http://b", 5.0, 10.0)
        # Expired: of two that want it at once, one gets it.
        both = await asyncio.gather(
            second.take_lease("c", "b", "http://b", 20.0, 10.0),
            first.take_lease("c", "c", "http://c", 20.0, 10.0),
            return_exceptions=True,
        )
        (new,) = (each for each in both if not isinstance(each, BaseException))
        (lost,) = (each for each in both if isinstance(each, BaseException))
        assert isinstance(lost, LeaseLost)
        assert new.epoch > old.epoch
        with pytest.raises(LeaseLost):
            await first.commit("c", old.epoch, 1, [OPEN])
        await second.commit("c", new.epoch, 1, [OPEN])
        assert (await first.load("c")).revision == 1
        await second.close()

    on(url, work)


def test_many_controllers_open_a_new_database_at_once(server: PostgresqlServer) -> None:
    url = server.database()

    async def work() -> None:
        stores = [PostgresqlStore(url) for _ in range(5)]
        seeds = {(await each).seed for each in [asyncio.ensure_future(one.load("c")) for one in stores]}
        assert len(seeds) == 1
        await asyncio.gather(*(one.close() for one in stores))

    asyncio.run(work())


def test_a_newer_schema_is_refused(server: PostgresqlServer) -> None:
    url = server.database()
    on(url, lambda store: store.load("c"))
    server.run("UPDATE awsorch_schema SET version = 99", url.partition("@/")[2].partition("?")[0])
    assert failure_of(url) == (
        f"the database has schema version 99 and this awsorch knows {len(postgresql_schema.STEPS)}: "
        "run the awsorch that wrote it, or a newer one"
    )


def test_what_is_wrong_is_said(server: PostgresqlServer) -> None:
    url = server.database()
    name = url.partition("@/")[2].partition("?")[0]
    assert "has no such database: create it" in failure_of(server.url("nowhere"))
    assert "refuses this user or password" in failure_of(url.replace("awsorch@", "nobody@"))
    assert "cannot be reached" in failure_of(url.replace("host=", "host=/nowhere"))
    server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "takes no writes: it is a replica, or read-only" in failure_of(url)


def test_a_password_that_is_rotated_is_found_in_its_secret(
    server: PostgresqlServer, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    secrets = client(moto_url, "secretsmanager")
    url = server.database().replace("awsorch@", f"{WITH_PASSWORD}@")

    def rotate(password: str) -> None:
        server.run(f"ALTER ROLE {WITH_PASSWORD} PASSWORD '{password}'")
        server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{WITH_PASSWORD}'")

    def keep(text: str) -> None:
        secrets.put_secret_value(SecretId="database", SecretString=text)

    async def work() -> None:
        aws = Aws(region="us-east-1", endpoint=moto_url)
        store = PostgresqlStore(url, DatabasePassword(aws, "database"))
        with pytest.raises(StoreFailure, match="the secret database with the database's password: ResourceNotFound"):
            await store.load("c")
        secrets.create_secret(Name="database", SecretString="hello")
        with pytest.raises(StoreFailure, match="the secret database should be a JSON object with a password"):
            await store.load("c")
        for password in ("one", "two"):
            await asyncio.to_thread(rotate, password)
            with pytest.raises(StoreFailure):
                await store.load("c")
            keep(json.dumps({"username": WITH_PASSWORD, "password": password}))
            await store.load("c")
        await store.close()
        await aws.close()

    server.run(f"CREATE ROLE {WITH_PASSWORD} SUPERUSER LOGIN PASSWORD 'zero'")
    asyncio.run(work())
