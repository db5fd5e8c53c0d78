"""Activations are made, and machines join by them; ``revocations`` ends it.

A machine that joins again by the same activation (its answer was lost, its disk was wiped) is the same instance with a
new key, whether or not there is room for others; its old key is worth nothing from then on.
Source: Systems Manager API, CreateActivation; ECS developer guide, "Amazon ECS clusters for external instances".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hmac import compare_digest

from awsorch.core.errors import Refusal
from awsorch.core.events_registry import CreateActivation, JoinInstance
from awsorch.core.model_access import Activation, ExternalInstance
from awsorch.core.rules.clusters import active_cluster
from awsorch.core.state import RegistryState, Transaction

#: What can't be used any more stays listed for this long; then the next activation that is made takes its place.
#: Seconds.
RETENTION_S = 30 * 86400.0


def create_activation(tx: Transaction[RegistryState], event: CreateActivation) -> Activation:
    """A new activation of an ACTIVE cluster. Refused with what ECS says of other clusters."""
    cluster = active_cluster(tx.state, event.cluster)
    for record in list(_outlived(tx)):
        tx.remove(record)
    activation = Activation(
        id=event.id,
        cluster=cluster.name,
        code_digest=event.code_digest,
        limit=event.limit,
        attributes=event.attributes,
        created_by=event.created_by,
        created_at=tx.now,
        expires_at=tx.now + event.lifetime_seconds,
    )
    tx.put(activation)
    return activation


def join_instance(tx: Transaction[RegistryState], event: JoinInstance) -> ExternalInstance:
    """The machine's instance, with the event's key. Refused with InvalidActivation, which says why only to those who
    know the code."""
    activation = tx.state.activations.get(event.activation)
    if activation is None or not compare_digest(activation.code_digest, event.code_digest):
        raise _invalid(
            "The activation isn't valid: it was never made or has been forgotten, or the activation ID and the "
            "activation code don't match."
        )
    known = _joined_before(tx.state, event)
    status = activation.status(tx.now)
    if status in ("REVOKED", "EXPIRED") or (status == "SPENT" and known is None):
        raise _invalid(f"{_unusable(activation, status)} Make a new one with `awsorch activate`.")
    if known is not None and known.revoked_at is not None:
        raise _invalid(f"The access of this machine, {known.id}, was revoked. Make a new activation for it.")
    if known is not None:
        instance = replace(known, access_key_id=event.access_key_id, joined_at=tx.now)
    else:
        instance = ExternalInstance(
            id=event.instance_id,
            activation=activation.id,
            cluster=activation.cluster,
            fingerprint=event.fingerprint,
            access_key_id=event.access_key_id,
            joined_at=tx.now,
        )
        tx.put(replace(activation, joined=activation.joined + 1))
    tx.put(instance)
    return instance


def _joined_before(state: RegistryState, event: JoinInstance) -> ExternalInstance | None:
    joined = (state.external_instances[each] for each in state.instances_by_activation[event.activation])
    return next((each for each in joined if each.fingerprint == event.fingerprint), None)


def _unusable(activation: Activation, status: str) -> str:
    if status == "SPENT":
        machines = "one machine, which has" if activation.limit == 1 else f"{activation.limit} machines, which have"
        return f"Activation {activation.id} is spent: it was for {machines} joined."
    if status == "REVOKED":
        return f"Activation {activation.id} was revoked."
    expired = datetime.fromtimestamp(activation.expires_at, UTC).isoformat(timespec="seconds")
    return f"Activation {activation.id} expired at {expired}."


def _outlived(tx: Transaction[RegistryState]) -> Iterator[Activation | ExternalInstance]:
    """Instances revoked long ago, and activations out of use for as long by which no instance is there any more."""
    since = tx.now - RETENTION_S
    instances = tx.state.external_instances
    gone = {each.id for each in instances.values() if each.revoked_at is not None and each.revoked_at < since}
    yield from (instances[each] for each in gone)
    for activation in tx.state.activations.values():
        over = min(activation.expires_at, activation.revoked_at or activation.expires_at)
        if over < since and tx.state.instances_by_activation[activation.id] <= gone:
            yield activation


def _invalid(message: str) -> Refusal:
    return Refusal("InvalidActivation", message)
