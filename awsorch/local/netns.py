"""A machine in the machine: namespaces of the kernel (network, mounts, processes) that live as long as their first
process does.

It exists because the kernel itself then takes everything away, whatever state it is in and however the local cloud
ends: processes, mounts, network devices. Nothing here knows what runs in one. Needs Linux, root, util-linux, iproute2.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOLDER = (
    *("setpriv", "--pdeathsig", "KILL"),  # unshare heeds no other signal
    *("unshare", "--net", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child"),
    *("bash", "-c", "while :; do sleep infinity & wait; done"),
)
"""The command that makes the namespaces and is their end when it ends; bash waits for orphans, as an init has to."""

NEEDED = ("setpriv", "unshare", "nsenter", "mount", "ip", "iptables", "bash", "dockerd")
_READY_SECONDS = 10.0
_POLL_SECONDS = 0.01
_COMMAND_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Namespaces by the process that runs HOLDER; `first` is the first process inside, as this machine counts."""

    holder: int
    first: int

    def enter(self, *kinds: str) -> tuple[str, ...]:
        """The words before a command that is to run inside; `kinds` are of net, mnt and pid."""
        files = {"pid": "pid_for_children"}
        options = {"mnt": "mount"}
        where = (f"--{options.get(kind, kind)}=/proc/{self.holder}/ns/{files.get(kind, kind)}" for kind in kinds)
        return ("nsenter", *where, "--")

    async def hide(self, folder: Path) -> None:
        """Have what runs inside see an empty folder in place of this machine's. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        await run(*self.enter("mnt"), "mount", "--types", "tmpfs", "hidden", str(folder))

    async def gone(self) -> None:
        """Wait until nothing runs inside any more: the kernel ends the first process last."""
        try:
            descriptor = os.pidfd_open(self.first)
        except ProcessLookupError:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)


async def space_of(holder: int) -> Space:
    """The namespaces that a process of HOLDER has just made, when they can be entered. Raises OSError."""
    deadline = asyncio.get_running_loop().time() + _READY_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        first = _first_process(holder)
        if first is not None:
            return Space(holder=holder, first=first)
        await asyncio.sleep(_POLL_SECONDS)
    raise OSError(f"process {holder} made no namespaces within {_READY_SECONDS:g} seconds; is this user root?")


def _first_process(holder: int) -> int | None:
    """It runs bash when its mounts are made."""
    try:
        children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text() == "bash\n":
            return int(children[0])
    except FileNotFoundError:
        pass
    return None


async def run(*command: str, lines: Sequence[str] = ()) -> None:
    """Run a short command, with lines for it to read. Raises OSError with its words where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            _, words = await process.communicate("".join(f"{line}\n" for line in lines).encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise OSError(f"{' '.join(command)} did not end within {_COMMAND_SECONDS:g} seconds") from None
    if process.returncode:
        raise OSError(f"{' '.join(command)}: {words.decode(errors='replace').strip()}")


def what_is_missing() -> str:
    """What this machine lacks for namespaces with Docker Engines in them, in words; empty where it lacks nothing."""
    if sys.platform != "linux":
        return f"Linux (this is {sys.platform})"
    if os.geteuid() != 0:
        return "root"
    missing = [program for program in NEEDED if shutil.which(program) is None]
    return f"the programs {', '.join(missing)}" if missing else ""
