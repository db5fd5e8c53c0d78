"""Have those look again who wait for room: something was freed, or an instance came or changed.

Subject ``""``: the services that wait for room, tasks in PROVISIONING, and providers whose machines may be idle now.
Subject ``daemons``: those that wish to be on every instance.
"""

from __future__ import annotations

from awsorch.core.state import ClusterState, Transaction

#: Machines are looked at this long after something was freed: much is freed at once, and none of it is urgent. Seconds.
SETTLE_S = 1.0


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """Wake them; how many there are does not matter to the writer, each is a look of its own."""
    index = tx.state.service_index
    for name in index.daemons if subject == "daemons" else index.waiting:
        tx.wake(("keep_services", name))
    if subject == "daemons":
        return
    for name in tx.state.providers:
        if tx.state.capacity_index.waiting(name):
            tx.wake(("place_tasks", name))
        if tx.state.capacity_index.machines(name):
            tx.wake(("end_machines", name), tx.now + SETTLE_S)
