"""One deployment of a stack: a change set made, looked at and carried out, with the stack's events as they come.

Source: CloudFormation API reference, CreateChangeSet, ExecuteChangeSet, DescribeStackEvents.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from awsorch.cli.faults import Fault
from awsorch.cli.watch import patiently

FIRST_LOOK_SECONDS = 0.2
LOOK_SECONDS = 2.0
"""An account's CloudFormation refuses whoever asks much more often for long."""
GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
_NOTHING_NEW = ("didn't contain changes", "No updates are to be performed")
_CANCELLED = "cancelled"
"""What CloudFormation says of a resource that only another one's failure has stopped."""
_NO_REASON = "CloudFormation gives no reason."
_STACK = "AWS::CloudFormation::Stack"
_HIDDEN = "****"
_DEEPEST = 10


class DeploymentFailed(Fault):
    """The stack is not what it should be. The exit code is the AWS CLI's."""

    exit_code = 255


class StackDeployment:
    """A stack by name, of boto3's client."""

    def __init__(self, stacks: Any, name: str, first_look: float = FIRST_LOOK_SECONDS) -> None:
        self._stacks = stacks
        self._first_look = first_look
        self.name = name

    def find(self) -> Mapping[str, Any] | None:
        """The stack as it is described; None where there is none to update: a change set alone makes none."""
        return find_stack(self._stacks, self.name)

    def prepare(self, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The change set that CreateChangeSet with this request makes, as it is described; None where nothing changes.
        Raises DeploymentFailed.
        """
        made = self._stacks.create_change_set(
            StackName=self.name, ChangeSetName=f"awsorch-{uuid.uuid4().hex[:16]}", **request
        )
        for pause in _pauses(self._first_look):
            described: Mapping[str, Any] = patiently(
                lambda: self._stacks.describe_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
            )
            if described["Status"] == "CREATE_COMPLETE":
                return described
            if described["Status"] == "FAILED":
                break
            time.sleep(pause)
        reason = described.get("StatusReason", "")
        is_empty = any(said in reason for said in _NOTHING_NEW)
        # One that failed is of no use, and there may only be so many.
        self._stacks.delete_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
        if is_empty:
            return None
        raise DeploymentFailed(f"the change set of {self.name} can't be made: {reason}")

    def execute(
        self, change_set: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], None], *, disable_rollback: bool
    ) -> Mapping[str, Any]:
        """Carry it out and answer the stack when all is done; `tell` gets every event of the stack, once.
        Raises DeploymentFailed with what failed first.
        """
        id = change_set["StackId"]
        newest = next(self._events(id), {"EventId": ""})["EventId"]
        self._stacks.execute_change_set(
            ChangeSetName=change_set["ChangeSetId"], StackName=id, DisableRollback=disable_rollback
        )
        self._see_through(id, newest, tell, GOOD)
        (stack,) = patiently(lambda: self._stacks.describe_stacks(StackName=id)["Stacks"])
        return dict(stack)

    def delete(self, stack: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Delete it, and wait until it is gone. Raises DeploymentFailed with what could not be deleted first."""
        id = stack["StackId"]
        newest = next(self._events(id), {"EventId": ""})["EventId"]
        self._stacks.delete_stack(StackName=id)
        self._see_through(id, newest, tell, frozenset({"DELETE_COMPLETE"}))

    def drop(self, change_set: Mapping[str, Any]) -> None:
        """Forget a change set, and the stack that there would have been."""
        self._stacks.delete_change_set(ChangeSetName=change_set["ChangeSetId"], StackName=change_set["StackId"])
        if self.find() is None:
            self._stacks.delete_stack(StackName=change_set["StackId"])

    def _see_through(
        self, id: str, newest: str, tell: Callable[[Mapping[str, Any]], None], good: frozenset[str]
    ) -> None:
        """Tell what is later than an event, until all is done. Raises DeploymentFailed where that is not `good`."""
        seen: list[Mapping[str, Any]] = []
        pauses = _pauses(self._first_look)
        while not (own := [each for each in seen if each.get("PhysicalResourceId") == id]) or _goes_on(own[-1]):
            if seen:
                time.sleep(next(pauses))
            # Its last event says that all is done: its status may still be that of before.
            for event in self._since(id, seen[-1]["EventId"] if seen else newest):
                seen.append(event)
                tell(event)
        if own[-1]["ResourceStatus"] not in good:
            raise DeploymentFailed(f"{self.name} is in {own[-1]['ResourceStatus']}: {self._why(seen)}")

    def _since(self, id: str, event_id: str) -> list[Mapping[str, Any]]:
        """The events after that one, oldest first."""
        return patiently(lambda: list(self._until(id, event_id)))[::-1]

    def _until(self, id: str, event_id: str) -> Iterator[Mapping[str, Any]]:
        for event in self._events(id):
            if event["EventId"] == event_id:
                return
            yield event

    def _events(self, id: str) -> Iterator[Mapping[str, Any]]:
        """Newest first."""
        for page in self._stacks.get_paginator("describe_stack_events").paginate(StackName=id):
            yield from page["StackEvents"]

    def _why(self, events: list[Mapping[str, Any]]) -> str:
        """The resource that failed first, of the innermost stack, and its reason."""
        first, outer = _first_failure(events), events[0]["StackId"]
        for _ in range(_DEEPEST):
            inner = first.get("PhysicalResourceId", "") if first is not None else ""
            if first is None or first["ResourceType"] != _STACK or inner in ("", first["StackId"]):
                break
            deeper = _first_failure(self._within(inner, events[0]["Timestamp"]))
            if deeper is None:
                break
            first = deeper
        if first is None:
            return str(events[-1].get("ResourceStatusReason") or _NO_REASON)
        where = "" if first["StackId"] == outer else f" of {first['StackName']}"
        reason = first.get("ResourceStatusReason") or _NO_REASON
        return f"{first['LogicalResourceId']} ({first['ResourceType']}){where} {first['ResourceStatus']}: {reason}"

    def _within(self, id: str, began: datetime) -> list[Mapping[str, Any]]:
        """What has happened to another stack since, oldest first."""
        return [each for each in patiently(lambda: list(self._events(id))) if each["Timestamp"] >= began][::-1]


def find_stack(stacks: Any, name: str) -> Mapping[str, Any] | None:
    """A stack of that name that can be updated, of boto3's client."""
    from botocore.exceptions import ClientError

    try:
        (stack,) = patiently(lambda: stacks.describe_stacks(StackName=name)["Stacks"])
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return dict(stack) if stack["StackStatus"] != "REVIEW_IN_PROGRESS" else None


def values_of(stack: Mapping[str, Any] | None) -> dict[str, str | None]:
    """A stack's parameters; None for a value that is not shown."""
    found = {each["ParameterKey"]: each["ParameterValue"] for each in (stack or {}).get("Parameters", ())}
    return {name: value if value != _HIDDEN else None for name, value in found.items()}


def _pauses(pause: float) -> Iterator[float]:
    """Seconds between looks: what takes long is looked at more seldom."""
    while True:
        yield min(pause, LOOK_SECONDS)
        pause *= 1.5


def _goes_on(event: Mapping[str, Any]) -> bool:
    return bool(event["ResourceStatus"].endswith("_IN_PROGRESS"))


def _first_failure(events: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
    own = [each for each in failed if _CANCELLED not in each.get("ResourceStatusReason", "").lower()]
    return next(iter(own or failed), None)
