"""What survives the agent: its tasks, its unsent reports and a few facts, in one SQLite file.

A batch is stored as a whole or not at all. A durable batch is on the disk when `save` returns, so it also survives
the host's power cut; others survive the death of the process. Credentials are never stored.
"""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from awsorch.agent.plan import Names
from awsorch.agent.ports import Binding
from awsorch.agent.states import TaskState
from awsorch.wire import acs

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (arn TEXT PRIMARY KEY, payload BLOB NOT NULL, life BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS reports
    (id INTEGER PRIMARY KEY, task TEXT NOT NULL, body BLOB NOT NULL, is_final INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class StateFileError(Exception):
    """The batch was not stored: the disk is full, or broken. Another try may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What changes about a task. `stop_reported`: the controller has accepted that it is STOPPED. `shipped`: the time
    (ns) up to which a container's lines are in CloudWatch Logs.
    """

    state: TaskState
    names: Names
    bindings: dict[str, tuple[Binding, ...]] = field(default_factory=dict)
    stop_reported: bool = False
    shipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedReport:
    """A SubmitTaskStateChange that has not been accepted yet; `body` is its JSON. Ids grow.

    `is_final`: it says that the task is STOPPED.
    """

    id: int
    task: str
    body: bytes
    is_final: bool = False


@dataclass(slots=True, kw_only=True)
class Batch:
    """Changes to store together. `arrived`: payloads of new tasks, which `lives` must have too."""

    arrived: dict[str, acs.Task] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    reports: list[SavedReport] = field(default_factory=list)
    delivered: set[int] = field(default_factory=set)
    facts: dict[str, str] = field(default_factory=dict)
    durable: bool = False

    def __bool__(self) -> bool:
        return bool(self.lives or self.forgotten or self.reports or self.delivered or self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Everything that was stored, tasks in the order of their arrival."""

    tasks: tuple[tuple[acs.Task, Life], ...] = ()
    reports: tuple[SavedReport, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


class Store(Protocol):
    """Where batches go."""

    def load(self) -> Saved: ...

    def save(self, batch: Batch) -> None:
        """Raises StateFileError and stores nothing."""

    def close(self) -> None: ...


_encode = msgspec.json.Encoder().encode
_task_decoder = msgspec.json.Decoder(acs.Task)
_life_decoder = msgspec.json.Decoder(Life)


class StateFile:
    """The store of an agent with a data directory."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise StateFileError(f"{path}: {error}") from error

    def load(self) -> Saved:
        rows = self._database.execute("SELECT payload, life FROM tasks ORDER BY rowid")
        tasks = tuple((_task_decoder.decode(payload), _life_decoder.decode(life)) for payload, life in rows)
        reports = tuple(
            SavedReport(id=number, task=task, body=body, is_final=bool(final))
            for number, task, body, final in self._database.execute(
                "SELECT id, task, body, is_final FROM reports ORDER BY id"
            )
        )
        facts = dict(self._database.execute("SELECT name, value FROM facts"))
        return Saved(tasks=tasks, reports=reports, facts=facts)

    def save(self, batch: Batch) -> None:
        execute, execute_many = self._database.execute, self._database.executemany
        try:
            execute("PRAGMA synchronous = " + ("FULL" if batch.durable else "NORMAL"))
            execute("BEGIN IMMEDIATE")
            for arn, life in batch.lives.items():
                payload = batch.arrived.get(arn)
                if payload is None:
                    execute("UPDATE tasks SET life = ? WHERE arn = ?", (_encode(life), arn))
                else:
                    row = (arn, _encode(without_secrets(payload)), _encode(life))
                    execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?)", row)
            execute_many("DELETE FROM tasks WHERE arn = ?", [(arn,) for arn in batch.forgotten])
            execute_many(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?)",
                [(each.id, each.task, each.body, each.is_final) for each in batch.reports],
            )
            execute_many("DELETE FROM reports WHERE id = ?", [(number,) for number in batch.delivered])
            execute_many("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(batch.facts.items()))
            execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise StateFileError(str(error)) from error

    def _undo(self) -> None:
        if self._database.in_transaction:
            try:
                self._database.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # SQLite has rolled back by itself

    def close(self) -> None:
        self._database.close()


class StateInMemory:
    """The store of an agent without a data directory, and of simulated ones: nothing outlives the process."""

    def load(self) -> Saved:
        return Saved()

    def save(self, batch: Batch) -> None:
        pass

    def close(self) -> None:
        pass


def without_secrets(task: acs.Task) -> acs.Task:
    """The task as it may be kept: of its roles' credentials no more than the ids that containers know them by."""
    if task.role_credentials is None and task.execution_role_credentials is None:
        return task
    return msgspec.structs.replace(
        task,
        role_credentials=_named(task.role_credentials),
        execution_role_credentials=_named(task.execution_role_credentials),
    )


def _named(given: acs.IAMRoleCredentials | None) -> acs.IAMRoleCredentials | None:
    if given is None:
        return None
    return acs.IAMRoleCredentials(credentials_id=given.credentials_id, role_arn=given.role_arn)
