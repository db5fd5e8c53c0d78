"""CloudFormation's `AWS::ECS::*` types in LocalStack's stack engine: each step is awsorch's (POST /awsorch/resources).

The same handlers make them in awsorch's own local stacks and in an AWS account.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from typing import Any, ClassVar

from localstack_awsorch.awsorch import Away, step

_RUNTIME = "localemu" if importlib.util.find_spec("localemu") else "localstack"
_ENGINE = importlib.import_module(f"{_RUNTIME}.services.cloudformation.resource_provider")
#: The property in which LocalStack keeps what Ref answers, and ours.
ID = "AwsorchId"
_OWN = frozenset({ID, "AwsorchAttributes"})


class Provider(_ENGINE.ResourceProvider):  # type: ignore[misc, name-defined]
    """A type; ``TYPE`` is its name."""

    TYPE = ""
    SCHEMA: ClassVar[dict[str, Any]] = {}

    def create(self, request: Any) -> Any:
        return self._carried(request, "CREATE", request.desired_state, {})

    def update(self, request: Any) -> Any:
        before = dict(request.previous_state or {})
        doing = request.custom_context.get("doing", "UPDATE")
        if doing == "DELETE":
            return self._removed(request, before)
        if doing == "CREATE":
            return self._carried(request, "CREATE", request.desired_state, before)
        return self._carried(request, "UPDATE", request.desired_state, before)

    def delete(self, request: Any) -> Any:
        before = dict(request.previous_state or request.desired_state or {})
        if not before.get(ID):
            return _ended("SUCCESS", {})
        return self._told(request, self._step(request, "DELETE", before, {}, before), before, final={})

    def _carried(self, request: Any, action: str, wanted: dict[str, Any], before: dict[str, Any]) -> Any:
        told = self._step(request, action, wanted, before, before if action == "UPDATE" else {})
        if told["outcome"] == "REPLACE":
            return _goes_on(wanted, {"doing": "CREATE"})
        made = _without_own(wanted) | told.get("attributes", {})
        made |= {ID: told.get("physicalId") or wanted.get(ID, ""), "AwsorchAttributes": told.get("attributes", {})}
        if told["outcome"] == "SUCCESS" and action == "CREATE" and before.get(ID) not in (None, "", made[ID]):
            return _goes_on(made, {"doing": "DELETE", "callback": {}, "id": ""})
        return self._told(request, told, wanted, final=made)

    def _removed(self, request: Any, before: dict[str, Any]) -> Any:
        """What an update has replaced goes; the new one is there already."""
        return self._told(
            request,
            self._step(request, "DELETE", before, {}, before),
            request.desired_state,
            final=request.desired_state,
        )

    def _told(self, request: Any, told: dict[str, Any], kept: dict[str, Any], *, final: dict[str, Any]) -> Any:
        if told["outcome"] == "SUCCESS":
            return _ended("SUCCESS", final)
        if told["outcome"] == "FAILED":
            return _ended("FAILED", kept, f"{told.get('message', '')} ({told.get('code', '')})")
        return _goes_on(kept, {"callback": told.get("callback", {}), "id": told.get("physicalId", "")})

    def _step(
        self, request: Any, action: str, model: dict[str, Any], previous: dict[str, Any], there: dict[str, Any]
    ) -> dict[str, Any]:
        context = request.custom_context
        generation = there.get(ID, "") if action != "CREATE" else previous.get(ID, "")
        named = f"{request.stack_id} {request.logical_resource_id} {generation}"
        asked = {
            "action": action,
            "type": self.TYPE,
            "logicalId": request.logical_resource_id,
            "stackName": request.stack_name,
            "stackId": request.stack_id,
            "token": hashlib.sha256(named.encode()).hexdigest(),
            "model": _declared(model),
            "previous": _declared(previous),
            "physicalId": context.get("id") or there.get(ID, ""),
            "attributes": there.get("AwsorchAttributes", {}),
            "callback": context.get("callback", {}),
            "tags": dict(request.tags or {}),
            "previousTags": dict(request.previous_tags or {}),
        }
        try:
            return step(asked, request.region_name)
        except (Away, ValueError) as error:
            return {"outcome": "FAILED", "message": str(error), "code": "ServiceInternalError"}


def _without_own(model: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name not in _OWN}


def _declared(model: dict[str, Any]) -> dict[str, Any]:
    """What the template says: LocalStack hands attributes round among the properties."""
    told = model.get("AwsorchAttributes", {})
    return {name: value for name, value in _without_own(model).items() if name not in told}


def _ended(status: str, model: dict[str, Any], message: str = "") -> Any:
    return _ENGINE.ProgressEvent(status=_ENGINE.OperationStatus[status], resource_model=model, message=message)


def _goes_on(model: dict[str, Any], context: dict[str, Any]) -> Any:
    return _ENGINE.ProgressEvent(
        status=_ENGINE.OperationStatus.IN_PROGRESS, resource_model=model, custom_context=context
    )


def _plugin(name: str) -> Any:
    """LocalStack's plug-in for one of the types."""
    type_name = f"AWS::ECS::{name}"
    schema = {"typeName": type_name, "primaryIdentifier": [f"/properties/{ID}"], "properties": {}}
    provider = type(f"{name}Provider", (Provider,), {"TYPE": type_name, "SCHEMA": schema})

    def load(self: Any, *_: Any) -> None:
        self.factory = provider

    base = _ENGINE.CloudFormationResourceProviderPlugin
    return type(f"{name}Plugin", (base,), {"name": type_name, "factory": None, "load": load})


CapacityProvider = _plugin("CapacityProvider")
Cluster = _plugin("Cluster")
Associations = _plugin("ClusterCapacityProviderAssociations")
Service = _plugin("Service")
TaskDefinition = _plugin("TaskDefinition")
