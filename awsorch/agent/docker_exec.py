"""Commands in containers, as the Docker Engine runs them: one raw connection and one thread each.

Docker has no call that ends a command. It is found by a mark in its environment: among this host's processes, or, where
the engine's are others, from inside the container.
Source: Docker Engine API, exec.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import APIError, DockerException

from awsorch.agent.docker_errors import words
from awsorch.agent.engine import EngineError

MARK = "AWSORCH_EXEC_SESSION"
CHUNK = 32 * 1024
LOOKS, LOOK_DELAY = 20, 0.1
SWEEPS = 5
_WAITING = 8
"""Chunks of output that wait at most; then the command does."""
_ENDER = """
for each in /proc/[0-9]*; do
    if tr '\\0' '\\n' < $each/environ 2>/dev/null | grep -qx "$0"; then kill -KILL ${each#/proc/}; fi
done
"""


class DockerCommand:
    """A command that runs. Implements the port's RunningCommand."""

    def __init__(self, client: APIClient, pool: ThreadPoolExecutor, exec_id: str, mark: str, container: str) -> None:
        self._client = client
        self._pool = pool
        self._id = exec_id
        self._mark = mark
        self._container = container
        self._stream: Any = None
        self._output: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._reading: asyncio.Future[None] | None = None
        self._has_ended = False

    async def start(self) -> None:
        """Raises EngineError."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            try:
                self._stream = self._client.exec_start(self._id, tty=True, socket=True)
            except (APIError, DockerException, OSError) as error:
                raise EngineError(words(error) if isinstance(error, APIError) else str(error)) from error

        def read() -> None:
            raw = _raw(self._stream)
            raw.settimeout(None)
            with contextlib.suppress(OSError):
                while chunk := raw.recv(CHUNK):
                    asyncio.run_coroutine_threadsafe(self._output.put(chunk), loop).result()
            asyncio.run_coroutine_threadsafe(self._output.put(b""), loop)

        await loop.run_in_executor(self._pool, begin)
        self._reading = loop.run_in_executor(self._pool, read)

    async def output(self) -> AsyncIterator[bytes]:
        """What it prints, until it has ended."""
        while chunk := await self._output.get():
            yield chunk

    async def type(self, data: bytes) -> None:
        """Give it input."""
        await self._run(lambda: _raw(self._stream).sendall(data))

    async def resize(self, columns: int, rows: int) -> None:
        """Tell it the terminal's size."""
        await self._run(lambda: self._client.exec_resize(self._id, height=rows, width=columns))

    async def exit_code(self) -> int | None:
        """None while it runs; the engine learns of an end a little later than its output ends."""
        for _ in range(LOOKS):
            found = await self._run(lambda: self._client.exec_inspect(self._id))
            if not found.get("Running"):
                return None if found.get("ExitCode") is None else int(found["ExitCode"])
            await asyncio.sleep(LOOK_DELAY)
        return None

    async def end(self) -> None:
        """Kill it if it still runs."""
        if self._has_ended:
            return
        self._has_ended = True
        with contextlib.suppress(EngineError):
            await self._run(self._kill)
        with contextlib.suppress(OSError):
            _raw(self._stream).shutdown(socket.SHUT_RDWR)

    def _kill(self) -> None:
        if self._kill_here():
            return
        if self._client.exec_inspect(self._id).get("Running"):  # the engine's processes are not this host's
            ender = self._client.exec_create(self._container, ["sh", "-c", _ENDER, self._mark], user="0")
            self._client.exec_start(ender["Id"], detach=True)

    def _kill_here(self) -> bool:
        """Whether processes of this host had the mark: the command, and what it has begun and left behind."""
        killed = False
        for _ in range(SWEEPS):  # those that were born meanwhile
            found = [int(each.name) for each in Path("/proc").glob("[0-9]*") if self._has_mark(each)]
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if not found:
                break
            killed = True
        return killed

    def _has_mark(self, process: Path) -> bool:
        try:
            return self._mark.encode() in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            return False

    async def _run(self, call: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except APIError as error:
            raise EngineError(words(error)) from error
        except (DockerException, OSError) as error:
            raise EngineError(str(error)) from error


def create_command(client: APIClient, container: str, command: Sequence[str], mark: str) -> str:
    """The id of a command that may be started, as root and with a terminal."""
    made = client.exec_create(
        container, list(command), stdin=True, tty=True, user="0", environment=[mark, "TERM=xterm-256color"]
    )
    return str(made["Id"])


def _raw(stream: Any) -> socket.socket:
    """The socket itself, inside what the SDK hands out."""
    return getattr(stream, "_sock", stream)  # type: ignore[no-any-return]
