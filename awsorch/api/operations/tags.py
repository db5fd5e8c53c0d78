"""TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from awsorch.api.calls import Answer, Call, operation
from awsorch.core.arn import parse_arn
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.events import SetTags
from awsorch.core.rules.tags import KINDS, taggable
from awsorch.core.state import ClusterState, RegistryState
from awsorch.core.tags import parse_tags, tag_list
from awsorch.engine.partition import Partition

_IN_REGISTRY = ("cluster", "task-definition", "capacity-provider")


@operation("TagResource")
async def tag_resource(call: Call) -> Answer:
    """Merge tags; existing keys get the new value."""
    partition, kind, key = await _target(call)
    put = parse_tags(call.request["tags"])
    await _submit(call, partition, SetTags(cause=call.cause, kind=kind, key=key, put=put))
    return {}


@operation("UntagResource")
async def untag_resource(call: Call) -> Answer:
    """Take tags out; unknown keys are ignored."""
    partition, kind, key = await _target(call)
    event = SetTags(cause=call.cause, kind=kind, key=key, remove=tuple(call.request["tagKeys"]))
    await _submit(call, partition, event)
    return {}


@operation("ListTagsForResource")
async def list_tags_for_resource(call: Call) -> Answer:
    """All tags of a resource. Unlike the other two this operation declares no ResourceNotFoundException."""
    partition, kind, key = await _target(call)
    try:
        return {"tags": tag_list(await _tags(partition, kind, key))}
    except Refusal as refusal:
        if refusal.code == "ResourceNotFoundException":
            raise invalid_parameter(refusal.message) from None
        raise


async def _submit(call: Call, partition: Partition[RegistryState] | Partition[ClusterState], event: SetTags) -> None:
    if event.kind == "capacity-provider":
        await call.controller.attachments.set_tags(event)
    else:
        await partition.submit(event)


async def _tags(partition: Partition[RegistryState] | Partition[ClusterState], kind: str, key: str) -> dict[str, str]:
    return dict(await partition.read(lambda state: taggable(state, kind, key).tags))


async def _target(call: Call) -> tuple[Partition[RegistryState] | Partition[ClusterState], str, str]:
    text = call.request["resourceArn"]
    arn = parse_arn(text)
    if arn is None or (arn.region, arn.account) != (call.scope.region, call.scope.account) or arn.kind not in KINDS:
        raise invalid_parameter("The ARN provided is invalid.")
    if arn.kind in _IN_REGISTRY:
        if len(arn.path) != 1:
            raise invalid_parameter("The ARN provided is invalid.")
        return call.registry, arn.kind, arn.path[0]
    if len(arn.path) != 2:
        raise invalid_parameter(f"Long arn format must be used for tagging operations: {arn.kind}/<cluster name>/<id>.")
    _, partition = await call.partition_named(arn.path[0])
    return partition, arn.kind, arn.path[1]
