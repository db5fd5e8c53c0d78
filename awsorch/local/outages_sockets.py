"""Ends another process's connections without its doing: what a stopped process cannot close stays open, since the
kernel goes on acknowledging for it, and nobody would take its host for cut off.

Only of processes that are this one's children. Linux 5.6 or later (pidfd_getfd).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_PIDFD_GETFD = 438
"""The same on every architecture."""


def hang_up(process_id: int, port: int) -> int:
    """End the TCP connections of a process to a port; how many. Raises OSError where the kernel does not allow it."""
    ended = 0
    process = os.pidfd_open(process_id)
    try:
        for entry in Path(f"/proc/{process_id}/fd").iterdir():
            if _is_socket(entry):
                with socket.socket(fileno=_borrow(process, int(entry.name))) as borrowed:
                    ended += _end(borrowed, port)
    finally:
        os.close(process)
    return ended


def _is_socket(entry: Path) -> bool:
    try:
        return str(entry.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False


def _borrow(process: int, descriptor: int) -> int:
    """A descriptor of ours for a socket of another process."""
    borrowed = _LIBC.syscall(_SYS_PIDFD_GETFD, process, descriptor, 0)
    if borrowed < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(borrowed)


def _end(borrowed: socket.socket, port: int) -> bool:
    if borrowed.family not in (socket.AF_INET, socket.AF_INET6) or borrowed.type != socket.SOCK_STREAM:
        return False
    with contextlib.suppress(OSError):  # one that listens, or has just ended
        if borrowed.getpeername()[1] == port:
            borrowed.shutdown(socket.SHUT_RDWR)
            return True
    return False
