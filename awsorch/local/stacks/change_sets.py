"""Calls about change sets: what an update would do, looked at before it is done."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from awsorch.local.stacks.engine import StackEngine
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.operations import (
    Answer,
    Request,
    StackOperations,
    check_updatable,
)
from awsorch.local.stacks.preparation import Preparation
from awsorch.local.stacks.records import ChangeSet, Operation, Phase, Stack
from awsorch.local.stacks.template import parse
from awsorch.local.stacks.views import change_set_summary, change_set_view

_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


class ChangeSets:
    """Operations on change sets. A plan is ready when its creation is answered."""

    def __init__(
        self,
        engine: StackEngine,
        stacks: StackOperations,
        preparation: Preparation,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._stacks = stacks
        self._preparation = preparation
        self._clock = clock

    async def create(self, request: Request) -> Answer:
        """CreateChangeSet, of type CREATE or UPDATE."""
        store = self._engine.store
        kind = request.get("ChangeSetType", "UPDATE")
        stack = self._stack(request, kind)
        name = request["ChangeSetName"]
        if any(each.name == name for each in store.change_sets(stack.id)):
            raise StackRefused(
                f"ChangeSet {name} cannot be created because it already exists.", "AlreadyExistsException"
            )
        is_known = kind == "UPDATE"
        template = await self._preparation.template(request, stack if is_known else None)
        wanted = await self._preparation.wanted(request, template, stack if is_known else None)
        changes, is_needed = await self._stacks.plan(stack, template, wanted)
        empty = is_known and not is_needed
        place = self._engine.surveyor
        change_set = ChangeSet(
            id=f"arn:aws:cloudformation:{place.region}:{place.account_id}:changeSet/{name}/{uuid.uuid4()}",
            name=name,
            stack_id=stack.id,
            kind=kind,
            wanted=wanted,
            created_at=self._clock(),
            status="FAILED" if empty else "CREATE_COMPLETE",
            execution_status="UNAVAILABLE" if empty else "AVAILABLE",
            reason=_NO_CHANGES if empty else "",
            description=request.get("Description", ""),
            changes=tuple(changes),
            on_failure=request.get("OnStackFailure", "ROLLBACK"),
        )
        if store.find(stack.id) is None:
            store.put(stack)
            self._engine.journal(stack.id).status("REVIEW_IN_PROGRESS", "User Initiated")
        store.put(change_set)
        return {"Id": change_set.id, "StackId": stack.id}

    async def describe(self, request: Request) -> Answer:
        """DescribeChangeSet."""
        change_set, stack = self._find(request)
        return change_set_view(change_set, stack, parse(change_set.wanted.template))

    async def list_sets(self, request: Request) -> Answer:
        """ListChangeSets."""
        stack = self._stacks.existing(request["StackName"])
        sets = self._engine.store.change_sets(stack.id)
        return {"Summaries": [change_set_summary(each, stack) for each in sets]}

    async def execute(self, request: Request) -> Answer:
        """ExecuteChangeSet."""
        change_set, stack = self._find(request)
        if change_set.execution_status != "AVAILABLE":
            raise StackRefused(
                f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]",
                "InvalidChangeSetStatus",
            )
        if stack.status != "REVIEW_IN_PROGRESS":
            check_updatable(stack)
        on_failure = "DO_NOTHING" if request.get("DisableRollback") else change_set.on_failure
        for other in self._engine.store.change_sets(stack.id):
            if other.id != change_set.id:
                self._engine.store.remove_change_set(other)
        self._engine.store.put(replace(change_set, execution_status="EXECUTE_COMPLETE"))
        self._engine.journal(stack.id).amend(change_set_id=change_set.id)
        operation = Operation(
            phase=Phase.APPLY,
            wanted=change_set.wanted,
            on_failure=on_failure,
            token=request.get("ClientRequestToken", ""),
        )
        await self._stacks.apply(self._engine.store.get(stack.id), operation)
        return {}

    async def delete(self, request: Request) -> Answer:
        """DeleteChangeSet. One that is not there is deleted."""
        try:
            change_set, _ = self._find(request)
        except StackRefused as error:
            if error.error.code != "ChangeSetNotFound":
                raise
            return {}
        self._engine.store.remove_change_set(change_set)
        return {}

    def _stack(self, request: Request, kind: str) -> Stack:
        known = self._engine.store.find(request["StackName"])
        if kind == "UPDATE":
            if known is None or known.status == "DELETE_COMPLETE":
                raise StackRefused(f"Stack [{request['StackName']}] does not exist")
            check_updatable(known)
            return known
        if kind != "CREATE":
            raise StackRefused(f"A change set of type {kind} is not supported by the local stack engine.")
        if known is None or known.status == "DELETE_COMPLETE":
            return self._stacks.new_stack(request, "REVIEW_IN_PROGRESS")
        if known.status != "REVIEW_IN_PROGRESS":
            raise StackRefused(
                f"Stack [{known.name}] already exists and cannot be created again with the changeSet "
                f"[{request['ChangeSetName']}]."
            )
        return known

    def _find(self, request: Request) -> tuple[ChangeSet, Stack]:
        store, name = self._engine.store, request["ChangeSetName"]
        stacks = [self._stacks.existing(request["StackName"])] if "StackName" in request else store.stacks()
        for stack in stacks:
            for each in store.change_sets(stack.id):
                if name in (each.id, each.name):
                    return each, stack
        raise StackRefused(f"ChangeSet [{name}] does not exist", "ChangeSetNotFound", 404)
