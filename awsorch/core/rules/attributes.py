"""Custom attributes of container instances. Source: ECS API, PutAttributes, DeleteAttributes."""

from __future__ import annotations

from dataclasses import replace

from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events import DeleteAttributes, PutAttributes
from awsorch.core.model import ContainerInstance
from awsorch.core.state import ClusterState, Transaction

MAX_CUSTOM = 10


def put_attributes(tx: Transaction[ClusterState], event: PutAttributes) -> None:
    """Create or overwrite; all or none. What the agent and the control plane own (``ecs.…``) can't be set."""
    for instance_id, name, value in event.attributes:
        instance = attribute_target(tx.state, instance_id)
        custom = instance.custom
        if name not in custom:
            if name in instance.attributes or name.startswith("ecs."):
                raise invalid_parameter(f"Attribute {name} is reserved and cannot be overwritten.")
            if len(custom) == MAX_CUSTOM:
                raise Refusal(
                    "AttributeLimitExceededException",
                    f"You can apply up to {MAX_CUSTOM} custom attributes for each resource.",
                )
            custom = (*custom, name)
        tx.put(replace(instance, attributes={**instance.attributes, name: value}, custom=custom))


def delete_attributes(tx: Transaction[ClusterState], event: DeleteAttributes) -> list[tuple[str, str, str | None]]:
    """Take custom attributes out, where the value matches if one is given. Reply: the ones that were there."""
    deleted = []
    for instance_id, name, value in event.attributes:
        instance = attribute_target(tx.state, instance_id)
        if name not in instance.custom or (value is not None and instance.attributes[name] != value):
            continue
        deleted.append((instance_id, name, instance.attributes[name]))
        rest = {k: v for k, v in instance.attributes.items() if k != name}
        custom = tuple(other for other in instance.custom if other != name)
        tx.put(replace(instance, attributes=rest, custom=custom))
    return deleted


def attribute_target(state: ClusterState, instance_id: str) -> ContainerInstance:
    """The instance, or TargetNotFoundException."""
    instance = state.instances.get(instance_id)
    if instance is None or instance.status == "INACTIVE":
        raise Refusal("TargetNotFoundException", f"Could not find {instance_id}")
    return instance
