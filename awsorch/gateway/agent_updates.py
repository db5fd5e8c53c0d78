"""Messages about agents' updates, and what the answers to them mean.

A message's id says what it was about, so that an answer is understood by whichever controller gets it.
Source: the agents' protocol, StageUpdateMessage and PerformUpdateMessage.
"""

from __future__ import annotations

from awsorch.core.arn import Scope
from awsorch.core.commands import UpdateAgent
from awsorch.core.events import AgentUpdateAnswered
from awsorch.gateway.control import Instance
from awsorch.wire import acs

STAGE, PERFORM = "stage-update-", "perform-update-"


def update_frame(scope: Scope, cluster: str, command: UpdateAgent) -> str:
    """The message that tells an agent."""
    kind = acs.PerformUpdateMessage if command.perform else acs.StageUpdateMessage
    package = command.package
    message = kind(
        cluster_arn=scope.arn(f"cluster/{cluster}"),
        container_instance_arn=scope.arn(f"container-instance/{cluster}/{command.instance_id}"),
        message_id=(PERFORM if command.perform else STAGE) + package.signature,
        update_info=acs.UpdateInfo(location=package.location, signature=package.signature),
    )
    return acs.encode_acs(message)


def update_answer(instance: Instance, message: acs.ACSMessage | None) -> AgentUpdateAnswered | None:
    """What an agent says of its update; None where the message is about something else."""
    if not isinstance(message, acs.AckRequest | acs.NackRequest):
        return None
    for prefix in (STAGE, PERFORM):
        if message.message_id.startswith(prefix):
            return AgentUpdateAnswered(
                cause=f"agent of {instance.id}",
                instance_id=instance.id,
                signature=message.message_id.removeprefix(prefix),
                performing=prefix == PERFORM,
                reason=(message.reason or "no reason given") if isinstance(message, acs.NackRequest) else None,
            )
    return None
