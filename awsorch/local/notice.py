"""How the door, in the controller's process, tells the fleet, in the supervisor's, that instances may have
changed.

A pipe: the supervisor makes it once and every controller that it starts inherits the end to write to.
There is no address to agree on, nothing to connect to, and a full or broken pipe loses nothing: the fleet
looks now and then anyway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

VARIABLE = "AWSORCH_FLEET_NOTIFY"
"""The environment variable that names the descriptor to write to."""


class Notice:
    """The supervisor's side: `changed` is set whenever the door says so. Made and closed on a running
    event loop.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._reading, self.writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)

    def close(self) -> None:
        """Close both ends."""
        self._loop.remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.writing)

    def _read(self) -> None:
        os.read(self._reading, 65536)
        self.changed.set()


def notifier(environment: Mapping[str, str]) -> Callable[[], None] | None:
    """The door's side: a function that tells the fleet; None where no fleet asked to be told.

    Raises ValueError where the variable is not the number of a descriptor.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{VARIABLE}={text!r} must be the number of an inherited descriptor")
    descriptor = int(text)

    def tell() -> None:
        try:
            os.write(descriptor, b".")
        except OSError:
            return  # full: it has been told; closed: nobody is there to be told

    return tell
