"""boto3 as the handlers call AWS, and words for driving a provider by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from awsorch.cfn.contract import Action, CallRefused, Outcome, Progress, Provider, Request

LIMIT_SECONDS = 20.0


class BotoCalls:
    """Implements AwsCalls; `made` are the calls that were made, without describing ones."""

    def __init__(self, **clients: Any) -> None:
        self._clients = clients
        self.made: list[tuple[str, dict[str, Any]]] = []

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        if not operation.startswith(("Describe", "List", "Get")):
            self.made.append((operation, dict(members)))
        try:
            answer: Mapping[str, Any] = getattr(self._clients[service], xform_name(operation))(**members)
        except ClientError as error:
            said = error.response["Error"]
            raise CallRefused(
                service=service, operation=operation, code=said["Code"], message=said["Message"]
            ) from None
        return answer


def a_request(action: Action, type: str, model: Mapping[str, Any], **more: Any) -> Request:
    """A request for a resource `Thing` of stack `shop`."""
    usual = {"logical_id": "Thing", "stack_name": "shop", "token": f"token {type}", "since": time.time()}
    return Request(action=action, type=type, model=model, **(usual | more))


def step(provider: Provider, request: Request) -> Progress:
    """One step."""
    return asyncio.run(provider.step(request))


def carry(provider: Provider, request: Request) -> Progress:
    """Steps until the action has ended."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        progress = step(provider, request)
        if progress.outcome is not Outcome.IN_PROGRESS:
            return progress
        assert time.monotonic() < deadline, f"{request.action} of {request.type} does not end: {progress}"
        time.sleep(min(progress.delay_seconds, 0.05))
        request = replace(request, physical_id=progress.physical_id, callback=progress.callback, retried=False)


def made(provider: Provider, type: str, model: Mapping[str, Any], **more: Any) -> Progress:
    """A resource, made."""
    progress = carry(provider, a_request(Action.CREATE, type, model, **more))
    assert progress.outcome is Outcome.SUCCESS, progress.message
    return progress


def changed(
    provider: Provider, type: str, id: str, previous: Mapping[str, Any], model: Mapping[str, Any], **more: Any
) -> Progress:
    """How an update ended."""
    return carry(provider, a_request(Action.UPDATE, type, model, previous=previous, physical_id=id, **more))


def removed(provider: Provider, type: str, id: str, model: Mapping[str, Any], **more: Any) -> Progress:
    """How a deletion ended."""
    return carry(provider, a_request(Action.DELETE, type, model, physical_id=id, **more))
