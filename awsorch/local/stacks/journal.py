"""Writes down what happens to one stack: statuses, resources, and the events that say so."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from awsorch.local.stacks.parameters import HIDDEN
from awsorch.local.stacks.records import Event, Operation, Resource, Stack
from awsorch.local.stacks.store import StackStore

STACK_TYPE = "AWS::CloudFormation::Stack"


class Journal:
    """One stack in the store. Every write raises sqlite3.Error where the disk does not take it."""

    def __init__(self, store: StackStore, stack_id: str, clock: Callable[[], float]) -> None:
        self.store = store
        self.stack_id = stack_id
        self._clock = clock

    @property
    def stack(self) -> Stack:
        """The stack as it stands."""
        return self.store.get(self.stack_id)

    @property
    def operation(self) -> Operation:
        """What is under way."""
        operation = self.stack.operation
        assert operation is not None, f"nothing is being done to {self.stack_id}"
        return operation

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def status(self, status: str, reason: str = "", **changes: Any) -> None:
        """The stack is in this status now."""
        stack = replace(self.stack, status=status, reason=reason, **changes)
        self.store.put(stack, self._event(stack.name, stack.id, STACK_TYPE, status, reason))

    def amend(self, **changes: Any) -> None:
        """Change what is known of the stack."""
        self.store.put(replace(self.stack, **changes))

    def advance(self, **changes: Any) -> None:
        """Change what is known of the operation."""
        self.amend(operation=replace(self.operation, **changes))

    def tell(self, resource: Resource, status: str, reason: str = "", **changes: Any) -> Resource:
        """A resource is in this status now; answers it as it is kept."""
        told = replace(resource, status=status, reason=reason, updated_at=self.now(), **changes)
        event = self._event(told.logical_id, told.physical_id, told.type, status, reason, told.model)
        self.store.put(told, event, stack_id=self.stack_id)
        return told

    def note(self, resource: Resource) -> Resource:
        """Keep a resource without saying so."""
        self.store.put(resource, stack_id=self.stack_id)
        return resource

    def _shown(self, model: Mapping[str, Any]) -> str:
        """Properties as events have them: without what a custom resource has said to hide."""
        text = json.dumps(model)
        secret = [each for each in self.store.resources(self.stack_id).values() if each.secret]
        for value in (str(value) for each in secret for value in each.attributes.values() if value):
            text = text.replace(json.dumps(value)[1:-1], HIDDEN)
        return text

    def _event(
        self,
        logical_id: str,
        physical_id: str,
        type: str,
        status: str,
        reason: str,
        model: Mapping[str, Any] | None = None,
    ) -> Event:
        operation = self.stack.operation
        return Event(
            id=str(uuid.uuid4()) if type == STACK_TYPE else f"{logical_id}-{status}-{uuid.uuid4()}",
            stack_id=self.stack_id,
            stack_name=self.stack.name,
            logical_id=logical_id,
            physical_id=physical_id,
            type=type,
            status=status,
            at=self.now(),
            reason=reason,
            properties=self._shown(model) if model is not None else "",
            token=operation.token if operation else "",
        )
