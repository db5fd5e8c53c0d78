"""What a new task is to have from EC2 for itself, and where that lets it be.

Source: ECS API, Attachment, AwsVpcConfiguration; developer guide, "Task networking with the awsvpc network mode".
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.events import TaskTemplate
from awsorch.core.model import Constraint, Task
from awsorch.core.model_attachments import INTERFACE, VOLUME, Attachment, TaskNetwork
from awsorch.core.placement.strategies import ZONE
from awsorch.core.state import ClusterState, Transaction


def zone_constraints(network: TaskNetwork | None) -> tuple[Constraint, ...]:
    """A task with an interface of its own can only be where one of its subnets is."""
    if network is None:
        return ()
    zones = ", ".join(sorted(network.subnets))
    return (Constraint(type="memberOf", expression=f"attribute:{ZONE} in [{zones}]"),)


def wished(tx: Transaction[ClusterState], template: TaskTemplate) -> tuple[Attachment, ...]:
    """The attachments of a new task, which has no instance yet."""
    kinds = ((INTERFACE, template.network), (VOLUME, template.volume))
    return tuple(Attachment(id=tx.new_uuid(), type=kind) for kind, wish in kinds if wish is not None)


def at_its_instance(tx: Transaction[ClusterState], task: Task) -> Task:
    """A task that has just got its instance: PROVISIONING until it has its attachments, PENDING without any."""
    if not task.attachments:
        return replace(task, last_status="PENDING")
    attachments = tuple(replace(each, since=tx.now, details=_details(task, each)) for each in task.attachments)
    return replace(task, last_status="PROVISIONING", attachments=attachments)


def _details(task: Task, attachment: Attachment) -> dict[str, str]:
    """What is known of it before EC2 has made it."""
    if attachment.type == INTERFACE:
        assert task.network is not None
        return {"subnetId": task.network.subnets.get(task.zone or "", "")}
    assert task.volume is not None
    deletes = str(task.volume.deletes).lower()
    return {"roleArn": task.volume.role_arn, "volumeName": task.volume.name, "deleteOnTermination": deletes}
