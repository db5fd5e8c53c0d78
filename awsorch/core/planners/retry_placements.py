"""Have services look again when there may be room: something was freed, or an instance came or changed.

Subject ``""``: the services that wait for room. Subject ``daemons``: those that wish to be on every instance.
"""

from __future__ import annotations

from awsorch.core.state import ClusterState, Transaction


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """Wake them; how many there are does not matter to the writer, each is a look of its own."""
    index = tx.state.service_index
    for name in index.daemons if subject == "daemons" else index.waiting:
        tx.wake(("keep_services", name))
