"""What a new task is to have from EC2 for itself, and where that lets it be.

Source: ECS API, Attachment, AwsVpcConfiguration; developer guide, "Task networking with the awsvpc network mode".
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.model import Constraint, Task
from awsorch.core.model_attachments import INTERFACE, Attachment, TaskNetwork
from awsorch.core.placement.strategies import ZONE
from awsorch.core.state import ClusterState, Transaction


def zone_constraints(network: TaskNetwork | None) -> tuple[Constraint, ...]:
    """A task with an interface of its own can only be where one of its subnets is."""
    if network is None:
        return ()
    zones = ", ".join(sorted(network.subnets))
    return (Constraint(type="memberOf", expression=f"attribute:{ZONE} in [{zones}]"),)


def wished(tx: Transaction[ClusterState], network: TaskNetwork | None) -> tuple[Attachment, ...]:
    """The attachments of a new task, which has no instance yet."""
    return (Attachment(id=tx.new_uuid(), type=INTERFACE),) if network is not None else ()


def at_its_instance(tx: Transaction[ClusterState], task: Task) -> Task:
    """A task that has just got its instance: PROVISIONING until it has its attachments, PENDING without any."""
    if not task.attachments:
        return replace(task, last_status="PENDING")
    assert task.network is not None
    subnet = task.network.subnets.get(task.zone or "", "")
    attachments = tuple(replace(each, since=tx.now, details={"subnetId": subnet}) for each in task.attachments)
    return replace(task, last_status="PROVISIONING", attachments=attachments)
