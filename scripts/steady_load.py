"""Requests at a steady rate, each with what came of it: for the demo and for benchmarks.

The rate does not give way when answers are late (an open loop), so a stall is seen as what it is. Connections are kept
alive as browsers and proxies keep them; a kept connection that the server closed before it took a request is not held
against it: the request is sent once more on a new one, as HTTP clients do (RFC 9112, 9.3.1).

    python scripts/steady_load.py http://127.0.0.1:8080/ --rate 500      # until its standard input is closed

The last line it prints is JSON: {"began": …, "results": [[second, milliseconds, status, body], …]}; status 0 is a
connection that failed, its body says how. Seconds count from ``began`` (seconds since the epoch).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_SECONDS = 10.0


@dataclass(slots=True)
class Load:
    """Where to, how often, and what came of it so far: (second, milliseconds, status, body)."""

    url: str
    rate: float
    results: list[tuple[float, float, int, str]] = field(default_factory=list)
    began: float = 0.0
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def run(self, ended: asyncio.Event) -> None:
        """Send until told to end; then wait for the answers under way."""
        loop = asyncio.get_running_loop()
        self.began, start = time.time(), loop.time()
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while not ended.is_set():
            at = start + number / self.rate
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
            task = asyncio.create_task(self._send(at, at - start))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        await asyncio.gather(*under_way)
        for _, writer in self._idle:
            writer.close()

    async def _send(self, at: float, second: float) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await self._ask()
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            status, body = 0, f"{type(error).__name__} {error}".strip()
        spent = asyncio.get_running_loop().time() - at
        self.results.append((round(second, 3), round(spent * 1000, 2), status, body))

    async def _ask(self) -> tuple[int, str]:
        while self._idle:
            reader, writer = self._idle.pop()
            try:
                return await self._exchange(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                writer.close()
                if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                    raise
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        return await self._exchange(reader, writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, str]:
        parts = urlsplit(self.url)
        writer.write(f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read(-1)
        if "content-length" in headers and headers.get("connection", "").lower() != "close":
            self._idle.append((reader, writer))
        else:
            writer.close()
        return int(first.split(" ")[1]), body.decode("utf-8", "replace").strip()


async def _main(url: str, rate: float) -> Load:
    load, ended = Load(url, rate), asyncio.Event()
    loop = asyncio.get_running_loop()
    input_closed = loop.run_in_executor(None, sys.stdin.read)
    input_closed.add_done_callback(lambda _: ended.set())
    await load.run(ended)
    return load


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    options = parser.parse_args()
    load = asyncio.run(_main(options.url, options.rate))
    print(json.dumps({"began": load.began, "results": load.results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
