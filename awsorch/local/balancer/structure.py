"""The structure of HAProxy's configuration: made from a wish, checked, and taken up without a lost request.

A change of structure is a reload: a new process takes over the listening sockets, the one before finishes what it
has. Front ends that cannot be carried (their address is taken, their certificate is none) are left out, with the
reason, and the others are not held up by them.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from awsorch.local.balancer.certificates import certificate_files
from awsorch.local.balancer.checks import check_lines
from awsorch.local.balancer.configuration import Configuration, configure, front_end_id, pools_of
from awsorch.local.balancer.model import FrontEnd, Wish
from awsorch.local.balancer.process import CONFIGURATION, find_haproxy
from awsorch.local.balancer.rules import rule_lines
from awsorch.local.balancer.runtime import BalancerDown, Runtime
from awsorch.local.files import write_private

_MOST_CONNECTIONS = 20_000
_DESCRIPTORS_A_CONNECTION = 3
_RELOAD_SECONDS = 20.0
_POLL_SECONDS = 0.01


class StructureRefused(RuntimeError):
    """HAProxy does not take the configuration; the message has its words."""


class Structure:
    """The configuration file in a folder, and the process that runs on it."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self._folder = folder
        self._runtime = runtime
        self._written = ""

    def plan(self, wish: Wish, bound: Collection[str]) -> tuple[Configuration, Mapping[str, str]]:
        """The configuration for what of a wish can be carried, and why the rest cannot, by front end's key.

        `bound` are the ids of the front ends that HAProxy has open already. Raises OSError.
        """
        carried: dict[str, FrontEnd] = {}
        certificates: dict[str, tuple[str, ...]] = {}
        refused: dict[str, str] = {}
        for front_end in wish.front_ends:
            name = front_end_id(front_end)
            try:
                if name in carried:
                    raise ValueError(f"port {front_end.port} on {front_end.address} is another listener's")
                if name not in bound:
                    _try_to_bind(front_end.address, front_end.port)
                _check_texts(front_end, wish)
                if front_end.protocol == "HTTPS":
                    certificates[front_end.key] = certificate_files(self._folder, front_end.certificates)
            except ValueError as error:
                refused[front_end.key] = str(error)
            else:
                carried[name] = front_end
        possible = Wish(front_ends=tuple(carried.values()), pools=wish.pools)
        return configure(possible, certificates, connection_limit()), refused

    def write(self, configuration: Configuration, up: Collection[str] | None = None) -> None:
        """Keep the file as a process that starts now should find it. Raises OSError."""
        text = configuration.text(up)
        if text != self._written:
            write_private(self._folder / CONFIGURATION, text)
            self._written = text

    async def take_up(self, configuration: Configuration, up: Collection[str]) -> None:
        """Have HAProxy go over to another structure, with the servers named in `up` open at once.

        Raises StructureRefused, BalancerDown, OSError. What was carried before is carried on then.
        """
        await self._try_out(configuration, up)
        await asyncio.to_thread(self.write, configuration, up)
        await self._runtime.reload()
        try:
            async with asyncio.timeout(_RELOAD_SECONDS):
                while not await self._has_taken_up(configuration):  # noqa: ASYNC110  (another process sets no events)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise StructureRefused(
                f"HAProxy did not take up its new configuration within {_RELOAD_SECONDS:g} seconds; see its log"
            ) from error

    async def _has_taken_up(self, configuration: Configuration) -> bool:
        """Whether the new process answers, and the master again, which does so last."""
        try:
            if await self._runtime.description() != configuration.digest:
                return False
            await self._runtime.earlier()
        except BalancerDown:
            return False
        return True

    async def _try_out(self, configuration: Configuration, up: Collection[str]) -> None:
        """Have HAProxy read the configuration without running on it."""
        trial = self._folder / f"{CONFIGURATION}.trial"
        write_private(trial, configuration.text(up))
        program = find_haproxy(os.environ.get("PATH", ""))
        process = await asyncio.create_subprocess_exec(
            *(program, "-c", "-q", "-C", str(self._folder), "-f", trial.name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        if process.returncode:
            raise StructureRefused(
                f"HAProxy does not take its new configuration: {said.decode(errors='replace')[-2000:]}"
            )
        trial.unlink()


def connection_limit() -> int:
    """How many connections HAProxy may have at once under this process's limit of open files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(100, min(_MOST_CONNECTIONS, most // _DESCRIPTORS_A_CONNECTION))


def _check_texts(front_end: FrontEnd, wish: Wish) -> None:
    """Raise ValueError for what could not be written down, so that it holds up this front end only."""
    if front_end.protocol != "TCP":
        list(rule_lines(front_end))
    for name in pools_of(front_end):
        list(check_lines(wish.pools[name].check))


def _try_to_bind(address: str, port: int) -> None:
    """Raise ValueError where nothing can listen on an address: it is taken, or not for this user."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ValueError(f"cannot listen on {address} port {port}: {error.strerror}") from error
