"""What containers print, as the Docker Engine keeps it: followed by one connection each, without a thread.

Source: Docker Engine API, GET /containers/{id}/logs and "Stream format".
"""

import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from awsorch.agent.engine import EngineError, EngineUnavailableError, GoneError

HEADER = 8
"""Bytes before each piece, where there is no terminal: which stream it is of, and its length."""
_TERMINAL_LIMIT = 1024 * 1024
_CONNECT = aiohttp.ClientTimeout(total=None, sock_connect=30)


class LogReader:
    """Reads from the engine at one address, as DOCKER_HOST says it."""

    def __init__(self, docker_host: str) -> None:
        self._docker_host = docker_host
        self._http: aiohttp.ClientSession | None = None

    async def read(self, container: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
        """Each piece with its time (ns), those after `after` only, until the container ends. Raises EngineError."""
        http = self._open()
        since = f"{after // 10**9}.{after % 10**9:09}"
        path = f"/containers/{container}/logs"
        query = {"stdout": "1", "stderr": "1", "follow": "1", "timestamps": "1", "since": since}
        try:
            async with http.get(path, params=query) as answer:
                if answer.status == 404:
                    raise GoneError(f"No such container: {container}")
                if answer.status != 200:
                    raise EngineError((await answer.text(errors="replace")).strip())
                is_raw = answer.content_type == "application/vnd.docker.raw-stream" and await self._has_terminal(
                    container
                )
                pieces = _lines(answer.content) if is_raw else _frames(answer.content)
                async for piece in pieces:
                    at, _, said = piece.partition(b" ")
                    time = _nanoseconds(at)
                    if time > after:
                        yield time, said
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineUnavailableError(f"{error or type(error).__name__}") from error

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _has_terminal(self, container: str) -> bool:
        async with self._open().get(f"/containers/{container}/json") as answer:
            found = await answer.json() if answer.status == 200 else {}
        return bool((found.get("Config") or {}).get("Tty"))

    def _open(self) -> aiohttp.ClientSession:
        if self._http is None:
            kind, _, rest = self._docker_host.partition("://")
            if kind == "unix":
                self._http = aiohttp.ClientSession(
                    "http://docker", connector=aiohttp.UnixConnector(rest, limit=0), timeout=_CONNECT
                )
            else:
                secure = _tls()
                connector = aiohttp.TCPConnector(limit=0, ssl=secure if secure is not None else True)
                scheme = "https" if secure is not None or kind == "https" else "http"
                self._http = aiohttp.ClientSession(f"{scheme}://{rest}", connector=connector, timeout=_CONNECT)
        return self._http


def _tls() -> ssl.SSLContext | None:
    """As the Docker client's variables say; None for a connection that is not encrypted."""
    folder = os.environ.get("DOCKER_CERT_PATH")
    if not os.environ.get("DOCKER_TLS_VERIFY") or not folder:
        return None
    context = ssl.create_default_context(cafile=str(Path(folder) / "ca.pem"))
    context.load_cert_chain(str(Path(folder) / "cert.pem"), str(Path(folder) / "key.pem"))
    return context


async def _frames(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while True:
        header = await content.read(HEADER)
        while header and len(header) < HEADER:
            more = await content.read(HEADER - len(header))
            if not more:
                return
            header += more
        if not header:
            return
        try:
            yield await content.readexactly(int.from_bytes(header[4:], "big"))
        except EOFError:
            return  # cut off by a rotation: it is read again


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > _TERMINAL_LIMIT:
            yield rest
            rest = b""
    if rest:
        yield rest


def _nanoseconds(text: bytes) -> int:
    """Docker's RFC 3339 time with nine decimals; 0 for what is none."""
    whole, _, fraction = text.decode("ascii", "replace").removesuffix("Z").partition(".")
    try:
        seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
        return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9] or "0")
    except ValueError:
        return 0
