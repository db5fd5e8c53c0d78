"""What the control and telemetry websockets have in common: opening, time limits, and when to connect again."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from awsorch.agent.api import ECS

LOG = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT = 30.0
CLOSE_TIMEOUT = 2.0
LARGEST_MESSAGE = 16 * 1024 * 1024
INACTIVITY = (60.0, 120.0)
"""Seconds without a message after which a connection is taken for dead: between these two, by chance."""
OLDEST = (1800.0, 2100.0)
"""Seconds after which a connection is opened anew."""
JITTER = 0.2
INACTIVE_INSTANCE_WAIT = 3600.0
ORDERLY_CODES = (1000, 1001, 1006, 1011)


class HandshakeRefusedError(Exception):
    """The server answered the handshake with an HTTP error; the text holds its body."""


class Ending(Enum):
    """Why a session is over."""

    CLOSED = "closed by the server"
    BROKEN = "broken"
    SILENT = "the server was silent for too long"
    EXPIRED = "the connection is old"
    DEREGISTERED = "the container instance is not active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a registered agent says of itself when it connects. `cluster` is the configured value."""

    cluster: str
    instance_arn: str
    zone_id: str
    docker_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays in seconds between attempts."""

    first: float
    last: float
    growth: float


async def refuse_with_body(response: aiohttp.ClientResponse) -> None:
    """For ClientSession(raise_for_status=…): an HTTP error's body names ECS's exception."""
    if response.status >= 400:
        body = (await response.content.read(4096)).decode(errors="replace")
        raise HandshakeRefusedError(f"HTTP {response.status}: {body}")


def websocket_url(base: str, query: Mapping[str, str]) -> str:
    """<base>/ws?<query>, its keys in order; raises ValueError for a base that is not http(s)."""
    if not base.startswith(("http://", "https://")):
        raise ValueError(f"an endpoint must begin with http:// or https://, not {base!r}")
    return f"{base.rstrip('/')}/ws?{urlencode(sorted(query.items()), quote_via=quote, safe='-_.~')}"


async def open_websocket(http: aiohttp.ClientSession, ecs: ECS, url: str) -> aiohttp.ClientWebSocketResponse:
    """Raises HandshakeRefusedError, aiohttp.ClientError, TimeoutError or OSError."""
    headers = await ecs.websocket_headers(url)
    headers["User-Agent"] = "Go-http-client/1.1"
    async with asyncio.timeout(HANDSHAKE_TIMEOUT):
        return await http.ws_connect(
            URL(url, encoded=True),
            headers=headers,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            max_msg_size=LARGEST_MESSAGE,
        )


async def read(socket: aiohttp.ClientWebSocketResponse, handle: Callable[[str], Awaitable[bool]]) -> Ending:
    """Give every text frame to `handle`, which says whether it counts as activity, until the session is over."""
    loop = asyncio.get_running_loop()
    expires = loop.time() + random.uniform(*OLDEST)
    silent_at = loop.time() + random.uniform(*INACTIVITY)
    while True:
        try:
            message = await socket.receive(timeout=max(min(expires, silent_at) - loop.time(), 0.001))
        except TimeoutError:
            expired = loop.time() >= expires
            words = b"ConnectionExpired: Reconnect to continue" if expired else b"inactive"
            await socket.close(code=1000, message=words)
            return Ending.EXPIRED if expired else Ending.SILENT
        if message.type is aiohttp.WSMsgType.TEXT:
            if await handle(message.data):
                silent_at = loop.time() + random.uniform(*INACTIVITY)
        elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            code = socket.close_code
            return Ending.CLOSED if code is None or code in ORDERLY_CODES else Ending.BROKEN
        elif message.type is aiohttp.WSMsgType.ERROR:
            return Ending.BROKEN


async def stay_connected(what: str, session: Callable[[], Awaitable[Ending]], backoff: Backoff) -> None:
    """Run one session after the other for ever: at once after an orderly end, ever later after failures."""
    loop = asyncio.get_running_loop()
    delay = backoff.first
    while True:
        began = loop.time()
        try:
            ending = await session()
        except HandshakeRefusedError as error:
            ending = Ending.DEREGISTERED if "InactiveInstanceException" in str(error) else Ending.BROKEN
            LOG.warning("%s: refused: %s", what, error)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            ending = Ending.BROKEN
            LOG.info("%s: %s", what, str(error) or type(error).__name__)
        except Exception:
            ending = Ending.BROKEN
            LOG.exception("%s: the session ended in an error", what)
        else:
            LOG.info("%s: %s", what, ending.value)
        lasted = loop.time() - began
        if ending is Ending.DEREGISTERED:
            await asyncio.sleep(INACTIVE_INSTANCE_WAIT)
            continue
        if lasted >= INACTIVITY[0]:
            delay = backoff.first
        if ending is not Ending.BROKEN and lasted >= backoff.first:
            delay = backoff.first
            continue
        await asyncio.sleep(delay * random.uniform(1 - JITTER, 1 + JITTER))
        delay = min(delay * backoff.growth, backoff.last)
