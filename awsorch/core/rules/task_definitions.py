"""Revisions of task definitions: counted per family, never used twice, never back to ACTIVE.

Source: ECS API, RegisterTaskDefinition, DeregisterTaskDefinition, DeleteTaskDefinitions; developer guide, "Task
definition states".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from awsorch.core.errors import Refusal, client_error
from awsorch.core.events_registry import (
    DeleteTaskDefinitions,
    DeregisterTaskDefinition,
    ForgetTaskDefinitions,
    RegisterTaskDefinition,
)
from awsorch.core.model import Family, TaskDefinition
from awsorch.core.state import RegistryState, Transaction

MAX_REVISIONS = 1_000_000
MISSING = "The specified task definition does not exist. Specify a valid account, family, revision and try again."
STILL_ACTIVE = "The specified task definition is still in ACTIVE status. Please deregister the target and try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedTaskDefinitions:
    """What DeleteTaskDefinitions did: the revisions that are going, and the reasons of the keys that stay."""

    definitions: tuple[TaskDefinition, ...]
    failures: Mapping[str, str]


def register_task_definition(tx: Transaction[RegistryState], event: RegisterTaskDefinition) -> TaskDefinition:
    """The next revision of the family. Each call makes one, even when nothing changed."""
    name = event.document["family"]
    family = tx.state.families.get(name)
    revision = family.last_revision + 1 if family is not None else 1
    if revision > MAX_REVISIONS:
        raise Refusal(
            "LimitExceededException", f"The family {name} has reached the limit of {MAX_REVISIONS} revisions."
        )
    definition = TaskDefinition(
        family=name,
        revision=revision,
        arn=event.scope.task_definition(name, revision),
        definition={member: value for member, value in event.document.items() if member != "family"},
        registered_at=tx.now,
        registered_by=event.registered_by,
        tags=event.tags,
    )
    tx.put(Family(name=name, last_revision=revision))
    tx.put(definition)
    return definition


def deregister_task_definition(tx: Transaction[RegistryState], event: DeregisterTaskDefinition) -> TaskDefinition:
    """The revision becomes INACTIVE; one that is INACTIVE already is answered as it is."""
    definition = tx.state.definitions.get(f"{event.family}:{event.revision}")
    if definition is None:
        raise client_error("Unable to deregister task definition.")
    if definition.status == "DELETE_IN_PROGRESS":
        raise client_error(
            "The task definition could not be deregistered because it is in the process of being deleted."
        )
    if definition.status == "ACTIVE":
        definition = replace(definition, status="INACTIVE", deregistered_at=tx.now)
        tx.put(definition)
    return definition


def delete_task_definitions(tx: Transaction[RegistryState], event: DeleteTaskDefinitions) -> DeletedTaskDefinitions:
    """INACTIVE revisions go to DELETE_IN_PROGRESS; ACTIVE and unknown ones are failures, not errors."""
    going, failures = [], {}
    for key in dict.fromkeys(event.keys):
        definition = tx.state.definitions.get(key)
        if definition is None:
            failures[key] = MISSING
        elif definition.status == "ACTIVE":
            failures[key] = STILL_ACTIVE
        else:
            if definition.status == "INACTIVE":
                definition = replace(definition, status="DELETE_IN_PROGRESS", delete_requested_at=tx.now)
                tx.put(definition)
            going.append(definition)
    return DeletedTaskDefinitions(definitions=tuple(going), failures=failures)


def forget_task_definitions(tx: Transaction[RegistryState], event: ForgetTaskDefinitions) -> tuple[str, ...]:
    """Takes out revisions that were being deleted; the family goes on counting."""
    gone = []
    for key in event.keys:
        definition = tx.state.definitions.get(key)
        if definition is not None and definition.status == "DELETE_IN_PROGRESS":
            tx.remove(definition)
            gone.append(key)
    return tuple(gone)
