"""The provider of the types `AWS::ECS::*`: which handler has which, and what becomes of refused calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from awsorch.cfn.capacity import CapacityProviderAssociations, EcsCapacityProvider
from awsorch.cfn.cluster import EcsCluster
from awsorch.cfn.contract import Action, AwsCalls, CallRefused, Progress, Properties, Request, failed, same, waiting
from awsorch.cfn.service import EcsService
from awsorch.cfn.shapes import Unfit
from awsorch.cfn.task_definition import EcsTaskDefinition

_CODES = {
    "AccessDeniedException": "AccessDenied",
    "ClientException": "InvalidRequest",
    "ClusterNotFoundException": "NotFound",
    "InvalidParameterException": "InvalidRequest",
    "ServerException": "ServiceInternalError",
    "ServiceNotFoundException": "NotFound",
    "ServiceUnavailable": "ServiceInternalError",
    "ThrottlingException": "Throttling",
}
_BUSY = frozenset(
    {
        "ClusterContainsServicesException",
        "ClusterContainsTasksException",
        "ResourceInUseException",
        "UpdateInProgressException",
    }
)
"""Refusals that end by themselves while the stack's other resources go."""
_BUSY_TRIES = 300


class Handler(Protocol):
    """Handles one type. Methods may raise CallRefused and Unfit."""

    @property
    def type(self) -> str:
        """The type's name."""

    @property
    def replaced_by(self) -> frozenset[str] | None:
        """The properties, or pointers into them, whose change needs another resource; None: all but Tags."""

    async def create(self, calls: AwsCalls, request: Request) -> Progress:
        """A step of making it."""

    async def update(self, calls: AwsCalls, request: Request) -> Progress:
        """A step of changing it."""

    async def delete(self, calls: AwsCalls, request: Request) -> Progress:
        """A step of removing it. What is not there any more is removed."""


class EcsProvider:
    """Implements Provider for Amazon ECS's types that awsorch has."""

    def __init__(self, calls: AwsCalls) -> None:
        self._calls = calls
        handlers: tuple[Handler, ...] = (
            EcsCluster(),
            EcsTaskDefinition(),
            EcsService(),
            EcsCapacityProvider(),
            CapacityProviderAssociations(),
        )
        self._handlers = {each.type: each for each in handlers}

    def types(self) -> frozenset[str]:
        return frozenset(self._handlers)

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        wanted = self._handlers[type].replaced_by
        pointers = (previous.keys() | model.keys()) - {"Tags"} if wanted is None else wanted
        differing = (each for each in pointers if not same(_at(each, previous), _at(each, model)))
        return frozenset(each.partition("/")[0] for each in differing)

    async def step(self, request: Request) -> Progress:
        handler = self._handlers[request.type]
        does = {Action.CREATE: handler.create, Action.UPDATE: handler.update, Action.DELETE: handler.delete}
        tries = int(request.callback.get("tries", 0))
        # Handlers tell by what they left there whether they have asked already; these were refused.
        left = {name: value for name, value in request.callback.items() if name != "tries"}
        try:
            return await does[request.action](self._calls, replace(request, callback=left))
        except Unfit as error:
            said = f"Properties validation failed for resource {request.logical_id} with message:[{error}]"
            return failed(said, physical_id=request.physical_id)
        except CallRefused as error:
            # A capacity provider has no code of its own for it, while the last tasks on it stop.
            is_busy = error.code in _BUSY or (request.action is Action.DELETE and "is in use" in str(error))
            if is_busy and tries < _BUSY_TRIES:
                return waiting(request.physical_id, 1.0, **left, tries=tries + 1)
            return failed(str(error), _CODES.get(error.code, "GeneralServiceException"), request.physical_id)


def _at(pointer: str, properties: Properties) -> Any:
    """The value at a property's name, or further down ("Provider/Arn")."""
    value: Any = properties
    for part in pointer.split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
