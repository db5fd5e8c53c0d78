"""What the local cloud itself keeps of its load balancers: registered targets, given addresses and ports.

An SQLite file in the data folder, written through from memory. It outlives a killed controller: SQLite's log is in the
kernel's hands when a call returns (it is not forced to the disk: what a power cut takes, clients register again).
Nothing here knows what a target is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS targets (
    owner TEXT NOT NULL, id TEXT NOT NULL, port INTEGER NOT NULL, zone TEXT NOT NULL,
    address TEXT NOT NULL, draining_until REAL,
    PRIMARY KEY (owner, id, port, zone)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS addresses (load_balancer TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ports (listener TEXT PRIMARY KEY, port INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A target under its owner's key. `port` 0 is the target group's (classic load balancers have several); `zone`
    "" is the target's own; `address` is where it is reached, "" while nobody knows. `draining_until` in seconds since
    1970, None while it is registered.
    """

    owner: str
    id: str
    port: int
    zone: str = ""
    address: str = ""
    draining_until: float | None = None

    @property
    def key(self) -> str:
        """Its name among the targets of its owner."""
        return f"{self.id}:{self.port}{f'@{self.zone}' if self.zone else ''}"


def open_db(path: Path) -> sqlite3.Connection:
    """Open the file, or make it. Raises OSError where it cannot be used, saying why."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except sqlite3.Error as error:
        raise OSError(f"{path} cannot be used ({error}); move it away to start without registered targets") from error
    return connection


class Registrations:
    """The registered targets, draining ones too, by owner and key."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._kept: dict[str, dict[str, Registration]] = {}
        names = "owner, id, port, zone, address, draining_until"
        for row in connection.execute(f"SELECT {names} FROM targets"):
            self._keep(Registration(**dict(zip(names.split(", "), row, strict=True))))

    def of(self, owner: str) -> tuple[Registration, ...]:
        """Those under one key, in the order in which they came."""
        return tuple(self._kept.get(owner, {}).values())

    def everything(self) -> tuple[Registration, ...]:
        """All of them."""
        return tuple(each for kept in self._kept.values() for each in kept.values())

    def put(self, registrations: Iterable[Registration]) -> None:
        """Add or replace, all or none. Raises sqlite3.Error where the disk does not take it."""
        fresh = list(registrations)
        with self._connection:
            self._connection.executemany(
                "REPLACE INTO targets VALUES (?, ?, ?, ?, ?, ?)",
                [(each.owner, each.id, each.port, each.zone, each.address, each.draining_until) for each in fresh],
            )
        for each in fresh:
            self._keep(each)

    def remove(self, registrations: Iterable[Registration]) -> None:
        """Take away; those that are not there are no error. Raises sqlite3.Error."""
        gone = list(registrations)
        with self._connection:
            self._connection.executemany(
                "DELETE FROM targets WHERE owner = ? AND id = ? AND port = ? AND zone = ?",
                [(each.owner, each.id, each.port, each.zone) for each in gone],
            )
        for each in gone:
            kept = self._kept.get(each.owner, {})
            kept.pop(each.key, None)
            if not kept:
                self._kept.pop(each.owner, None)

    def keep_only(self, owners: Collection[str]) -> None:
        """Forget everything under other keys. Raises sqlite3.Error."""
        for owner in [each for each in self._kept if each not in owners]:
            self.forget(owner)

    def forget(self, owner: str) -> None:
        """Forget everything under one key. Raises sqlite3.Error."""
        self.remove(self.of(owner))

    def expire(self, now: float) -> bool:
        """Take away those whose time of draining is over; whether there were any."""
        over = [each for each in self.everything() if each.draining_until is not None and each.draining_until <= now]
        if over:
            self.remove(over)
        return bool(over)

    def next_expiry(self) -> float | None:
        """When the next one is to be taken away, in seconds since 1970; None where none drains."""
        return min((each.draining_until for each in self.everything() if each.draining_until is not None), default=None)

    def _keep(self, registration: Registration) -> None:
        self._kept.setdefault(registration.owner, {})[registration.key] = registration
