"""AWS::ECS::Service. Source: its page in the CloudFormation template reference; operations CreateService,
UpdateService, DeleteService; ECS developer guide on deployments and their circuit breaker.

It is complete when its deployment is: while tasks come and go the step is to be asked for again. A deployment that its
circuit breaker or an alarm ended fails the resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused, Progress, Request, done, failed, waiting
from awsorch.cfn.shapes import fit_some
from awsorch.cfn.tags import all_tags, tag_list, update_tags

_RENAMED = {"PlacementStrategies": "placementStrategy"}
_NOT_SENT = frozenset({"Tags", "ForceNewDeployment", "ServiceName", "Cluster"})
_GONE = frozenset({"ServiceNotFoundException", "ServiceNotActiveException", "ClusterNotFoundException"})
_BREAKER = "ECS Deployment Circuit Breaker was triggered"


class EcsService:
    """Ref: the service's ARN. GetAtt: Name, ServiceArn."""

    type = "AWS::ECS::Service"
    replaced_by = frozenset({"Cluster", "LaunchType", "Role", "SchedulingStrategy", "ServiceName"})

    async def create(self, calls: AwsCalls, request: Request) -> Progress:
        """CreateService, then until its deployment is complete."""
        if request.callback:
            return await _follow(calls, request)
        model = request.model
        sent = {_RENAMED.get(name, name): value for name, value in model.items() if name not in _NOT_SENT}
        members = fit_some("ecs", "CreateService", sent, sent)
        members["serviceName"] = model.get("ServiceName") or request.name()
        members["clientToken"] = request.token[:32]
        tags = tag_list(all_tags(model, request.tags))
        if tags:
            members["tags"] = tags
        if _counts(model):
            members.setdefault("desiredCount", 1)
        answer = await calls.call("ecs", "CreateService", {"cluster": _cluster(model), **members})
        return _begun(answer["service"], model)

    async def update(self, calls: AwsCalls, request: Request) -> Progress:
        """UpdateService with what changed, then until its deployment is complete."""
        if request.callback:
            return await _follow(calls, request)
        model = request.model
        changed = request.changed() - _NOT_SENT
        sent = {_RENAMED.get(name, name): model[name] for name in changed if name in model}
        members = fit_some("ecs", "UpdateService", sent, sent) | _emptied(changed - model.keys())
        if _is_forced(request):
            members["forceNewDeployment"] = True
        named = {"cluster": _cluster(model), "service": request.physical_id}
        service = await _describe(calls, model, request.physical_id)
        if service is None:
            return failed(f"The service {request.physical_id} is not there any more.", "NotFound", request.physical_id)
        await update_tags(calls, request, service["serviceArn"])
        if members:
            service = (await calls.call("ecs", "UpdateService", {**named, **members}))["service"]
        return _begun(service, model)

    async def delete(self, calls: AwsCalls, request: Request) -> Progress:
        """DeleteService by force, then until it is INACTIVE: its tasks stop."""
        named = {"cluster": _cluster(request.model), "service": request.physical_id}
        try:
            if not request.callback:
                await calls.call("ecs", "DeleteService", {**named, "force": True})
            service = await _describe(calls, request.model, request.physical_id)
        except CallRefused as error:
            if error.code not in _GONE:
                raise
            return done(request.physical_id)
        if service is None or service["status"] == "INACTIVE":
            return done(request.physical_id)
        return waiting(request.physical_id, deleting=True)


def _begun(service: Mapping[str, Any], model: Mapping[str, Any]) -> Progress:
    arn = service["serviceArn"]
    if _controller(model) != "ECS" or not service.get("deployments"):
        return _complete(service)
    primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
    return waiting(arn, deployment=primary["id"])


async def _follow(calls: AwsCalls, request: Request) -> Progress:
    """How the deployment stands that the first step began."""
    arn = request.physical_id
    service = await _describe(calls, request.model, arn)
    if service is None or service["status"] != "ACTIVE":
        return failed(f"The service {arn} is not there any more.", "NotFound", arn)
    wanted = request.callback["deployment"]
    deployment = next((each for each in service["deployments"] if each["id"] == wanted), None)
    state = deployment.get("rolloutState", "COMPLETED") if deployment else "SUPERSEDED"
    if state == "COMPLETED":
        return _complete(service)
    if state == "FAILED":
        return failed(_why(deployment or {}), "GeneralServiceException", arn)
    if state == "SUPERSEDED":
        # Somebody else's deployment, or the breaker's own way back: what it ends in says how ours went.
        return await _follow_other(calls, request, service)
    return waiting(arn, **request.callback)


async def _follow_other(calls: AwsCalls, request: Request, service: Mapping[str, Any]) -> Progress:
    named = {"cluster": _cluster(request.model), "service": request.physical_id}
    answer = await calls.call("ecs", "ListServiceDeployments", named)
    arns = [each["serviceDeploymentArn"] for each in answer["serviceDeployments"][:1]]
    latest: Mapping[str, Any] = {}
    if arns:
        described = await calls.call("ecs", "DescribeServiceDeployments", {"serviceDeploymentArns": arns})
        latest = next(iter(described["serviceDeployments"]), {})
    status = str(latest.get("status", "STOPPED"))
    if status in ("PENDING", "IN_PROGRESS"):
        return waiting(request.physical_id, **request.callback)
    if status == "SUCCESSFUL":
        return _complete(service)
    why = latest.get("statusReason") or f"The deployment ended as {status}."
    if (latest.get("deploymentCircuitBreaker") or {}).get("status") == "TRIGGERED":
        why = _BREAKER
    reason = str((latest.get("rollback") or {}).get("reason", ""))
    said = f"Error occurred during operation '{why}'." + (f" {reason}" if reason else "")
    return failed(said, "GeneralServiceException", request.physical_id)


def _why(deployment: Mapping[str, Any]) -> str:
    reason = str(deployment.get("rolloutStateReason", ""))
    what = _BREAKER if "circuit breaker" in reason else "ECS Deployment failed"
    return f"Error occurred during operation '{what}'." + (f" {reason}" if reason else "")


def _complete(service: Mapping[str, Any]) -> Progress:
    return done(service["serviceArn"], Name=service["serviceName"], ServiceArn=service["serviceArn"])


async def _describe(calls: AwsCalls, model: Mapping[str, Any], arn: str) -> Mapping[str, Any] | None:
    answer = await calls.call("ecs", "DescribeServices", {"cluster": _cluster(model), "services": [arn]})
    return next(iter(answer["services"]), None)


def _cluster(model: Mapping[str, Any]) -> str:
    return str(model.get("Cluster") or "default")


def _controller(model: Mapping[str, Any]) -> str:
    return str((model.get("DeploymentController") or {}).get("Type", "ECS"))


def _counts(model: Mapping[str, Any]) -> bool:
    return str(model.get("SchedulingStrategy", "REPLICA")) == "REPLICA"


def _is_forced(request: Request) -> bool:
    forced = request.model.get("ForceNewDeployment") or {}
    return "ForceNewDeployment" in request.changed() and str(forced.get("EnableForceNewDeployment")).lower() == "true"


def _emptied(names: set[str]) -> dict[str, Any]:
    """What a property that an update takes away becomes: nothing, where the operation can say so."""
    lists = {"CapacityProviderStrategy", "LoadBalancers", "PlacementConstraints", "ServiceRegistries"}
    empty: dict[str, Any] = {name[0].lower() + name[1:]: [] for name in names & lists}
    if "PlacementStrategies" in names:
        empty["placementStrategy"] = []
    if "HealthCheckGracePeriodSeconds" in names:
        empty["healthCheckGracePeriodSeconds"] = 0
    if "EnableExecuteCommand" in names:
        empty["enableExecuteCommand"] = False
    return empty
