"""Calls that make, change and delete stacks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from awsorch.cfn.contract import scalar_text
from awsorch.local.stacks.engine import StackEngine
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.group_updates import is_signalled
from awsorch.local.stacks.plan import foresee
from awsorch.local.stacks.preparation import Preparation
from awsorch.local.stacks.records import Change, Operation, Phase, Stack, Wanted
from awsorch.local.stacks.steps import signal_box
from awsorch.local.stacks.template import Template, parse

Request = Mapping[str, Any]
Answer = dict[str, Any]
NO_UPDATES = "No updates are to be performed."
_UPDATABLE = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_FAILED",
        "CREATE_FAILED",
        "UPDATE_ROLLBACK_COMPLETE",
    }
)


class StackOperations:
    """Operations on stacks; `hold` is how long an answer waits for their end, in seconds."""

    def __init__(self, engine: StackEngine, preparation: Preparation, clock: Callable[[], float], hold: float) -> None:
        self._engine = engine
        self._preparation = preparation
        self._clock = clock
        self._hold = hold

    async def create_stack(self, request: Request) -> Answer:
        """CreateStack."""
        known = self._engine.store.find(request["StackName"])
        if known is not None and known.status != "REVIEW_IN_PROGRESS":
            raise StackRefused(f"Stack [{known.name}] already exists", "AlreadyExistsException")
        on_failure = _on_failure(request)
        template = await self._preparation.template(request)
        wanted = await self._preparation.wanted(request, template, None)
        policy = await self._preparation.policy(request)
        stack = replace(self.new_stack(request, "CREATE_IN_PROGRESS", known), policy=policy)
        await self.plan(stack, template, wanted)
        self._engine.store.put(stack)
        operation = Operation(
            phase=Phase.APPLY,
            wanted=wanted,
            on_failure=on_failure,
            token=request.get("ClientRequestToken", ""),
            deadline=self._clock() + stack.timeout_minutes * 60 if stack.timeout_minutes else None,
        )
        await self.apply(stack, operation)
        return {"StackId": stack.id}

    async def update_stack(self, request: Request) -> Answer:
        """UpdateStack."""
        stack = self.existing(request["StackName"])
        template = await self._preparation.template(request, stack)
        wanted = await self._preparation.wanted(request, template, stack)
        check_updatable(stack)
        _, is_needed = await self.plan(stack, template, wanted)
        if not is_needed:
            raise StackRefused(NO_UPDATES)
        policy = await self._preparation.policy(request)
        operation = Operation(
            phase=Phase.APPLY,
            wanted=wanted,
            on_failure="DO_NOTHING" if request.get("DisableRollback") else "ROLLBACK",
            token=request.get("ClientRequestToken", ""),
            policy=await self._preparation.policy(request, "StackPolicyDuringUpdate"),
        )
        if policy:
            self._engine.journal(stack.id).amend(policy=policy)
        await self.apply(stack, operation)
        return {"StackId": stack.id}

    async def delete_stack(self, request: Request) -> Answer:
        """DeleteStack. A stack that is not there is deleted."""
        stack = self._engine.store.find(request["StackName"])
        if stack is None or stack.status == "DELETE_COMPLETE":
            return {}
        if stack.protected:
            raise StackRefused(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if stack.status == "DELETE_IN_PROGRESS":
            return {}
        if stack.is_busy:
            raise StackRefused(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        token = request.get("ClientRequestToken", "")
        retain = tuple(request.get("RetainResources", ()))
        operation = Operation(phase=Phase.DELETE, wanted=stack.wanted, retain=retain, token=token)
        users = [(each.export, self._engine.surveyor.importers(each.export)) for each in stack.outputs if each.export]
        used = next(((export, names) for export, names in users if names), None)
        if used is not None:
            said = f"Export {used[0]} cannot be deleted as it is in use by {', '.join(used[1])}"
            self._engine.journal(stack.id).status("DELETE_FAILED", said)
            return {}
        for change_set in self._engine.store.change_sets(stack.id):
            self._engine.store.remove_change_set(change_set)
        self._engine.begin(stack.id, operation, "DELETE_IN_PROGRESS", "User Initiated")
        await self._engine.wait(stack.id, self._hold)
        return {}

    async def cancel_update_stack(self, request: Request) -> Answer:
        """CancelUpdateStack."""
        self._engine.cancel(self.existing(request["StackName"]).id)
        return {}

    async def continue_update_rollback(self, request: Request) -> Answer:
        """ContinueUpdateRollback, without resources to skip."""
        stack = self.existing(request["StackName"])
        if stack.status != "UPDATE_ROLLBACK_FAILED" or stack.operation is None:
            raise StackRefused(
                f"Stack:{stack.id} is in {stack.status} state and can not be continued with an update rollback."
            )
        if request.get("ResourcesToSkip"):
            raise StackRefused("ResourcesToSkip is not supported by the local stack engine.")
        self._engine.begin(stack.id, stack.operation, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        await self._engine.wait(stack.id, self._hold)
        return {}

    async def set_stack_policy(self, request: Request) -> Answer:
        """SetStackPolicy."""
        stack = self.existing(request["StackName"])
        policy = await self._preparation.policy(request)
        if not policy:
            raise StackRefused("You must specify either StackPolicyBody or StackPolicyURL.")
        self._engine.journal(stack.id).amend(policy=policy)
        return {}

    async def get_stack_policy(self, request: Request) -> Answer:
        """GetStackPolicy; a stack without one has no body."""
        policy = self.existing(request["StackName"]).policy
        return {"StackPolicyBody": policy} if policy else {}

    async def signal_resource(self, request: Request) -> Answer:
        """SignalResource: for a resource that is being made and has a CreationPolicy, or for a group whose instances
        are replaced when they have signalled."""
        stack, name, id = self.existing(request["StackName"]), request["LogicalResourceId"], request["UniqueId"]
        if stack.operation is None or not stack.is_busy:
            raise StackRefused(f"Stack {stack.id} is in {stack.status} state and cannot be signaled")
        resource = self._engine.store.resources(stack.id).get(name)
        if resource is None:
            raise StackRefused(f"Resource {name} does not exist for stack {stack.name}")
        if not resource.status.endswith("_IN_PROGRESS"):
            raise StackRefused(f"Resource {name} is in {resource.status} state and cannot be signaled")
        declared = parse(stack.operation.wanted.template).resources.get(name, {})
        if "CreationPolicy" not in declared and not is_signalled(resource.update_policy):
            raise StackRefused(f"Resource {name} has no CreationPolicy, so that nothing waits for its signals")
        if request["Status"] not in ("SUCCESS", "FAILURE"):
            raise StackRefused(f"Status must be SUCCESS or FAILURE, not {request['Status']}")
        box, mailbox = signal_box(stack.id, resource), self._engine.mailbox
        if id in mailbox.letters(box) and request["Status"] == "SUCCESS":
            raise StackRefused(
                f"Signal with ID {id} for resource {name} already exists. Signals may only be updated with a FAILURE "
                "status."
            )
        mailbox.put(box, id, {"Status": request["Status"]}, over=True)
        said = f"Received {request['Status']} signal with UniqueId {id}"
        self._engine.journal(stack.id).tell(resource, resource.status, said)
        return {}

    async def update_termination_protection(self, request: Request) -> Answer:
        """UpdateTerminationProtection."""
        stack = self.existing(request["StackName"])
        self._engine.journal(stack.id).amend(protected=bool(request["EnableTerminationProtection"]))
        return {"StackId": stack.id}

    def existing(self, name_or_id: str) -> Stack:
        """The stack of this name or id that is not deleted. Raises StackRefused."""
        stack = self._engine.store.find(name_or_id)
        if stack is None or stack.status == "DELETE_COMPLETE":
            raise StackRefused(f"Stack [{name_or_id}] does not exist")
        return stack

    def new_stack(self, request: Request, status: str, known: Stack | None = None) -> Stack:
        """A stack that is not kept yet; under the id of the one that was under review. Raises StackRefused."""
        name = request["StackName"]
        if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", name):
            raise StackRefused(
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
                "satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
        place = self._engine.surveyor
        made = f"arn:aws:cloudformation:{place.region}:{place.account_id}:stack/{name}/{uuid.uuid4()}"
        return Stack(
            id=known.id if known is not None else made,
            name=name,
            status=status,
            created_at=self._clock(),
            wanted=Wanted(template=""),
            protected=bool(request.get("EnableTerminationProtection")),
            role_arn=request.get("RoleARN", ""),
            notification_arns=tuple(request.get("NotificationARNs", ())),
            timeout_minutes=request.get("TimeoutInMinutes"),
            disable_rollback=bool(request.get("DisableRollback")) or request.get("OnFailure") == "DO_NOTHING",
        )

    async def plan(self, stack: Stack, template: Template, wanted: Wanted) -> tuple[list[Change], bool]:
        """What would change of the resources, and whether anything would at all. Raises StackRefused for what can't
        be."""
        around = await self._engine.surveyor.survey(stack, wanted, template)
        resources = self._engine.store.resources(stack.id)
        changes, outputs = foresee(template, around, resources, self._engine.providers, wanted.tags)
        known = {each.key: (each.value, each.export or None) for each in stack.outputs}
        fresh = {key: (scalar_text(value), export) for key, (value, export) in outputs.items()}
        return changes, bool(changes) or wanted.tags != stack.wanted.tags or known != fresh

    async def apply(self, stack: Stack, operation: Operation) -> None:
        """Begin to make the stack what is wanted, and wait a while."""
        fresh = stack.status in ("CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
        operation = replace(operation, of_create=fresh)
        status = "CREATE_IN_PROGRESS" if fresh else "UPDATE_IN_PROGRESS"
        self._engine.begin(stack.id, operation, status, "User Initiated")
        await self._engine.wait(stack.id, self._hold)


def _on_failure(request: Request) -> str:
    """What becomes of a stack that can't be made. Raises StackRefused."""
    asked = request.get("OnFailure")
    if asked and "DisableRollback" in request:
        raise StackRefused("You can specify either DisableRollback or OnFailure, but not both.")
    if asked not in (None, "DELETE", "DO_NOTHING", "ROLLBACK"):
        raise StackRefused(
            f"1 validation error detected: Value '{asked}' at 'onFailure' failed to satisfy constraint: Member must "
            "satisfy enum value set: [DELETE, DO_NOTHING, ROLLBACK]"
        )
    if request.get("TimeoutInMinutes", 1) < 1:
        raise StackRefused(
            f"1 validation error detected: Value '{request['TimeoutInMinutes']}' at 'timeoutInMinutes' failed to "
            "satisfy constraint: Member must have value greater than or equal to 1"
        )
    return str(asked or ("DO_NOTHING" if request.get("DisableRollback") else "ROLLBACK"))


def check_updatable(stack: Stack) -> None:
    """Raises StackRefused for a stack in whose status no update can begin."""
    if stack.status not in _UPDATABLE:
        raise StackRefused(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
