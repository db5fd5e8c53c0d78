"""A PostgreSQL server of the tests' own: behind a socket file, killed and started again at will, and with a place that
can run out of room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

#: The small place's size in MiB: room for the system tables of many databases, and a few records.
SMALL_MIB = 256
#: A user that is asked for a password, unlike all others.
WITH_PASSWORD = "with_password"


def find_programs() -> Path:
    """Where the newest server's programs are; Debian keeps them off the path. scripts/postgresql.py installs them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    assert found, "PostgreSQL is needed for this test; `make test` installs it"
    return found[-1].parent


class PostgresqlServer:
    """One server. It runs as the user ``postgres``, for it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.small = folder / "small"
        self._programs = find_programs()
        self._server: subprocess.Popen[bytes] | None = None
        self._made = 0

    def make(self) -> None:
        """Make its files, and the small place, and start it."""
        shutil.chown(self.folder, "postgres", "postgres")
        options = ("--auth=trust", "--username=awsorch", "--encoding=UTF8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", str(self.folder / "data"), *options)
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {WITH_PASSWORD} scram-sha-256\n" + rules.read_text())
        self.small.mkdir()
        subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "tmpfs", str(self.small)), check=True)
        shutil.chown(self.small, "postgres", "postgres")
        self.start()
        self.run(f"CREATE TABLESPACE small LOCATION '{self.small}'")

    def start(self) -> None:
        """Start it, and wait until it answers. One that was killed may have children yet, and then none starts."""
        deadline = time.monotonic() + 60
        self._server = self._started()
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            if self._server.poll() is not None:
                self._server = self._started()

    def _answers(self) -> bool:
        asked = (str(self._programs / "pg_isready"), "-q", "-h", str(self.folder), "-U", "awsorch", "-d", "postgres")
        return subprocess.run(asked, check=False).returncode == 0

    def _started(self) -> subprocess.Popen[bytes]:
        settings = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off")
        return subprocess.Popen(
            (str(self._programs / "postgres"), "-D", str(self.folder / "data"), *settings),
            user="postgres",
            group="postgres",
            extra_groups=(),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            cwd="/",
        )

    def kill(self) -> None:
        """End it as a machine's death does, for its data is on the disk."""
        self._end(signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "data" / "postmaster.pid").unlink()

    def pause(self) -> None:
        """Let new connections hang."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it and leave nothing."""
        self._end(signal.SIGINT)
        subprocess.run(("umount", str(self.small)), check=True)
        shutil.rmtree(self.folder)

    def database(self, *, small: bool = False) -> str:
        """The URL of a database of one's own, in the small place or not."""
        self._made += 1
        name = f"of_test_{self._made}"
        self.run(f"CREATE DATABASE {name}" + (" TABLESPACE small" if small else ""))
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://awsorch@/{name}?host={self.folder}"

    def run(self, statement: str, database: str = "postgres") -> Any:
        """The first value that a statement answers."""

        async def connected() -> Any:
            db = await asyncpg.connect(self.url(database))
            try:
                return await db.fetchval(statement)
            finally:
                await db.close()

        return asyncio.run(connected())

    @contextlib.contextmanager
    def without_room(self) -> Iterator[None]:
        """Nothing more fits into the small place."""
        filler = self.small / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        try:
            yield
        finally:
            filler.unlink()

    def _end(self, number: int) -> None:
        assert self._server is not None
        self._server.send_signal(number)
        self._server.wait(30)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            (str(self._programs / program), *arguments),
            user="postgres",
            group="postgres",
            extra_groups=(),
            stdout=subprocess.DEVNULL,
            cwd="/",
            check=True,
        )


@contextlib.contextmanager
def postgresql() -> Iterator[PostgresqlServer]:
    """A server for as long as it is needed; a second or two."""
    folder = Path(tempfile.mkdtemp(prefix="awsorch-postgresql-"))
    os.chmod(folder, 0o755)
    server = PostgresqlServer(folder)
    server.make()
    try:
        yield server
    finally:
        server.remove()
