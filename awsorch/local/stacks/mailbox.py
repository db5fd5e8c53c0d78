"""What stacks wait for from others: answers to custom resources' requests, signals of wait conditions and resources.

Each box has a URL that nobody can guess, at the door; whoever has it may PUT there. Letters are kept in a file, so that
what came before a restart counts after it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PREFIX = "/awsorch/stacks/letters/"
MOST_BYTES = 4096
"""CloudFormation takes no longer answers of custom resources."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS secret (value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS boxes (name TEXT PRIMARY KEY, wants TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS letters (
    box TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, letter TEXT NOT NULL, PRIMARY KEY (box, id)
) WITHOUT ROWID;
"""
_BY_ADDRESS = ("StackId", "RequestId", "LogicalResourceId")
Letter = Mapping[str, Any]


class NotTaken(Exception):
    """A letter is refused; the text says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Mailbox:
    """Boxes and letters. Writing raises sqlite3.Error where the disk does not take it."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Opens the file, or makes it. Raises OSError where it cannot be used, saying why."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clock = clock
        try:
            path.touch(mode=0o600)
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.executescript(_SCHEMA)
            if self._file.execute("SELECT value FROM secret").fetchone() is None:
                self._file.execute("INSERT INTO secret VALUES (?)", (secrets.token_hex(),))
            (self._secret,) = self._file.execute("SELECT value FROM secret").fetchone()
        except sqlite3.Error as error:
            raise OSError(f"{path} cannot be used ({error}); move it away to start without what it has") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def expect(self, box: str, **wants: str) -> None:
        """Take letters for a box from now on; `wants` are members that each must have with these values."""
        self._file.execute("INSERT OR IGNORE INTO boxes VALUES (?, ?)", (box, json.dumps(wants)))

    def path(self, box: str) -> str:
        """Path and query of the URL to which letters for a box are PUT."""
        return f"{PREFIX}{box}?Signature={self._signature(box)}"

    def forget(self, box: str) -> None:
        """The box takes letters no more, and has none."""
        self._file.execute("DELETE FROM boxes WHERE name = ?", (box,))
        self._file.execute("DELETE FROM letters WHERE box = ?", (box,))

    def letters(self, box: str) -> dict[str, Letter]:
        """Id to letter, in the order in which they came."""
        found = self._file.execute("SELECT id, letter FROM letters WHERE box = ? ORDER BY at, id", (box,))
        return {id: json.loads(letter) for id, letter in found}

    def put(self, box: str, id: str, letter: Letter, *, over: bool = False) -> None:
        """Keep a letter; the first of an id stands unless it is put `over` it."""
        verb = "INSERT OR REPLACE" if over else "INSERT OR IGNORE"
        self._file.execute(f"{verb} INTO letters VALUES (?, ?, ?, ?)", (box, id, self._clock(), json.dumps(letter)))

    def take(self, box: str, signature: str, body: bytes) -> None:
        """Keep what was PUT to a URL. Raises NotTaken."""
        if not hmac.compare_digest(signature.encode(), self._signature(box).encode()):
            raise NotTaken(403, "The signature of this URL is not one that the stack engine has made.")
        row = self._file.execute("SELECT wants FROM boxes WHERE name = ?", (box,)).fetchone()
        if row is None:
            raise NotTaken(404, "Nobody waits for this any more.")
        wants = json.loads(row[0])
        if wants:
            self._take_answer(box, wants, body)
        else:
            self._take_signal(box, body)

    def _take_answer(self, box: str, wants: Mapping[str, str], body: bytes) -> None:
        """An answer to a request. One that can't be read is an answer too: the resource fails at once."""
        if len(body) > MOST_BYTES:
            self.put(box, "answer", {"Status": "FAILED", "Reason": "Response object is too long."})
            raise NotTaken(413, f"Response object is too long: {len(body)} bytes, and at most {MOST_BYTES} are taken.")
        try:
            answer = json.loads(body)
        except ValueError as error:
            self.put(box, "answer", {"Status": "FAILED", "Reason": f"Response is not valid JSON: {error}"})
            raise NotTaken(400, f"Response is not valid JSON: {error}") from None
        if not isinstance(answer, dict):
            raise NotTaken(400, "A response is an object with Status, PhysicalResourceId, StackId, RequestId, …")
        for name in _BY_ADDRESS:
            if answer.get(name) != wants[name]:
                raise NotTaken(400, f"{name} is not that of the request: it should be {wants[name]}.")
        if answer.get("Status") not in ("SUCCESS", "FAILED"):
            raise NotTaken(400, "Status must be SUCCESS or FAILED.")
        if not isinstance(answer.get("Data") or {}, dict):
            raise NotTaken(400, "Data must be an object.")
        self.put(box, "answer", answer)

    def _take_signal(self, box: str, body: bytes) -> None:
        """A signal of a wait condition: `{"Status", "UniqueId", "Data", "Reason"}`."""
        if len(body) > MOST_BYTES:
            raise NotTaken(413, f"A signal may have at most {MOST_BYTES} bytes; this one has {len(body)}.")
        try:
            signal = json.loads(body)
        except ValueError as error:
            raise NotTaken(400, f"The signal is not valid JSON: {error}") from None
        if not isinstance(signal, dict) or signal.get("Status") not in ("SUCCESS", "FAILURE"):
            raise NotTaken(400, "A signal is an object whose Status is SUCCESS or FAILURE.")
        if not isinstance(signal.get("UniqueId"), str) or not signal["UniqueId"]:
            raise NotTaken(400, "A signal has a UniqueId, a text that no other signal of this handle has.")
        self.put(box, signal["UniqueId"], signal, over=signal["Status"] == "FAILURE")

    def _signature(self, box: str) -> str:
        return hmac.new(self._secret.encode(), box.encode(), hashlib.sha256).hexdigest()
