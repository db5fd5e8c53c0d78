"""Which networks a local cloud has on this machine: a loopback /16 for its load balancers and for instances that share
the machine's network, and 10.N.0.0/16, with the same number, for instances that have networks of their own.
"""

from __future__ import annotations

import socket
from pathlib import Path

from awsorch.local.addresses import claim_network
from awsorch.local.instances import LocalNetwork
from awsorch.local.netns_switch import is_free, prefix_beside
from awsorch.local.options import CannotStart, Hosts


def claim_networks(known: LocalNetwork | None, hosts: Hosts, data: Path) -> tuple[str, socket.socket]:
    """Take a cloud's networks: the prefix of the loopback one, and what holds both numbers until it is closed.

    ``known`` is the network in which its instances have addresses already. Raises CannotStart.
    """
    apart = hosts == "netns"
    if known is not None and apart == known.prefix.startswith("127."):
        other = "loopback" if apart else "netns"
        raise CannotStart(
            f"the instances in {data} are of --hosts {other}: start it so, or give another folder with --data"
        )
    loopback = None if known is None else f"127.{known.prefix.rpartition('.')[2]}"
    if apart and loopback is not None and not is_free(prefix_beside(loopback)):
        raise CannotStart(
            f"the network {prefix_beside(loopback)}.0.0/16 of this cloud's instances leads elsewhere now: "
            "take that route away, or start on another data folder"
        )
    try:
        return claim_network(loopback, str(data), lambda each: not apart or is_free(prefix_beside(each)))
    except OSError as error:
        raise CannotStart(error.strerror or str(error)) from error
