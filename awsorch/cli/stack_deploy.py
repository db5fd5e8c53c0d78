"""Deploying a stack and seeing it through: by a change set, events as they come, and the first cause where it fails.

Source: AWS CloudFormation API reference, CreateChangeSet, ExecuteChangeSet, DescribeStackEvents; the AWS CLI's
`cloudformation deploy`, whose options and exit codes these are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from awsorch.cli.faults import Fault
from awsorch.cli.printing import BAD, BUSY, GOOD

#: How often a stack is asked about. Seconds.
POLL_S = 2.0
FASTEST_POLL_S = 0.2
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_NOTHING = ("didn't contain changes", "No updates are to be performed")
_COLUMNS = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template, as text or by its URL; exactly one of both."""

    text: str | None = None
    url: str | None = None

    def arguments(self) -> dict[str, str]:
        """As CloudFormation's operations take it."""
        return {"TemplateURL": self.url} if self.url is not None else {"TemplateBody": self.text or ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a stack should be. Parameters that are not given keep their values, or have their defaults."""

    name: str
    template: Template
    parameters: Mapping[str, str]
    capabilities: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None


class Stacks:
    """The stacks of an account, by a boto3 client of CloudFormation. ``say`` prints a line."""

    def __init__(self, client: Any, say: Callable[[str], None] = click.echo, *, poll: float = POLL_S) -> None:
        self._client = client
        self._say = say
        self._poll = poll

    def find(self, name: str) -> dict[str, Any] | None:
        """The stack, or None where there is none."""
        from botocore.exceptions import ClientError

        try:
            found: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found

    def prepare(self, wanted: Wanted, name: str) -> tuple[str, list[dict[str, Any]]] | None:
        """Make a change set: its ARN and changes, or None where nothing would change. Raises Fault where
        CloudFormation refuses it."""
        found = self.find(wanted.name)
        is_new = found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS"
        arguments: dict[str, Any] = {"Tags": [{"Key": k, "Value": v} for k, v in wanted.tags.items()]}
        if wanted.role:
            arguments["RoleARN"] = wanted.role
        made = self._client.create_change_set(
            StackName=wanted.name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            Capabilities=list(wanted.capabilities),
            Parameters=self._parameters(wanted, [] if is_new or found is None else found.get("Parameters", [])),
            **wanted.template.arguments(),
            **{key: value for key, value in arguments.items() if value},
        )
        described = self._until_made(made["Id"])
        if described["Status"] == "FAILED":
            reason = described.get("StatusReason", "no reason was given")
            self._client.delete_change_set(ChangeSetName=made["Id"])
            if any(words in reason for words in _NOTHING):
                return None
            if is_new:
                self._client.delete_stack(StackName=wanted.name)
            raise Fault(f"stack {wanted.name}: the change set failed: {reason}")
        return made["Id"], described["Changes"]

    def drop(self, change_set: str, name: str) -> None:
        """Forget a change set that nobody wants, and the stack that was made to hold it."""
        self._client.delete_change_set(ChangeSetName=change_set)
        found = self.find(name)
        if found is not None and found["StackStatus"] == "REVIEW_IN_PROGRESS":
            self._client.delete_stack(StackName=name)

    def execute(self, change_set: str, name: str) -> dict[str, Any]:
        """Carry a change set out, and answer the stack as it is then. Raises Fault where it failed."""
        began = self._newest(name)
        self._client.execute_change_set(ChangeSetName=change_set)
        return self._see_through(name, began)

    def delete(self, name: str) -> None:
        """Delete a stack and wait until it is gone. Raises Fault where it is not."""
        found = self.find(name)
        if found is None:
            return
        began = self._newest(found["StackId"])
        self._client.delete_stack(StackName=found["StackId"])
        self._see_through(found["StackId"], began)

    def _parameters(self, wanted: Wanted, before: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        declared = self._client.get_template_summary(**wanted.template.arguments())["Parameters"]
        names = {each["ParameterKey"] for each in declared}
        unknown = sorted(wanted.parameters.keys() - names)
        if unknown:
            raise Fault(f"the template has no parameter {', '.join(unknown)}; it has {', '.join(sorted(names))}")
        kept = {each["ParameterKey"] for each in before}
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in wanted.parameters.items()]
        same = sorted((names & kept) - wanted.parameters.keys())
        return given + [{"ParameterKey": key, "UsePreviousValue": True} for key in same]

    def _until_made(self, change_set: str) -> dict[str, Any]:
        wait = FASTEST_POLL_S
        while True:
            described: dict[str, Any] = self._client.describe_change_set(ChangeSetName=change_set)
            if described["Status"] in ("CREATE_COMPLETE", "FAILED"):
                break
            time.sleep(wait)
            wait = min(2 * wait, self._poll)
        while token := described.get("NextToken"):
            page = self._client.describe_change_set(ChangeSetName=change_set, NextToken=token)
            described = {**page, "Changes": described["Changes"] + page["Changes"]}
        return described

    # --- seeing it through -------------------------------------------------------------------------------------------

    def _see_through(self, name: str, began: str | None) -> dict[str, Any]:
        """Show events until nothing is under way."""
        seen: set[str] = set()
        failed: list[dict[str, Any]] = []
        wait = FASTEST_POLL_S
        while True:
            found = self.find(name)
            shown = self._show(name, began, seen, failed)
            status = "DELETE_COMPLETE" if found is None else found["StackStatus"]
            if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                break
            wait = FASTEST_POLL_S if shown else min(2 * wait, self._poll)
            time.sleep(wait)
        if failed or status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"):
            raise Fault(self._cause(name, status, failed))
        return found or {}

    def _show(self, name: str, began: str | None, seen: set[str], failed: list[dict[str, Any]]) -> bool:
        """Print what is new, of nested stacks too; collect what failed. Answers whether anything was new."""
        fresh = [each for each in self._events(name, began) if each["EventId"] not in seen]
        for event in reversed(fresh):
            seen.add(event["EventId"])
            status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
            is_bad = status.endswith("_FAILED")
            if is_bad and "cancelled" not in reason:
                failed.append(event)
            colour = BAD if is_bad or "ROLLBACK" in status else GOOD if status.endswith("_COMPLETE") else BUSY
            at = event["Timestamp"].astimezone().strftime("%H:%M:%S")
            words = f"  {reason}" if reason and "Initiated" not in reason else ""
            self._say(f"{at}  {styled(status.ljust(_COLUMNS), colour)}  {event['LogicalResourceId']}{words}")
        return bool(fresh)

    def _events(self, name: str, began: str | None) -> Iterator[dict[str, Any]]:
        """Those later than the event with this id, newest first."""
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=name):
            for event in page["StackEvents"]:
                if event["EventId"] == began:
                    return
                yield event

    def _newest(self, name: str) -> str | None:
        """The id of the newest event so far."""
        return next((str(event["EventId"]) for event in self._events(name, None)), None)

    def _cause(self, name: str, status: str, failed: Sequence[Mapping[str, Any]]) -> str:
        short = name.split("/")[1] if "/" in name else name
        first = [self._reason(event) for event in failed[:1]]
        return "\n".join([f"stack {short} is {status}", *first])

    def _reason(self, event: Mapping[str, Any]) -> str:
        """Why it failed; where that was a nested stack, what failed in it."""
        inner = event.get("PhysicalResourceId", "")
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and inner and inner != event["StackId"]:
            nested = [
                each
                for each in self._events(inner, None)
                if each["ResourceStatus"].endswith("_FAILED")
                and "cancelled" not in each.get("ResourceStatusReason", "")
                and each["PhysicalResourceId"] != inner
            ]
            if nested:
                return f"{event['LogicalResourceId']}: {self._reason(nested[-1])}"
        reason = event.get("ResourceStatusReason", event["ResourceStatus"])
        return f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"


def styled(text: str, colour: str) -> str:
    """Text in one of printing's colours, where colours are shown."""
    bold = colour.startswith("bold ")
    return click.style(text, fg=colour.removeprefix("bold "), bold=bold)


def show_changes(changes: Sequence[Mapping[str, Any]], say: Callable[[str], None] = click.echo) -> None:
    """What a change set would do, a line a resource."""
    for change in changes:
        resource = change["ResourceChange"]
        replaces = resource.get("Replacement") in ("True", "Conditional")
        action = "Replace" if resource["Action"] == "Modify" and replaces else resource["Action"]
        colour = BAD if action in ("Remove", "Replace") else BUSY if action == "Modify" else GOOD
        say(f"  {styled(action.ljust(8), colour)} {resource['LogicalResourceId']}  {resource['ResourceType']}")
