"""Which /16 of the loopback network is a local cloud's own. Its instances have their addresses there.

Several clouds may run on one machine, each from its own data folder. A cloud holds its network by listening on the
network's first address for as long as it runs, so two clouds never share one, whatever their folders are called.
"""

from __future__ import annotations

import errno
import socket
import zlib
from collections.abc import Callable

CLAIM_PORT = 16924
_FIRST = 16
_NETWORKS = 200


def claim_network(
    known: str | None, name: str, is_usable: Callable[[str], bool] = lambda _: True
) -> tuple[str, socket.socket]:
    """The network's prefix ("127.N") and the socket that holds it until it is closed.

    ``known`` is the network that the cloud had before: its instances have addresses there, so it takes no other. A new
    cloud begins to look where its ``name`` says, so that it usually gets the same one again;
    ``is_usable`` says which prefixes it may take.
    Raises OSError where the known network, or every network, is taken.
    """
    start = zlib.crc32(name.encode()) % _NETWORKS
    wanted = [known] if known else [f"127.{_FIRST + (start + step) % _NETWORKS}" for step in range(_NETWORKS)]
    for prefix in filter(is_usable, wanted):
        claim = socket.socket()
        try:
            claim.bind((f"{prefix}.0.1", CLAIM_PORT))
            claim.listen(1)
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return prefix, claim
    raise OSError(
        errno.EADDRINUSE,
        f"the loopback network {known}.0.0/16 of this cloud's instances is in use by another local cloud; "
        "stop that one, or start this one on another data folder"
        if known
        else "every loopback network for local clouds is in use; stop one of them",
    )
