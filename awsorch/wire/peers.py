"""Finding out that the other machine is gone. One that vanished (its cable was pulled, its kernel stopped) says no
goodbye, and a connection on which nothing is sent would wait for it for ever.

The kernel asks, on both ends alike: it costs no wake-up here, however many connections there are.
"""

import socket
from typing import Protocol

#: It asks after an idle peer this long, then this often, and gives up after so many questions. Seconds.
PROBE_AFTER_S, PROBE_EVERY_S, PROBES = 3, 1, 2

#: How long a peer has been gone when that is found out on an idle connection. Seconds.
VANISHED_S = float(PROBE_AFTER_S + (PROBES - 1) * PROBE_EVERY_S)

_PROBING = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", PROBE_AFTER_S),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", PROBE_EVERY_S),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", PROBES),
    # What was sent and is not acknowledged in this time ends the connection, too. Milliseconds.
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", (PROBE_AFTER_S + PROBES * PROBE_EVERY_S) * 1000),
)


class Socket(Protocol):
    """A socket, or what asyncio shows of a transport's."""

    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def watch_peer(sock: Socket | None) -> None:
    """Have the kernel end this connection seconds after its peer vanished. Not every system has every option, and
    connections inside a machine need none; None is that of a transport which is closed already."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for level, name, value in _PROBING:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(level, option, value)
