"""The socket at which an instance's agent finds its Docker Engine: everything is the engine's but pulls.

Pulls are answered from this machine's images (see `netns_images`), in the engine's own words, so agents need not know.
Each connection carries one request: one that is kept for others would hide them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
from docker.errors import DockerException

from awsorch.local.netns_images import CannotCopy, ImageSource

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 65536
_HEAD_SECONDS = 30.0
_LOAD_SECONDS = 600
_PULL = "/images/create"
_PULLING = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)


class EngineFront:
    """Listens on one socket for one engine."""

    def __init__(self, engine: Path, images: ImageSource) -> None:
        """`engine` is the engine's own socket."""
        self._engine = engine
        self._images = images
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen on a socket that is the owner's alone. Raises OSError."""
        self._server = await asyncio.start_unix_server(self._accept, path)
        os.chmod(path, 0o600)

    async def close(self) -> None:
        """Listen no more, and end what is under way."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            image = pulled_image(head)
            if image:
                await self._answer_pull(image, header(head, "X-Registry-Auth"), writer)
            else:
                await self._pass_on(head, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError) as error:
            _log.debug("a connection to %s ended: %s", self._engine, error)
        finally:
            writer.close()

    async def _pass_on(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until the engine has answered, or either side has gone."""
        from_engine, to_engine = await asyncio.open_unix_connection(self._engine)
        to_engine.write(alone(head).encode("latin-1"))
        sending = asyncio.create_task(_carry(reader, to_engine))
        try:
            await _carry(from_engine, writer)
        finally:
            sending.cancel()
            to_engine.close()
            await asyncio.gather(sending, return_exceptions=True)

    async def _answer_pull(self, image: str, registry_auth: str, writer: asyncio.StreamWriter) -> None:
        writer.write(_PULLING)
        async for progress in self._copy(image, registry_auth):
            line = json.dumps(progress).encode() + b"\r\n"
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def _copy(self, image: str, registry_auth: str) -> AsyncIterator[dict[str, Any]]:
        loop, said = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

        def say(progress: dict[str, Any] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
                loop.call_soon_threadsafe(said.put_nowait, progress)

        def work() -> None:
            try:
                engine = docker.APIClient(f"unix://{self._engine}", version="auto", timeout=_LOAD_SECONDS)
                with contextlib.closing(engine):
                    self._images.copy(image, registry_auth, engine, say)
            except (CannotCopy, DockerException) as error:
                say({"error": str(error), "errorDetail": {"message": str(error)}})
            finally:
                say(None)

        # A thread of its own: a registry may take minutes, and neither others' work nor this process's end is to wait.
        threading.Thread(target=work, name=f"copy {image}", daemon=True).start()
        while (progress := await said.get()) is not None:
            yield progress


def pulled_image(head: str) -> str:
    """The image that a request pulls, "" for any other request."""
    method, _, rest = head.partition(" ")
    target = urlsplit(rest.partition(" ")[0])
    if method != "POST" or not target.path.endswith(_PULL):
        return ""
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    name, tag = query.get("fromImage", ""), query.get("tag", "")
    if not name or not tag:
        return name
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"


def header(head: str, name: str) -> str:
    """A header's value, "" where the request has none."""
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name.lower():
            return value.strip()
    return ""


def alone(head: str) -> str:
    """The head of a request after which the connection ends, unless it becomes something else than HTTP."""
    if header(head, "Upgrade"):
        return head
    first, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
    kept = [line for line in rest if not line.lower().startswith("connection:")]
    return "\r\n".join((first, *kept, "Connection: close", "", ""))


async def _carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK_BYTES):
        to.write(chunk)
        await to.drain()
    if to.can_write_eof():
        to.write_eof()
