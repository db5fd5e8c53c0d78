"""What the control and telemetry websockets have in common: opening, time limits, and when to connect again."""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.connector import AddrInfoType
from yarl import URL

from awsorch.agent.api import ECS, APIError
from awsorch.wire.peers import watch_peer

LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
HANDSHAKE_TIMEOUT = 30.0
KEPT_OPEN = 30.0
"""Seconds for which a connection is kept for the next call."""
CLOSE_TIMEOUT = 2.0
LARGEST_MESSAGE = 16 * 1024 * 1024
INACTIVITY = (60.0, 120.0)
"""Seconds without a message after which a connection is taken for dead: between these two, by chance."""
OLDEST = (1800.0, 2100.0)
"""Seconds after which a connection is opened anew."""
JITTER = 0.2
UNREACHED_WAIT = 3.0
"""Longest pause in seconds while nobody is reached: such tries are no load for anybody, and when the network is back so
are the agents."""
INACTIVE_INSTANCE_WAIT = 3600.0
ORDERLY_CODES = (1000, 1001, 1006, 1011)


class HandshakeRefusedError(Exception):
    """The server answered the handshake with an HTTP error; the text holds its body."""


class Ending(Enum):
    """Why a session is over."""

    CLOSED = "closed by the server"
    BROKEN = "broken"
    UNREACHED = "the server cannot be reached"
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
    vpc_id: str = ""
    private_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays in seconds between attempts."""

    first: float
    last: float
    growth: float


def open_http(*, limit: int = 100, probing: bool = True) -> aiohttp.ClientSession:
    """The client of an agent's calls and websockets, to be used in its event loop; `limit` connections at most (0: any
    number). `probing`: a server that vanished is noticed in seconds, on idle connections and on busy ones."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limit, keepalive_timeout=KEPT_OPEN, socket_factory=_watched_socket if probing else None
        ),
        timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT),
        raise_for_status=refuse_with_body,
    )


def _watched_socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    watch_peer(opened)
    return opened


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


async def read(websocket: aiohttp.ClientWebSocketResponse, handle: Callable[[str], Awaitable[bool]]) -> Ending:
    """Give every text frame to `handle`, which says whether it counts as activity, until the session is over."""
    loop = asyncio.get_running_loop()
    expires = loop.time() + random.uniform(*OLDEST)
    silent_at = loop.time() + random.uniform(*INACTIVITY)
    while True:
        try:
            message = await websocket.receive(timeout=max(min(expires, silent_at) - loop.time(), 0.001))
        except TimeoutError:
            expired = loop.time() >= expires
            words = b"ConnectionExpired: Reconnect to continue" if expired else b"inactive"
            await websocket.close(code=1000, message=words)
            return Ending.EXPIRED if expired else Ending.SILENT
        if message.type is aiohttp.WSMsgType.TEXT:
            if await handle(message.data):
                silent_at = loop.time() + random.uniform(*INACTIVITY)
        elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            code = websocket.close_code
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
        except (aiohttp.ClientError, APIError, TimeoutError, OSError, ValueError) as error:
            ending = Ending.UNREACHED if _is_unreached(error) else Ending.BROKEN
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
        if ending not in (Ending.BROKEN, Ending.UNREACHED) and lasted >= backoff.first:
            delay = backoff.first
            continue
        longest = UNREACHED_WAIT if ending is Ending.UNREACHED else backoff.last
        await asyncio.sleep(min(delay, longest) * random.uniform(1 - JITTER, 1 + JITTER))
        delay = min(delay * backoff.growth, longest)


def _is_unreached(error: BaseException) -> bool:
    """Whether no connection came about; a call says so in what caused its error. A wrong certificate is an answer."""
    while isinstance(error, APIError) and error.__cause__ is not None:
        error = error.__cause__
    unreached = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
    return unreached and not isinstance(error, aiohttp.ClientSSLError)
