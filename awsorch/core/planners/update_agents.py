"""Bring an agent's update on: tell it to stage the package, then to change to it, until it says what came of it.

Whatever was lost on the way is sent again; an update that comes to nothing for ``PATIENCE_S`` has failed.
Source: the agents' protocol, StageUpdateMessage and PerformUpdateMessage.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.commands import UpdateAgent
from awsorch.core.rules.agent_updates import ON_THE_WAY
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RESEND_AFTER_S

#: A package may have to come over a slow network; an instance may be away. Seconds.
PATIENCE_S = 1800.0


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """One instance, by its id."""
    instance = tx.state.instances.get(subject)
    if instance is None or instance.status == "INACTIVE" or instance.agent_update is None:
        return
    if instance.agent_update_status not in ON_THE_WAY:
        return
    key = ("update_agents", subject)
    given_up = instance.agent_update.asked_at + PATIENCE_S
    if tx.now >= given_up:
        tx.put(replace(instance, agent_update_status="FAILED", version=instance.version + 1))
        return
    tx.wake(key, given_up)
    if not instance.agent_connected or instance.agent_update_status == "UPDATING":
        return
    tx.wake(key, tx.now + RESEND_AFTER_S)
    package, perform = instance.agent_update.package, instance.agent_update_status == "STAGED"
    tx.send(UpdateAgent(instance_id=subject, package=package, perform=perform))
    if instance.agent_update_status == "PENDING":
        tx.put(replace(instance, agent_update_status="STAGING", version=instance.version + 1))
