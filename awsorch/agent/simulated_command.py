"""A command in a simulated container."""

import asyncio
from collections.abc import AsyncIterator, Sequence


class SimulatedCommand:
    """A command in a simulated container: it prints itself, then what is typed, until a line says "exit"."""

    def __init__(self, command: Sequence[str], exit_code: int) -> None:
        self._exit_code: int | None = exit_code
        self._printed: asyncio.Queue[bytes] = asyncio.Queue()
        self._printed.put_nowait(" ".join(command).encode() + b"\r\n")
        self.size = (0, 0)

    async def output(self) -> AsyncIterator[bytes]:
        while chunk := await self._printed.get():
            yield chunk

    async def type(self, data: bytes) -> None:
        await self._printed.put(data)
        if data.strip() == b"exit":
            await self._printed.put(b"")

    async def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        await self._printed.put(f"{rows} {columns}\r\n".encode())

    async def exit_code(self) -> int | None:
        return self._exit_code

    async def end(self) -> None:
        self._exit_code = None
        await self._printed.put(b"")
