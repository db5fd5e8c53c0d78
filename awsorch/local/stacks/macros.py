"""Macros: resources of stacks that name a Lambda function, which then transforms other stacks' templates.

Source: AWS CloudFormation template reference, "AWS::CloudFormation::Macro".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from awsorch.cfn.contract import Action, Progress, Properties, Request, done, failed
from awsorch.local.lambda_runner import FunctionFailed
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.records import Resource
from awsorch.local.stacks.schemas import Schemas
from awsorch.local.stacks.store import StackStore

TYPE = "AWS::CloudFormation::Macro"


class Functions(Protocol):
    """Invokes functions."""

    async def invoke(self, arn: str, event: Any) -> Any:
        """What the function answers. Raises FunctionFailed."""


class MacroResources:
    """Implements Provider. Ref: the macro's name, which an account has once."""

    def __init__(self, store: StackStore, schemas: Schemas) -> None:
        self._store = store
        self._schemas = schemas

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return self._schemas.replaced_by(type, previous, model)

    async def step(self, request: Request) -> Progress:
        if request.action is not Action.CREATE:
            return done(request.physical_id)
        name = str(request.model.get("Name", ""))
        if not request.retried and find_macro(self._store, name) is not None:
            return failed(f"The macro {name} is there already.", "AlreadyExists")
        return done(name)


class StackMacros:
    """Carries out macros of stacks: a `transforms.Macros`."""

    def __init__(self, store: StackStore, functions: Functions) -> None:
        self._store = store
        self._functions = functions

    async def __call__(self, name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """The macro's answer. Raises StackRefused."""
        macro = find_macro(self._store, name)
        if macro is None:
            raise StackRefused(f"No transform named {event['transformId']} found.")
        try:
            answer = await self._functions.invoke(str(macro.model.get("FunctionName", "")), dict(event))
        except FunctionFailed as error:
            raise StackRefused(f"Transform {event['transformId']} failed with: {error}") from None
        if not isinstance(answer, Mapping):
            raise StackRefused(f"Transform {event['transformId']} failed with: its answer should be an object.")
        return answer


def find_macro(store: StackStore, name: str) -> Resource | None:
    """The resource that is this macro."""
    for stack in store.stacks():
        if stack.status != "DELETE_COMPLETE":
            for resource in store.resources(stack.id).values():
                if resource.type == TYPE and resource.physical_id == name:
                    return resource
    return None
