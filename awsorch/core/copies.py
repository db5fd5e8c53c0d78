"""The copy of a task definition that a cluster's partition holds goes with the last task or service revision of it."""

from __future__ import annotations

from typing import Any

from awsorch.core.model import Task
from awsorch.core.model_services import ServiceRevision
from awsorch.core.state import ClusterState, Transaction


def remove(tx: Transaction[ClusterState], record: Any) -> None:
    """Take a record out, and the copy of the task definition that nothing else has."""
    tx.remove(record)
    if not isinstance(record, Task | ServiceRevision):
        return
    state, definition = tx.state, record.definition
    used = state.task_index.by_definition[definition] or state.service_index.uses(definition)
    if definition in state.definitions and not used:
        tx.remove(state.definitions[definition])
