"""HAProxy's two sockets: the running process's (statistics, servers) and its master's (reload, earlier processes).

It exists so that nothing else knows how HAProxy is spoken to. Commands are those of HAProxy's Management Guide,
chapter 9. The sockets are reached through a descriptor of their folder, because a socket's whole path may have 107
bytes only.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

SOCKET, MASTER_SOCKET = "haproxy.sock", "master.sock"
_RELOAD_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
_ANSWER_SECONDS = 10.0
_AT_ONCE = 4
"""HAProxy takes ten connections at a time on its socket; others may look too."""
_LONGEST_ANSWER = 64 * 1024 * 1024
_SAID_ON_SUCCESS = ("New server registered.", "Server deleted.")


class BalancerDown(ConnectionError):
    """HAProxy does not answer: it is not running, or not yet."""


class CommandRefused(RuntimeError):
    """HAProxy did not do what it was told; the message has its words."""


class Runtime:
    """The HAProxy whose sockets are in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def description(self) -> str:
        """What the running process's configuration says of itself. Raises BalancerDown."""
        answer = await self._ask(SOCKET, "show info")
        lines = dict(line.partition(": ")[::2] for line in answer.splitlines())
        if "Pid" not in lines:
            raise BalancerDown(f"HAProxy answered {answer[:200]!r} to `show info`")
        return lines.get("description", "")

    async def rows(self, proxy: str = "-1") -> list[Mapping[str, str]]:
        """The statistics of one proxy, or of all: a row a front end, a back end and a server. None for a proxy that is
        not there. Raises BalancerDown.
        """
        return _rows(await self._ask(SOCKET, f"show stat {proxy} -1 -1"))

    async def earlier_rows(self, proxy: str) -> list[Mapping[str, str]]:
        """The same of processes that finish what they had when the structure changed. Raises BalancerDown."""
        rows: list[Mapping[str, str]] = []
        for process in await self.earlier():
            rows += _rows(await self._ask(MASTER_SOCKET, f"@!{process} show stat {proxy} -1 -1"))
        return rows

    async def tell(self, *commands: str) -> None:
        """Have the running process do things, in order. Raises CommandRefused where one failed, BalancerDown."""
        answer = await self._ask(SOCKET, "; ".join(commands))
        words = " ".join(line for line in answer.splitlines() if line and line not in _SAID_ON_SUCCESS)
        if words:
            raise CommandRefused(f"{'; '.join(commands)}: {words}")

    async def tell_earlier(self, *commands: str) -> None:
        """Have earlier processes do things too; one that has not got what is meant does nothing."""
        for process in await self.earlier():
            for command in commands:
                await self._ask(MASTER_SOCKET, f"@!{process} {command}")

    async def reload(self) -> None:
        """Have the master start a process with the configuration file as it is now; does not wait for it. Raises
        BalancerDown.

        A master that is being started, or takes its own place, refuses connections for a moment: it is asked again.
        """
        for pause in _RELOAD_PAUSES:
            try:
                await self._ask(MASTER_SOCKET, "reload")
            except BalancerDown:
                await asyncio.sleep(pause)
            else:
                return
        await self._ask(MASTER_SOCKET, "reload")

    async def earlier(self) -> list[int]:
        """The ids of the processes that run on with an earlier structure. Raises BalancerDown."""
        _, _, old = (await self._ask(MASTER_SOCKET, "show proc")).partition("# old workers")
        old, _, _ = old.partition("# programs")
        return [int(line.split()[0]) for line in old.splitlines() if line[:1].isdecimal()]

    async def _ask(self, name: str, command: str) -> str:
        async with self._turns:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await self._converse(name, command)
            except (OSError, TimeoutError) as error:
                raise BalancerDown(f"HAProxy does not answer at {self._folder / name}: {error}") from error

    async def _converse(self, name: str, command: str) -> str:
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{name}", limit=_LONGEST_ANSWER)
        finally:
            os.close(folder)
        try:
            writer.write(f"{command}\n".encode())
            writer.write_eof()
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()


def _rows(answer: str) -> list[Mapping[str, str]]:
    """CSV as HAProxy writes it, after its `# `; anything else is a word that there is no such proxy."""
    if not answer.startswith("# "):
        return []
    return list(csv.DictReader(io.StringIO(answer[2:].strip() + "\n")))
