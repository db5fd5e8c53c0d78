"""The data folder of a local cloud: who runs on it, and where its parts keep their files.

The lock is one that the kernel holds (flock), so a process that died without a word holds nothing, and a
process id that somebody else has by now is not taken for ours.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

from awsorch.local.files import write_private
from awsorch.local.ready import Ready, read_ready, ready_text

_POLL_SECONDS = 0.05


class DataFolder:
    """A data folder, by its path."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.fleet = self.path / "fleet.json"
        self.logs = self.path / "logs"
        self.controller = self.path / "controller"
        self.balancer = self.path / "balancer"
        self.upstream = self.path / "upstream"
        self._ready = self.path / "run" / "ready.json"
        self._lock = self.path / "run" / "lock"
        self._children = self.path / "run" / "children"

    def lock(self) -> int | None:
        """Take the folder for this process; a descriptor to close when done. None: another process has it.

        Raises OSError where the folder cannot be written.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.parent.mkdir(exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def lock_children(self, limit_seconds: float) -> int:
        """Wait until the children of an earlier owner, one that was killed perhaps, have ended too.

        Answers a descriptor that all children are to inherit: the lock is theirs together, and the kernel lets go of
        it with the last of them. Raises TimeoutError.
        """
        descriptor = os.open(self._children, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + limit_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise TimeoutError(
                        f"processes of an earlier run on {self.path} have not ended after {limit_seconds:.0f} seconds"
                    ) from None
                time.sleep(_POLL_SECONDS)
            else:
                return descriptor

    def owner(self) -> int | None:
        """The id of the process that has the folder; None where none has."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode().strip()
            return int(text) if text.isdecimal() else None
        else:
            return None
        finally:
            os.close(descriptor)

    def stop_owner(self, limit_seconds: float) -> bool:
        """Ask the process that has the folder to end, and wait for it. False: none has it.

        Raises TimeoutError where it does not end in time.
        """
        owner = self.owner()
        if owner is None:
            return False
        os.kill(owner, signal.SIGTERM)
        deadline = time.monotonic() + limit_seconds
        while self.owner() == owner:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {owner} did not stop within {limit_seconds:.0f} seconds")
            time.sleep(_POLL_SECONDS)
        return True

    def note_ready(self, ready: Ready) -> None:
        """Leave word where the cloud listens, for other commands on this machine."""
        write_private(self._ready, ready_text(ready))

    def forget_ready(self) -> None:
        """Take back that word."""
        self._ready.unlink(missing_ok=True)

    def ready(self) -> Ready | None:
        """Where the running cloud listens; None while none is ready."""
        if self.owner() is None:
            return None
        try:
            return read_ready(self._ready.read_text())
        except (FileNotFoundError, ValueError):
            return None
