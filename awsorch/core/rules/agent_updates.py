"""Updates of agents: asked for, answered by the agent, and settled by what connects afterwards.

Source: ECS API, UpdateContainerAgent and ContainerInstance.agentUpdateStatus. What an agent is, it says by the hash
that it connects with: ``awsorch-<version>``; any other is not ours to update.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.errors import Refusal, client_error
from awsorch.core.events import AgentUpdateAnswered, AskAgentUpdate
from awsorch.core.model import AgentUpdate, ContainerInstance
from awsorch.core.state import ClusterState, Transaction

HASH_PREFIX = "awsorch-"
#: An agent that has to do something about an update.
ON_THE_WAY = ("PENDING", "STAGING", "STAGED", "UPDATING")


def ask_agent_update(tx: Transaction[ClusterState], event: AskAgentUpdate) -> ContainerInstance:
    """PENDING; ``planners/update_agents`` does the rest. Raises UpdateInProgressException, MissingVersionException, or
    NoUpdateAvailableException with what there is no update for."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is None or instance.status == "INACTIVE":
        raise client_error(f"Referenced container instance {event.instance_id} not found.")
    if instance.agent_update_status in ON_THE_WAY:
        raise Refusal(
            "UpdateInProgressException",
            f"An update of the container agent is in progress ({instance.agent_update_status}).",
        )
    running = instance.agent_hash or ""
    if not running and not instance.agent_version:
        raise Refusal("MissingVersionException", "The version of the container agent is not known.")
    if event.package is None:
        raise _no_update(instance, "the controller has no package of a newer one (AWSORCH_AGENT_PACKAGE)")
    if not running.startswith(HASH_PREFIX):
        raise _no_update(instance, "it is not awsorch's own agent")
    if running == HASH_PREFIX + event.package.version:
        raise _no_update(instance, f"it is awsorch {event.package.version} already")
    update = AgentUpdate(package=event.package, asked_at=tx.now)
    instance = replace(instance, agent_update=update, agent_update_status="PENDING", version=instance.version + 1)
    tx.put(instance)
    return instance


def _no_update(instance: ContainerInstance, why: str) -> Refusal:
    known = f" (version {instance.agent_version})" if instance.agent_version else ""
    return Refusal(
        "NoUpdateAvailableException", f"There is no update available for your container agent{known}: {why}."
    )


def agent_update_answered(tx: Transaction[ClusterState], event: AgentUpdateAnswered) -> None:
    """The agent did what it was told, or says why it can't. Answers about another package are no news."""
    instance = tx.state.instances.get(event.instance_id)
    if instance is None or instance.agent_update is None or instance.agent_update_status not in ON_THE_WAY:
        return
    if instance.agent_update.package.signature != event.signature:
        return
    if event.reason is not None:
        _set(tx, instance, "FAILED")
    elif event.performing:
        _set(tx, instance, "UPDATING")
    elif instance.agent_update_status != "UPDATING":
        _set(tx, instance, "STAGED")


def settled(instance: ContainerInstance) -> ContainerInstance:
    """The instance as its agent connects: UPDATED by what was wished for; FAILED by anything else that came up after it
    began to change itself (it went back, and may yet come up with the new one: that counts)."""
    update = instance.agent_update
    if update is None or instance.agent_update_status == "UPDATED":
        return instance
    if instance.agent_hash == HASH_PREFIX + update.package.version:
        return replace(instance, agent_update_status="UPDATED")
    if instance.agent_update_status == "UPDATING":
        return replace(instance, agent_update_status="FAILED")
    return instance


def _set(tx: Transaction[ClusterState], instance: ContainerInstance, status: str) -> None:
    if instance.agent_update_status != status:
        tx.put(replace(instance, agent_update_status=status, version=instance.version + 1))
