"""Access that ends: an activation's, an external instance's, and with a cluster everybody's who belongs to it.

Source: Systems Manager API, DeleteActivation, DeregisterManagedInstance.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.errors import Refusal
from awsorch.core.events_registry import RevokeAccess
from awsorch.core.model_access import Activation, ExternalInstance, is_external
from awsorch.core.state import RegistryState, Transaction


def revoke_access(tx: Transaction[RegistryState], event: RevokeAccess) -> Activation | ExternalInstance:
    """Nobody joins by this activation any more, or this instance's key is worth nothing any more. Again is no change.

    Instances that an activation has let in keep their access: each is revoked by its own id.
    """
    table = tx.state.external_instances if is_external(event.id) else tx.state.activations
    record: Activation | ExternalInstance | None = table.get(event.id)
    if record is None:
        raise Refusal("InvalidActivationId", f"{event.id} is neither an activation nor an external instance.")
    if record.revoked_at is None:
        record = replace(record, revoked_at=tx.now)
        tx.put(record)
    return record


def revoke_cluster(tx: Transaction[RegistryState], cluster: str) -> None:
    """The cluster is deleted: one that is made under its name later is none of these machines' business."""
    for table in (tx.state.activations, tx.state.external_instances):
        for record in [each for each in table.values() if each.cluster == cluster and each.revoked_at is None]:
            tx.put(replace(record, revoked_at=tx.now))
