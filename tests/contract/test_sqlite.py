"""What only a file can go through: its process killed, a second one, no room on the disk, damage, an older
schema."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from awsorch.core.model import Gate
from awsorch.engine.ports import Change, Snapshot, StoreFailure
from awsorch.store.schema import STEPS, upgrade
from awsorch.store.sqlite import SqliteStore
from tests.contract.committer import RECORDS
from tests.contract.stores import file_size_limit
from tests.support.builders import a_task

T = TypeVar("T")
NO_ROOM = r"has no room|cannot be written"
OPEN = Change(kind=Gate, key="gate", record=Gate(open=True))


def on(path: Path, work: Callable[[SqliteStore], Awaitable[T]]) -> T:
    async def opened() -> T:
        store = SqliteStore(path)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def load(path: Path) -> Snapshot:
    return on(path, lambda store: store.load("c"))


async def commit_gate(store: SqliteStore) -> None:
    epoch = (await store.take_lease("c", "me", "http://me", 0.0, 10.0)).epoch
    await store.commit("c", epoch, 1, [OPEN])


def failure_of(path: Path) -> str:
    with pytest.raises(StoreFailure) as failed:
        load(path)
    return str(failed.value)


def test_killed_in_the_middle_of_commits_it_has_each_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"
    for acknowledged_before_the_kill in (1, 20, 57):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.committer", str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged_before_the_kill)]
        process.kill()
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        acknowledged = int([line for line in lines if line.endswith("\n")][-1])
        snapshot = load(path)
        assert snapshot.revision in (acknowledged, acknowledged + 1)
        assert [family.last_revision for family in snapshot.records] == [snapshot.revision] * RECORDS


def test_a_second_process_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"

    async def compete(store: SqliteStore) -> None:
        await store.load("c")
        other = SqliteStore(path)
        with pytest.raises(StoreFailure, match=f"in use by process {os.getpid()}: stop it"):
            await other.load("c")
        await store.close()
        await other.load("c")
        await other.close()

    on(path, compete)


def test_another_program_in_the_file_is_named_as_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"
    on(path, commit_gate)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        assert "is open in another program" in failure_of(path)
        intruder.execute("ROLLBACK")
    assert load(path).revision == 1


def test_only_this_user_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "data" / "awsorch.db"

    async def look(store: SqliteStore) -> None:
        await commit_gate(store)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    on(path, look)


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"
    path.write_bytes(b"this is no database" * 1000)
    assert "is not an awsorch store, or is damaged" in failure_of(path)


def test_damage_inside_the_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"

    async def fill(store: SqliteStore) -> None:
        await commit_gate(store)
        tasks = [a_task(f"{n:032x}") for n in range(200)]
        changes = [Change(kind=type(task), key=task.key, record=task) for task in tasks]
        await store.commit("c", 1, 2, changes)

    on(path, fill)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    assert "is damaged: stop awsorch" in failure_of(path)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"
    on(path, commit_gate)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE records SET body = CAST('{\"open\":1}' AS BLOB)")
    assert "row gate gate: a stored gate does not fit" in failure_of(path)


def test_a_place_that_cannot_hold_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file/awsorch.db cannot be used: File exists" in failure_of(tmp_path / "file" / "awsorch.db")
    (tmp_path / "folder" / "awsorch.db").mkdir(parents=True)
    assert "cannot be used: Is a directory" in failure_of(tmp_path / "folder" / "awsorch.db")


def test_a_file_of_a_newer_awsorch_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "awsorch.db"
    on(path, commit_gate)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    assert "run the awsorch that wrote it, or a newer one" in failure_of(path)


def test_the_schema_is_upgraded_step_by_step_or_not_at_all() -> None:
    first = ("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
    second = ("ALTER TABLE a ADD COLUMN y DEFAULT 2",)
    wrong = ("ALTER TABLE a ADD COLUMN z DEFAULT 3", "ALTER TABLE unknown ADD COLUMN y")
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        upgrade(db, [first])
        upgrade(db, [first])
        upgrade(db, [first, second])
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            upgrade(db, [first, second, wrong])
        assert db.execute("SELECT * FROM a").fetchall() == [(1, 2)]
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_every_later_use_of_a_closed_store_says_so(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        await store.close()
        with pytest.raises(StoreFailure, match="closed"):
            await store.load("c")

    on(tmp_path / "awsorch.db", work)


async def use_up(store: SqliteStore, changes: Sequence[Change]) -> None:
    """Take the lease and commit, whichever of them no longer fits."""
    lease = await store.take_lease("c", "next", "http://next", 0.0, 10.0)
    await store.commit("c", lease.epoch, 2, changes)


def mounting_works() -> bool:
    done = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, check=False
    )
    return done.returncode == 0


@contextlib.contextmanager
def full_disk(place: Path) -> Iterator[None]:
    """Every byte of the file system that holds ``place`` is taken meanwhile."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """A file system of 2 MiB mounted at ``place``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    try:
        yield lambda: full_disk(place)
    finally:
        subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def small_files(place: Path) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """A limit at the size that the files have now: for machines where nothing may be mounted."""
    yield lambda: file_size_limit(max(file.stat().st_size for file in place.iterdir()))


@pytest.mark.parametrize("disk", [small_files, *([small_disk] if mounting_works() else [])])
def test_a_process_that_starts_with_no_room_left_reads_and_recovers(
    tmp_path: Path,
    disk: Callable[[Path], contextlib.AbstractContextManager[Callable[[], contextlib.AbstractContextManager[None]]]],
) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    path = place / "awsorch.db"
    bulk = [a_task(f"{n:032x}", stopped_reason="x" * 2000) for n in range(100)]
    changes = [Change(kind=type(task), key=task.key, record=task) for task in bulk]

    with disk(place) as without_room:
        on(path, commit_gate)

        async def run_full(store: SqliteStore) -> None:
            with without_room():
                assert (await store.load("c")).revision == 1
                with pytest.raises(StoreFailure, match=NO_ROOM):
                    await use_up(store, changes)
                assert (await store.load("c")).revision == 1
            epoch = (await store.take_lease("c", "next", "http://next", 0.0, 10.0)).epoch
            with without_room():
                for _ in range(3):
                    with pytest.raises(StoreFailure, match=NO_ROOM):
                        await store.commit("c", epoch, 2, changes)
                    assert len((await store.load("c")).records) == 1
            await store.commit("c", epoch, 2, changes)

        on(path, run_full)
        assert len(load(path).records) == len(bulk) + 1
