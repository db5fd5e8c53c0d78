"""Where load balancers listen: a loopback address for each, and the ports of their listeners.

An address is kept until its load balancer is deleted, so that clients that resolved it once may keep it. Addresses are
in the part of the cloud's own loopback network that no zone's subnet has. A listener gets its own port where this
process may bind it, else the nearest that it may.
"""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Collection

from awsorch.local.instances import ZONE_STEP, ZONES

_PER_OCTET = 250
_FIRST_SUBSTITUTE = 8000
"""A listener that cannot have its port gets this much more: 8080 for 80, 8443 for 443."""
_MAX_LOAD_BALANCERS = _PER_OCTET * (256 - ZONE_STEP * ZONES)
_PROBE = "255.255"
"""The end of an address that no load balancer gets: on their own, ports may still be held by listeners just deleted."""


class AddressBook:
    """Addresses by load balancer and ports by listener, inside the network with a prefix ("127.N")."""

    def __init__(self, connection: sqlite3.Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self._numbers: dict[str, int] = dict(connection.execute("SELECT load_balancer, number FROM addresses"))
        self._ports: dict[str, int] = dict(connection.execute("SELECT listener, port FROM ports"))

    def address(self, load_balancer: str) -> str:
        """The address of a load balancer, given now where it has none. Raises OSError when there is none left,
        sqlite3.Error.
        """
        number = self._numbers.get(load_balancer)
        if number is None:
            taken = set(self._numbers.values())
            number = next((each for each in range(_MAX_LOAD_BALANCERS) if each not in taken), None)
            if number is None:
                raise OSError(f"all {_MAX_LOAD_BALANCERS} addresses for load balancers are given away")
            with self._connection:
                self._connection.execute("REPLACE INTO addresses VALUES (?, ?)", (load_balancer, number))
            self._numbers[load_balancer] = number
        third = ZONE_STEP * ZONES + number // _PER_OCTET
        return f"{self._prefix}.{third}.{1 + number % _PER_OCTET}"

    def port(self, listener: str, wanted: int, taken: Collection[int]) -> int:
        """The port of a listener: the one it has, its own, or another that is free and not among those taken. Raises
        sqlite3.Error.
        """
        known = self._ports.get(listener)
        if known is not None and known not in taken:
            return known
        port = wanted
        if wanted in taken or not self._may_bind(wanted):
            substitutes = range(_FIRST_SUBSTITUTE + wanted % _FIRST_SUBSTITUTE, 65536)
            port = next((each for each in substitutes if each not in taken and self._may_bind(each)), wanted)
        with self._connection:
            self._connection.execute("REPLACE INTO ports VALUES (?, ?)", (listener, port))
        self._ports[listener] = port
        return port

    def known_port(self, listener: str) -> int | None:
        """The port that a listener has been given."""
        return self._ports.get(listener)

    def known_address(self, load_balancer: str) -> str | None:
        """The address that a load balancer has been given."""
        return self.address(load_balancer) if load_balancer in self._numbers else None

    def keep_only(self, load_balancers: Collection[str], listeners: Collection[str]) -> None:
        """Take back what others than these have. Raises sqlite3.Error."""
        for load_balancer in [each for each in self._numbers if each not in load_balancers]:
            self.forget(load_balancer)
        gone = [each for each in self._ports if each not in listeners]
        with self._connection:
            self._connection.executemany("DELETE FROM ports WHERE listener = ?", [(each,) for each in gone])
        for each in gone:
            del self._ports[each]

    def forget(self, load_balancer: str) -> None:
        """Take back the address of one load balancer. Raises sqlite3.Error."""
        with self._connection:
            self._connection.execute("DELETE FROM addresses WHERE load_balancer = ?", (load_balancer,))
        self._numbers.pop(load_balancer, None)

    def _may_bind(self, port: int) -> bool:
        """Whether this process may listen on a port, and nobody listens on it on all addresses."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((f"{self._prefix}.{_PROBE}", port))
            except OSError:
                return False
        return True
