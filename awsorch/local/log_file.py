"""A log file that child processes write to and that does not grow without bound.

Children write to it themselves, through a descriptor that appends, so no process stands between them and
the disk. When the file is too long its content moves to `<name>.log.1` and it starts again; what is
written in that very moment may be lost, which is the price of not standing between.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO

MAX_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 16 * 1024


class LogFile:
    """One log file by its path."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def open(self) -> IO[bytes]:
        """A descriptor for a child to write to; every write goes to the end, wherever that is by then."""
        self.bound()
        return self._path.open("ab", buffering=0)

    def bound(self) -> None:
        """Start the file again when it is over its limit."""
        try:
            if self._path.stat().st_size <= self._max_bytes:
                return
            shutil.copyfile(self._path, self._path.with_name(f"{self._path.name}.1"))
            os.truncate(self._path, 0)
        except FileNotFoundError:
            return

    def last_lines(self, count: int) -> str:
        """The end of the file, at most `count` lines; empty where there is no file."""
        try:
            with self._path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-count:])
