"""Host ports of containers: which are taken, and which to give to mappings that leave the choice to the agent.

As in the official agent, the agent (not Docker) chooses: one after the other from a range, each tried out on the
host, so the number is known before the container exists. A range of container ports gets one block.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_KERNEL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_RANGE = (49153, 65535)

Probe = Callable[[int, str], bool]


class NoPortError(Exception):
    """There is no free port, or no free block that is long enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """`count` ports of the container, from `container_port` on, at as many of the host's."""

    container_port: int
    host_port: int
    protocol: str
    bind_ip: str
    count: int = 1
    is_range: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`host_port` 0: any."""

    container_port: int
    protocol: str
    host_port: int = 0
    count: int = 1
    is_range: bool = False


class Ports:
    """The ports that this agent has given out, on one address of the host."""

    def __init__(self, address: str, span: tuple[int, int], probe: Probe) -> None:
        self._address = address
        self._first, self._last = span
        self._next = self._first
        self._probe = probe
        self._taken: set[tuple[int, str]] = set()

    def take(self, wanted: Iterable[Wanted]) -> tuple[Binding, ...]:
        """Bindings for all mappings of a container, or NoPortError and none of them taken."""
        bindings: list[Binding] = []
        try:
            for each in wanted:
                bindings.append(self._take_one(each))
        except NoPortError:
            self.release(bindings)
            raise
        return tuple(bindings)

    def hold(self, bindings: Iterable[Binding]) -> None:
        """Mark the ports of a container that was found again."""
        for each in bindings:
            self._taken.update(_ports_of(each))

    def release(self, bindings: Iterable[Binding]) -> None:
        for each in bindings:
            self._taken.difference_update(_ports_of(each))

    def _take_one(self, wanted: Wanted) -> Binding:
        host_port = wanted.host_port or self._find(wanted.count, wanted.protocol)
        binding = Binding(
            container_port=wanted.container_port,
            host_port=host_port,
            protocol=wanted.protocol,
            bind_ip=self._address,
            count=wanted.count,
            is_range=wanted.is_range,
        )
        self.hold((binding,))
        return binding

    def _find(self, count: int, protocol: str) -> int:
        """The first port of a free block, searched once around from the last one given."""
        size = self._last - self._first + 1
        run = 0
        port = self._next
        for _ in range(size + count):
            if port > self._last:
                port, run = self._first, 0
            run = run + 1 if self._is_free(port, protocol) else 0
            port += 1
            if run == count:
                self._next = port
                return port - count
        what = f"{count} free {protocol} ports in a row" if count > 1 else f"a free {protocol} port"
        raise NoPortError(f"no host port: the range {self._first}-{self._last} does not have {what}")

    def _is_free(self, port: int, protocol: str) -> bool:
        return (port, protocol) not in self._taken and self._probe(port, protocol)


def _ports_of(binding: Binding) -> set[tuple[int, str]]:
    return {(binding.host_port + offset, binding.protocol) for offset in range(binding.count)}


def default_range() -> tuple[int, int]:
    """The kernel's range for ephemeral ports, or the one that IANA sets aside."""
    try:
        first, last = _KERNEL_RANGE.read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return _DEFAULT_RANGE


def host_probe(address: str) -> Probe:
    """Tries a port by binding it on `address`."""

    def is_free(port: int, protocol: str) -> bool:
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as tried:
            if protocol == "tcp":
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((address, port))
                if protocol == "tcp":
                    tried.listen(1)
            except OSError:
                return False
        return True

    return is_free


def always_free(port: int, protocol: str) -> bool:
    """The probe of hosts that are simulated."""
    return True
