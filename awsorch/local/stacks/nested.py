"""AWS::CloudFormation::Stack: a stack as a resource of another, through the API like any other. Implements Provider.

Source: its page in the CloudFormation template reference. Ref: the stack's id. GetAtt: `Outputs.<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.cfn.contract import (
    Action,
    AwsCalls,
    CallRefused,
    Progress,
    Properties,
    Request,
    done,
    failed,
    scalar_text,
    waiting,
)

TYPE = "AWS::CloudFormation::Stack"
OUTPUTS = "Outputs."
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
"""Whoever deploys the outer stack has acknowledged what it needs."""
_NAME_LENGTH = 128
_GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})


class NestedStacks:
    """Makes stacks for stacks."""

    def __init__(self, calls: AwsCalls) -> None:
        self._calls = calls

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return frozenset()

    async def step(self, request: Request) -> Progress:
        does = {Action.CREATE: self._create, Action.UPDATE: self._update, Action.DELETE: self._delete}
        try:
            return await does[request.action](request)
        except CallRefused as error:
            return failed(str(error), physical_id=request.physical_id)

    async def _create(self, request: Request) -> Progress:
        if request.physical_id:
            return await self._settled(request, request.physical_id)
        name = request.name(_NAME_LENGTH)
        known = await self._find(name) if request.retried else None
        if known is not None:
            return waiting(known["StackId"], 0.0, following=True)
        # What fails stays to be looked at until the outer stack turns back and deletes it.
        members = {**self._members(request), "StackName": name, "OnFailure": "DO_NOTHING"}
        answer = await self._calls.call("cloudformation", "CreateStack", members)
        return waiting(answer["StackId"], 0.0, following=True)

    async def _update(self, request: Request) -> Progress:
        id = request.physical_id
        if request.callback.get("following"):
            return await self._settled(request, id)
        stack = await self._find(id)
        status = stack["StackStatus"] if stack is not None else ""
        if stack is not None and status == "UPDATE_ROLLBACK_FAILED":
            if request.callback.get("continued"):
                return failed(_why(id, stack), "GeneralServiceException", id)
            await self._calls.call("cloudformation", "ContinueUpdateRollback", {"StackName": id})
            return waiting(id, continued=True)
        if status.endswith("_IN_PROGRESS"):
            return waiting(id, **request.callback)
        try:
            await self._calls.call("cloudformation", "UpdateStack", {**self._members(request), "StackName": id})
        except CallRefused as error:
            if "No updates are to be performed" not in error.said:
                raise
            # It may have gone back by itself to what the outer stack goes back to.
            return await self._settled(request, id, _GOOD | {"UPDATE_ROLLBACK_COMPLETE"})
        return waiting(id, 0.0, following=True)

    async def _delete(self, request: Request) -> Progress:
        id = request.physical_id
        stack = await self._find(id)
        if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
            return done(id)
        status = stack["StackStatus"]
        if status == "DELETE_FAILED" and request.callback.get("asked"):
            return failed(_why(id, stack), "GeneralServiceException", id)
        if status.endswith("_IN_PROGRESS"):
            return waiting(id, **request.callback)
        await self._calls.call("cloudformation", "DeleteStack", {"StackName": id})
        return waiting(id, 0.0, asked=True)

    async def _settled(self, request: Request, id: str, good: frozenset[str] = _GOOD) -> Progress:
        stack = await self._find(id)
        if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
            return failed(f"Stack {id} is not there any more.", "NotFound", id)
        if stack["StackStatus"].endswith("_IN_PROGRESS"):
            return waiting(id, following=True)
        if stack["StackStatus"] not in good:
            return failed(_why(id, stack), "GeneralServiceException", id)
        outputs = {f"{OUTPUTS}{each['OutputKey']}": each["OutputValue"] for each in stack.get("Outputs", ())}
        return done(id, **outputs)

    async def _find(self, name: str) -> Mapping[str, Any] | None:
        try:
            answer = await self._calls.call("cloudformation", "DescribeStacks", {"StackName": name})
        except CallRefused as error:
            if "does not exist" not in error.said:
                raise
            return None
        return next(iter(answer["Stacks"]), None)

    def _members(self, request: Request) -> dict[str, Any]:
        model = request.model
        own = {str(tag["Key"]): scalar_text(tag.get("Value")) or "" for tag in model.get("Tags") or []}
        tags = {**request.tags, **own}
        return {
            "TemplateURL": model["TemplateURL"],
            "Capabilities": _CAPABILITIES,
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": _parameter(value)}
                for name, value in (model.get("Parameters") or {}).items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }


def _parameter(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(scalar_text(each) or "" for each in value)
    return scalar_text(value) or ""


def _why(id: str, stack: Mapping[str, Any]) -> str:
    reason = stack.get("StackStatusReason") or f"It is in {stack['StackStatus']}."
    return f"Embedded stack {id} was not successful: {reason}"
