"""Custom resources: requests to an SNS topic or a Lambda function, whose answers are PUT to a URL. Implements Provider.

Source: AWS CloudFormation user guide, "Custom resource request objects" and "Custom resource response objects"
(members, limits); `AWS::CloudFormation::CustomResource` in the template reference (ServiceTimeout).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from awsorch.cfn.contract import (
    OWN_WORDS,
    Action,
    AwsCalls,
    CallRefused,
    Outcome,
    Progress,
    Properties,
    Request,
    failed,
    scalar_text,
    waiting,
)
from awsorch.local.stacks.mailbox import Letter, Mailbox

TYPE = "AWS::CloudFormation::CustomResource"
PREFIX = "Custom::"
_LIMIT_SECONDS = 3600.0
_LOOK_SECONDS = 0.25
_SELDOM_SECONDS = 5.0
_MOST_ID = 1024
_VERBS = {Action.CREATE: "Create", Action.UPDATE: "Update", Action.DELETE: "Delete"}
_OWN = frozenset({"ServiceTimeout"})


class Functions(Protocol):
    """Lambda functions as custom resources call them."""

    def begin(self, arn: str, event: Mapping[str, Any], failed: Callable[[str], None]) -> None:
        """Invoke a function, and come back at once; `failed` is told why it can't be run or ended with an error."""


class CustomResources:
    """`doors`: the base URLs at which topics' subscribers and functions find the door."""

    def __init__(
        self,
        calls: AwsCalls,
        mailbox: Mailbox,
        functions: Functions,
        clock: Callable[[], float],
        *,
        doors: tuple[str, str],
    ) -> None:
        self._calls = calls
        self._mailbox = mailbox
        self._functions = functions
        self._clock = clock
        self._doors = doors

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return frozenset()

    async def step(self, request: Request) -> Progress:
        asked = str(request.callback.get("request", ""))
        try:
            if asked and not (request.retried and self._was_lost(request, asked)):
                return self._heard(request, asked)
            return await self._ask(request, asked or _request_id(request))
        except CallRefused as error:
            return failed(str(error), physical_id=request.physical_id)

    def _was_lost(self, request: Request, asked: str) -> bool:
        """Whether a function that was running ended with the controller."""
        return _is_function(request) and not self._mailbox.letters(_box(asked))

    async def _ask(self, request: Request, id: str) -> Progress:
        wrong = _wrong(request)
        if wrong:
            return failed(wrong, OWN_WORDS, request.physical_id)
        token = str(request.model["ServiceToken"])
        self._mailbox.expect(_box(id), StackId=request.stack_id, RequestId=id, LogicalResourceId=request.logical_id)
        # An id of ours until theirs is known: so that what may have been made is asked to go when all turns back.
        physical_id = request.physical_id or request.name()
        event = self._event(request, id)
        if _is_function(request):
            self._functions.begin(token, event, lambda why: self._give_up(id, why))
        else:
            members = {"TopicArn": token, "Message": json.dumps(event), "Subject": _SUBJECT}
            await self._calls.call("sns", "Publish", members)
        return waiting(physical_id, _LOOK_SECONDS, request=id)

    def _give_up(self, id: str, why: str) -> None:
        self._mailbox.put(_box(id), "answer", {"Status": "FAILED", "Reason": why})

    def _event(self, request: Request, id: str) -> dict[str, Any]:
        door = self._doors[1] if _is_function(request) else self._doors[0]
        event = {
            "RequestType": _VERBS[request.action],
            "ServiceToken": request.model["ServiceToken"],
            "ResponseURL": f"{door}{self._mailbox.path(_box(id))}",
            "StackId": request.stack_id,
            "RequestId": id,
            "LogicalResourceId": request.logical_id,
            "ResourceType": request.type,
            "ResourceProperties": _told(request.model),
        }
        if request.action is not Action.CREATE:
            event["PhysicalResourceId"] = request.physical_id
        if request.action is Action.UPDATE:
            event["OldResourceProperties"] = _told(request.previous)
        return event

    def _heard(self, request: Request, id: str) -> Progress:
        letters = self._mailbox.letters(_box(id))
        if letters:
            return _outcome(request, id, letters["answer"])
        limit = float(request.model.get("ServiceTimeout") or _LIMIT_SECONDS)
        waited = self._clock() - request.since
        if waited > limit:
            said = (
                "CloudFormation did not receive a response from your Custom Resource. Please check your logs for "
                f"requestId [{id}]."
            )
            return failed(said, OWN_WORDS, request.physical_id)
        return waiting(request.physical_id, min(_LOOK_SECONDS + waited / 20, _SELDOM_SECONDS), request=id)


_SUBJECT = "AWS CloudFormation custom resource request"


def _outcome(request: Request, id: str, answer: Letter) -> Progress:
    physical_id = answer.get("PhysicalResourceId") or (request.physical_id if request.action is Action.DELETE else "")
    if answer["Status"] == "FAILED":
        said = (
            "Received response status [FAILED] from custom resource. Message returned: "
            f"{answer.get('Reason') or 'None'} (RequestId: {id})"
        )
        kept = physical_id if isinstance(physical_id, str) and physical_id else request.physical_id
        return failed(said, OWN_WORDS, kept if request.action is Action.CREATE else request.physical_id)
    if not isinstance(physical_id, str) or not physical_id or len(physical_id) > _MOST_ID:
        said = f"Invalid PhysicalResourceId: it must be a text of 1 to {_MOST_ID} characters (RequestId: {id})"
        return failed(said, OWN_WORDS, request.physical_id)
    data = answer.get("Data") or {}
    return Progress(
        outcome=Outcome.SUCCESS,
        physical_id=physical_id,
        attributes=data,
        secret=scalar_text(answer.get("NoEcho")) == "true",
    )


def _wrong(request: Request) -> str:
    """Why the request can't be sent, or ""."""
    token = str(request.model.get("ServiceToken") or "")
    if request.action is Action.UPDATE and token != str(request.previous.get("ServiceToken")):
        return "Modifying service token is not allowed."
    if not token.startswith("arn:") or token.split(":")[2:3] not in (["sns"], ["lambda"]):
        return f"Invalid ServiceToken: it must be the ARN of an SNS topic or a Lambda function, not '{token}'."
    text = scalar_text(request.model.get("ServiceTimeout", _LIMIT_SECONDS)) or ""
    if not text.isdecimal() or not 1 <= int(text) <= _LIMIT_SECONDS:
        return f"Invalid ServiceTimeout: it must be an integer from 1 to {_LIMIT_SECONDS:.0f}, not {text}."
    return ""


def _is_function(request: Request) -> bool:
    return str(request.model.get("ServiceToken")).split(":")[2:3] == ["lambda"]


def _told(value: Any) -> Any:
    """Properties as a request has them: every scalar a text."""
    if isinstance(value, Mapping):
        return {key: _told(each) for key, each in value.items() if each is not None and key not in _OWN}
    if isinstance(value, list):
        return [_told(each) for each in value]
    return scalar_text(value)


def _request_id(request: Request) -> str:
    """The same when the same is asked again after a restart."""
    named = json.dumps([request.token, request.action.value, request.since, _told(request.model)], sort_keys=True)
    return str(uuid.UUID(hashlib.sha256(named.encode()).hexdigest()[:32]))


def _box(id: str) -> str:
    return f"answer-{id}"
