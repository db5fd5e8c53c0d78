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
from urllib.parse import urlsplit

ANSWER_SECONDS = 10.0


class _Connection(asyncio.Protocol):
    """One kept connection; one request at a time. Streams would cost several times as much a request."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, str]] | None = None
        self._received = b""
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.is_open = transport, True

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, str]]:
        """Send a request; its answer's status and body. Fails with ConnectionError where the connection ends before,
        with Unanswered where it does so without a word."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._received = b""
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._answer is None or self._answer.done():
            return
        lowered = head.lower()
        at = lowered.find(b"\r\ncontent-length:")
        if at < 0:
            return  # the end of the connection is the end of the body
        length = int(lowered[at + 17 :].split(b"\r\n", 1)[0])
        if len(body) >= length:
            if b"\r\nconnection: close" in lowered:
                self.close()
            self._finish(head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is None or self._answer.done():
            return
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if separator and b"content-length" not in head.lower():
            self._finish(head, body)
        elif not self._received:
            self._answer.set_exception(Unanswered("the connection was closed"))
        else:
            self._answer.set_exception(ConnectionError("the answer broke off"))

    def close(self) -> None:
        """Let go of it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    def _finish(self, head: bytes, body: bytes) -> None:
        assert self._answer is not None
        self._answer.set_result((int(head.split(b" ", 2)[1]), body.decode("utf-8", "replace").strip()))


class Unanswered(ConnectionError):
    """A connection ended before a byte of the answer came."""


class Load:
    """Where to, how often, and what came of it so far: (second, milliseconds, status, body)."""

    def __init__(self, url: str, rate: float) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "127.0.0.1", parts.port or 80
        self._request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._rate = rate
        self._idle: list[_Connection] = []
        self.results: list[tuple[float, float, int, str]] = []
        self.began = 0.0

    async def run(self, ended: asyncio.Event) -> None:
        """Send until told to end; then wait for the answers under way."""
        loop = asyncio.get_running_loop()
        self.began, start = time.time(), loop.time()
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while not ended.is_set():
            at = start + number / self._rate
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
            task = asyncio.create_task(self._send(at, at - start))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        await asyncio.gather(*under_way)
        for connection in self._idle:
            connection.close()

    async def _send(self, at: float, second: float) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await self._ask()
        except (OSError, TimeoutError, ValueError) as error:
            status, body = 0, f"{type(error).__name__} {error}".strip()
        spent = asyncio.get_running_loop().time() - at
        self.results.append((round(second, 3), round(spent * 1000, 2), status, body))

    async def _ask(self) -> tuple[int, str]:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                try:
                    return await self._exchange(connection)
                except Unanswered:
                    continue
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, *self._address)
        return await self._exchange(connection)

    async def _exchange(self, connection: _Connection) -> tuple[int, str]:
        try:
            answer = await connection.ask(self._request)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return answer


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
