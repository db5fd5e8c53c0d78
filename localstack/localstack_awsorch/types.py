"""CloudFormation's `AWS::ECS::*` types in LocalStack's stack engine: each step is awsorch's (POST /awsorch/resources).

The same handlers make them in awsorch's own local stacks and in an AWS account.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import time
from typing import Any, ClassVar

from localstack_awsorch.awsorch import Away, step

_RUNTIME = "localemu" if importlib.util.find_spec("localemu") else "localstack"
_ENGINE = importlib.import_module(f"{_RUNTIME}.services.cloudformation.resource_provider")
_CONFIG = importlib.import_module(f"{_RUNTIME}.config")
#: The property in which LocalStack keeps what Ref answers, and ours.
ID = "AwsorchId"
_OWN = frozenset({ID, "AwsorchAttributes"})
#: So many steps awsorch may be away, as while it starts again; about one a second.
AWAY_STEPS = 60
#: Steps that are left for removing what could not be made.
UNDO_STEPS = 30


class Provider(_ENGINE.ResourceProvider):  # type: ignore[misc, name-defined]
    """A type; ``TYPE`` is its name.

    LocalStack hands the properties that a failed action ended with to the stack's removal: they say what is there.
    """

    TYPE = ""
    SCHEMA: ClassVar[dict[str, Any]] = {}

    def create(self, request: Any) -> Any:
        return self._carried(request, "CREATE", {})

    def update(self, request: Any) -> Any:
        before, there = dict(request.previous_state or {}), request.desired_state
        doing = request.custom_context.get("doing", "UPDATE")
        if doing == "DELETE":  # what the update has replaced; the new one is there already
            return self._told(self._step(request, "DELETE", before, {}, before), there, final=there)
        if doing == "UNDO":
            return self._undone(request, before, there)
        return self._carried(request, doing, before)

    def delete(self, request: Any) -> Any:
        before = dict(request.previous_state or request.desired_state or {})
        if not before.get(ID):
            return _ended("SUCCESS", {})
        return self._told(self._step(request, "DELETE", before, {}, before), before, final={})

    def _carried(self, request: Any, action: str, before: dict[str, Any]) -> Any:
        wanted, there = request.desired_state, before if action == "UPDATE" else {}
        told = self._step(request, action, wanted, before, there)
        if told["outcome"] == "REPLACE":
            return _goes_on(wanted, told, doing="CREATE", callback={}, id="")
        attributes = told.get("attributes") or there.get("AwsorchAttributes", {})
        made = _without_own(wanted) | attributes | {ID: told.get("physicalId", ""), "AwsorchAttributes": attributes}
        replaces = action == "CREATE" and before.get(ID, "") not in ("", made[ID])
        if replaces and told["outcome"] == "SUCCESS":
            return _goes_on(made, told, doing="DELETE", callback={}, id="")
        if replaces and told["outcome"] == "FAILED":
            if not made[ID]:
                return _ended("FAILED", before, _said(told))
            return _goes_on(made, told, doing="UNDO", callback={}, id="", failure=_said(told))
        return self._told(told, made if told["outcome"] == "FAILED" else wanted, final=made)

    def _undone(self, request: Any, before: dict[str, Any], made: dict[str, Any]) -> Any:
        """What should have replaced the former one goes, which stays."""
        told = self._step(request, "DELETE", made, {}, made)
        failure = request.custom_context["failure"]
        if told["outcome"] == "FAILED":
            return _ended("FAILED", before, f"{failure} {made[ID]} was left: {_said(told)}")
        if told["outcome"] == "SUCCESS":
            return _ended("FAILED", before, failure)
        return self._told(told, made, final=before)

    def _told(self, told: dict[str, Any], kept: dict[str, Any], *, final: dict[str, Any]) -> Any:
        if told["outcome"] == "SUCCESS":
            return _ended("SUCCESS", final)
        if told["outcome"] == "FAILED":
            return _ended("FAILED", kept, _said(told))
        return _goes_on(kept, told, callback=told.get("callback", {}), id=told.get("physicalId", ""))

    def _step(
        self, request: Any, action: str, model: dict[str, Any], previous: dict[str, Any], there: dict[str, Any]
    ) -> dict[str, Any]:
        """What awsorch tells, with the id of what is there even where it tells none."""
        context = request.custom_context
        generation = there.get(ID, "") if action != "CREATE" else previous.get(ID, "")
        named = f"{request.stack_id} {request.logical_resource_id} {generation}"
        known = context.get("id") or there.get(ID, "")
        asked = {
            "action": action,
            "type": self.TYPE,
            "logicalId": request.logical_resource_id,
            "stackName": request.stack_name,
            "stackId": request.stack_id,
            "token": hashlib.sha256(named.encode()).hexdigest(),
            "model": _declared(model),
            "previous": _declared(previous),
            "physicalId": known,
            "attributes": there.get("AwsorchAttributes", {}),
            "callback": context.get("callback", {}),
            "tags": dict(request.tags or {}),
            "previousTags": dict(request.previous_tags or {}),
            "retried": context.get("away", 0) > 0,
            "since": context.get("since", time.time()),
        }
        steps, away = context.get("steps", 0) + 1, 0
        try:
            told = step(asked, request.region_name)
        except Away as error:
            away = context.get("away", 0) + 1
            told = {"outcome": "IN_PROGRESS", "callback": asked["callback"], "message": str(error)}
        except ValueError as error:
            told = {"outcome": "FAILED", "message": str(error), "code": "ServiceInternalError"}
        gives_up = away > AWAY_STEPS or (action != "DELETE" and steps >= _patience())
        if told["outcome"] == "IN_PROGRESS" and gives_up:
            why = told.get("message") or f"It has not settled in {steps} looks."
            told |= {"outcome": "FAILED", "message": why, "code": "NotStabilized"}
        counts = {"steps": steps, "away": away, "since": asked["since"]}
        return told | {"physicalId": told.get("physicalId") or known, "counts": counts}


def _without_own(model: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name not in _OWN}


def _declared(model: dict[str, Any]) -> dict[str, Any]:
    """What the template says: LocalStack hands attributes round among the properties."""
    told = model.get("AwsorchAttributes", {})
    return {name: value for name, value in _without_own(model).items() if name not in told}


def _ended(status: str, model: dict[str, Any], message: str = "") -> Any:
    return _ENGINE.ProgressEvent(status=_ENGINE.OperationStatus[status], resource_model=model, message=message)


def _said(told: dict[str, Any]) -> str:
    return f"{told.get('message', '')} ({told.get('code', '')})"


def _patience() -> int:
    """How many steps making may take. LocalStack asks for one a second, and forgets what is there when it gives up by
    itself."""
    steps = max(int(_CONFIG.CFN_PER_RESOURCE_TIMEOUT), 10)
    return max(steps - UNDO_STEPS, steps // 2)


def _goes_on(model: dict[str, Any], told: dict[str, Any], **context: Any) -> Any:
    return _ENGINE.ProgressEvent(
        status=_ENGINE.OperationStatus.IN_PROGRESS, resource_model=model, custom_context=told["counts"] | context
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
