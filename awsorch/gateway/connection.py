"""A websocket as the gateway uses it: send and close without waiting, give up on a peer that reads nothing.

No task waits for an idle connection; one sends while there is something to send.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any

from aiohttp import WSMsgType, web

from awsorch.wire.peers import VANISHED_S, watch_peer

#: The largest message that is taken from an agent. Bytes.
MESSAGE_LIMIT = 1024 * 1024
#: An agent that does not take what it is sent for this long is cut off. Seconds.
SEND_TIMEOUT_S = 30.0
#: A closing handshake takes no longer than this. Seconds.
CLOSE_TIMEOUT_S = 3.0

#: How a connection ends whose peer does not answer any more.
_NO_ANSWER = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)

#: Close codes: an agent comes back at once after GOING_AWAY, and after a pause after the others.
GOING_AWAY = 1001
REFUSED = 1008
TRY_LATER = 1013

_BY_TRANSPORT: dict[asyncio.BaseTransport | None, Connection] = {}
_KEPT: set[asyncio.Task[None]] = set()


class DoorServer(web.Server):
    """An HTTP server that tells connections whose peer vanished from those that ended."""

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """The kernel gave up on a peer, or the peer said goodbye."""
        connection = _BY_TRANSPORT.get(handler.transport)
        if connection is not None and isinstance(exc, OSError) and exc.errno in _NO_ANSWER:
            connection.silent_for = VANISHED_S
        super().connection_lost(handler, exc)


class Connection:
    """One accepted websocket."""

    __slots__ = ("_queue", "_sending", "_transport", "_ws", "silent_for")

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._ws = ws
        self._transport = transport
        self._queue: deque[str] | None = None
        self._sending = False
        self.silent_for = 0.0  # how long the peer had been gone when that was found out, in seconds

    @classmethod
    async def accept(cls, request: web.BaseRequest) -> Connection:
        """Complete the upgrade. Raises web.HTTPException where the request is no upgrade."""
        ws = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, max_msg_size=MESSAGE_LIMIT, compress=False, autoclose=True, autoping=True
        )
        await ws.prepare(request)
        watch_peer(request.transport.get_extra_info("socket") if request.transport is not None else None)
        connection = cls(ws, request.transport)
        if request.transport is not None:
            _BY_TRANSPORT[request.transport] = connection
        return connection

    @property
    def response(self) -> web.WebSocketResponse:
        """What the HTTP handler has to return when the conversation is over."""
        return self._ws

    async def texts(self) -> AsyncIterator[str]:
        """The text messages that come, until the connection ends. Anything else but text is passed over."""
        try:
            async for message in self._ws:
                if message.type is WSMsgType.TEXT:
                    yield message.data
        finally:
            _BY_TRANSPORT.pop(self._transport, None)

    def send(self, *frames: str) -> None:
        """Send these text frames after those that were sent before; nothing happens on a closed connection."""
        if self._ws.closed or not frames:
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.extend(frames)
        if not self._sending:
            self._sending = True
            _keep(self._send_all())

    async def deliver(self, frame: str) -> None:
        """Send one small frame, at once where nothing is in its way: ten thousand heartbeats need no tasks then."""
        if self._sending or self._transport is None or self._transport.get_write_buffer_size():
            self.send(frame)
        elif not self._ws.closed:
            try:
                await self._ws.send_str(frame)
            except ConnectionError:
                pass  # as in _send_all

    def close(self, code: int, reason: str) -> asyncio.Task[None]:
        """End the connection; a peer that does not answer is cut off. The task ends when the connection has."""
        return _keep(self._close(code, reason))

    def cut(self, silent_for: float = 0.0) -> None:
        """End the connection without a word: nobody listens, nor has for so many seconds."""
        self.silent_for = silent_for
        if self._transport is not None:
            self._transport.abort()

    async def _send_all(self) -> None:
        try:
            while self._queue:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._ws.send_str(self._queue.popleft())
        except TimeoutError:
            self.cut()
        except ConnectionError:
            pass  # the reader sees the end of the connection as well, and there it is dealt with
        finally:
            self._queue = None
            self._sending = False

    async def _close(self, code: int, reason: str) -> None:
        # A close frame carries at most 123 bytes of reason.
        await self._ws.close(code=code, message=reason.encode()[:123])


async def close_connections(connections: Iterable[Connection]) -> None:
    """End them all, because the controller stops."""
    closing = [connection.close(GOING_AWAY, "The controller stops.") for connection in connections]
    if closing:
        await asyncio.wait(closing, timeout=CLOSE_TIMEOUT_S)


def _keep(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run it; the event loop itself holds on to its tasks only weakly."""
    task = asyncio.get_running_loop().create_task(coroutine)
    _KEPT.add(task)
    task.add_done_callback(_KEPT.discard)
    return task
