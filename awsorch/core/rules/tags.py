"""TagResource and UntagResource on any record that has tags. Source: ECS API, TagResource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from awsorch.core.errors import Refusal, cluster_not_found, invalid_parameter
from awsorch.core.events import SetTags
from awsorch.core.model import Cluster, ContainerInstance, Task, TaskDefinition
from awsorch.core.model_capacity import CapacityProvider
from awsorch.core.model_services import Service
from awsorch.core.state import State, Transaction
from awsorch.core.tags import merge_tags, without_tags

KINDS: Mapping[str, type[Any]] = {
    "cluster": Cluster,
    "task-definition": TaskDefinition,
    "task": Task,
    "container-instance": ContainerInstance,
    "service": Service,
    "capacity-provider": CapacityProvider,
}
_GONE = {
    "cluster": "The specified cluster is inactive. Specify an active cluster and try again.",
    "task": "The specified task is stopped. Specify a running task and try again.",
    "container-instance": "The specified container instance is inactive. "
    "Specify an active container instance and try again.",
    "service": "The specified service is inactive. Specify an active service and try again.",
    "capacity-provider": "The specified capacity provider is inactive. "
    "Specify an active capacity provider and try again.",
}


def set_tags(tx: Transaction[State], event: SetTags) -> None:
    """Merge ``put`` into the record's tags and take out ``remove``; unknown keys to remove are no error."""
    record = taggable(tx.state, event.kind, event.key)
    tags = merge_tags(without_tags(record.tags, event.remove), event.put)
    if tags != record.tags:
        tx.put(replace(record, tags=tags))


def taggable(state: State, kind: str, key: str) -> Any:
    """The record that a tagging operation names; refused where it is gone or can't be tagged any more."""
    record = state.tables[KINDS[kind]].get(key)
    if record is None:
        if kind == "cluster":
            raise cluster_not_found()
        raise Refusal("ResourceNotFoundException", f"The specified {kind.replace('-', ' ')} was not found.")
    status = record.last_status if isinstance(record, Task) else record.status
    if kind in _GONE and status in ("STOPPED", "DELETED", "INACTIVE"):
        raise invalid_parameter(_GONE[kind])
    return record
