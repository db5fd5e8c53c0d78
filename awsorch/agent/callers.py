"""Connections, so many at once for each caller: one that floods its agent must not take the files that all share.

How often who is connected may ask is limited elsewhere (`rates`); those that ask nothing are closed by the server after
a while.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

CONNECTIONS = 128
"""More than ECS's burst of calls, and than a front has."""

Connect = Callable[[], asyncio.Protocol]


class PerCaller:
    """Makes the protocols of a server's connections. A caller that has `most` is refused more, without a word."""

    def __init__(self, connect: Connect, most: int = CONNECTIONS) -> None:
        self._connect = connect
        self._most = most
        self._open: Counter[str] = Counter()

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self)

    def admit(self, caller: str) -> asyncio.Protocol | None:
        """What speaks with a caller from now on; None if it may not connect."""
        if self._open[caller] >= self._most:
            return None
        self._open[caller] += 1
        return self._connect()

    def leave(self, caller: str) -> None:
        """A connection that was admitted has ended."""
        self._open[caller] -= 1
        if not self._open[caller]:
            del self._open[caller]


class _Connection(asyncio.Protocol):
    """Passes everything on to whoever speaks with the caller."""

    def __init__(self, callers: PerCaller) -> None:
        self._callers = callers
        self._caller = ""
        self._inner: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._caller = (transport.get_extra_info("peername") or ("",))[0]
        self._inner = self._callers.admit(self._caller)
        if self._inner is None:
            transport.abort()
        else:
            self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._inner is not None:
            self._callers.leave(self._caller)
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
