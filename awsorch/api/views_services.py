"""Services, their deployments, revisions and protected tasks as ECS shows them: pure functions from records to shapes.

Source: ECS API reference, data types Service, Deployment, ServiceDeployment, ServiceRevision, ProtectedTask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.api.views import stamp
from awsorch.api.views_capacity import View, strategy_view
from awsorch.core.arn import parse_arn
from awsorch.core.definitions.document import containers_of
from awsorch.core.model import Cluster, Constraint, LoadBalancer, Strategy, Task
from awsorch.core.model_services import (
    Deployment,
    RevisionCount,
    Service,
    ServiceDeployment,
    ServiceRevision,
)
from awsorch.core.services.deployments import ENDED, count_of, deployments_of, history_of, requested, service_arn
from awsorch.core.services.failures import threshold
from awsorch.core.services.speech import events_of
from awsorch.core.services.tasks import is_protected
from awsorch.core.state import ClusterState
from awsorch.core.tags import tag_list

_LINKED_ROLE = "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"


def service_view(
    service: Service, revision: ServiceRevision, cluster: Cluster, state: ClusterState, include: frozenset[str]
) -> View:
    """A Service; ``include`` as DescribeServices has it, ``revision`` what its PRIMARY deployment runs."""
    deployments = deployments_of(state, service.name)
    crews = state.service_index.crews(service.name).values()
    history = history_of(state, service)
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": cluster.arn,
        "loadBalancers": [load_balancer_view(balancer) for balancer in revision.load_balancers],
        "serviceRegistries": [],
        "status": service.status,
        "desiredCount": service.desired_count,
        "runningCount": sum(phases.running for phases in crews),
        "pendingCount": sum(len(phases.pending) for phases in crews),
        **_launch(revision),
        "taskDefinition": revision.definition_arn,
        "deploymentConfiguration": service.configuration,
        "deployments": [_deployment_view(service, deployment, state) for deployment in deployments],
        "roleArn": _role_arn(service, revision),
        "events": [
            {"id": event.id, "createdAt": stamp(event.created_at), "message": event.message}
            for event in events_of(state, service)
        ],
        "createdAt": stamp(service.created_at),
        "currentServiceDeployment": history.arn if history is not None and history.status not in ENDED else None,
        "currentServiceRevisions": [
            _count_view(service, count_of(state, service, number))
            for number in dict.fromkeys(deployment.revision for deployment in deployments)
        ],
        "placementConstraints": [_constraint_view(constraint) for constraint in service.constraints],
        "placementStrategy": [_strategy_view(strategy) for strategy in service.strategies],
        "networkConfiguration": revision.document.get("networkConfiguration"),
        "healthCheckGracePeriodSeconds": _grace(service, revision),
        "schedulingStrategy": service.scheduling_strategy,
        "deploymentController": {"type": "ECS"},
        "tags": tag_list(service.tags) if "TAGS" in include else [],
        "createdBy": service.created_by,
        "enableECSManagedTags": service.managed_tags,
        "propagateTags": service.propagate_tags,
        "enableExecuteCommand": service.enable_execute_command,
        "availabilityZoneRebalancing": service.zone_rebalancing,
        "resourceManagementType": "CUSTOMER",
    }


def load_balancer_view(balancer: LoadBalancer) -> View:
    """A LoadBalancer."""
    named = (
        {"targetGroupArn": balancer.target_group_arn}
        if balancer.target_group_arn is not None
        else {"loadBalancerName": balancer.load_balancer_name}
    )
    return {**named, "containerName": balancer.container_name, "containerPort": balancer.container_port}


def _launch(revision: ServiceRevision) -> View:
    """Either of two members, never both."""
    if revision.capacity_provider_strategy:
        return {"capacityProviderStrategy": strategy_view(revision.capacity_provider_strategy)}
    return {"launchType": revision.launch_type}


def _role_arn(service: Service, revision: ServiceRevision) -> str | None:
    """The role in which load balancers are called: the service's own or ECS's service-linked one."""
    arn = parse_arn(service.arn)
    if service.role_arn is not None or not revision.load_balancers or arn is None:
        return service.role_arn
    return f"arn:{arn.partition}:iam::{arn.account}:{_LINKED_ROLE}"


def _grace(service: Service, revision: ServiceRevision) -> int | None:
    if service.grace_seconds is None and revision.load_balancers:
        return 0
    return service.grace_seconds


def _constraint_view(constraint: Constraint) -> View:
    return {"type": constraint.type, "expression": constraint.expression}


def _strategy_view(strategy: Strategy) -> View:
    return {"type": strategy.type, "field": strategy.field}


def _deployment_view(service: Service, deployment: Deployment, state: ClusterState) -> View:
    revision = state.service_revisions[f"{service.name}/{deployment.revision}"]
    phases = state.service_index.phases(service.name, deployment.number)
    # ECS tells no rollout state of services behind a Classic Load Balancer.
    classic = any(balancer.load_balancer_name for balancer in revision.load_balancers)
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": revision.definition_arn,
        "desiredCount": requested(state, service, deployment),
        "pendingCount": len(phases.pending),
        "runningCount": phases.running,
        "failedTasks": deployment.failed_tasks,
        "createdAt": stamp(deployment.created_at),
        "updatedAt": stamp(deployment.updated_at),
        **_launch(revision),
        **revision.document,
        "rolloutState": None if classic else deployment.rollout_state,
        "rolloutStateReason": None if classic else deployment.rollout_reason,
    }


def _count_view(service: Service, count: RevisionCount) -> View:
    return {
        "arn": revision_arn(service, count.revision),
        "requestedTaskCount": count.requested,
        "runningTaskCount": count.running,
        "pendingTaskCount": count.pending,
    }


def revision_arn(service: Service, number: str) -> str:
    """ARN of a service revision."""
    return service_arn(service, "service-revision", number)


def service_deployment_brief(history: ServiceDeployment, service: Service, cluster: Cluster) -> View:
    """A ServiceDeploymentBrief."""
    return {
        "serviceDeploymentArn": history.arn,
        "serviceArn": service.arn,
        "clusterArn": cluster.arn,
        "createdAt": stamp(history.created_at),
        "startedAt": stamp(history.started_at),
        "finishedAt": stamp(history.finished_at),
        "targetServiceRevisionArn": revision_arn(service, history.target_revision),
        "status": history.status,
        "statusReason": history.status_reason,
    }


def service_deployment_view(
    history: ServiceDeployment, service: Service, cluster: Cluster, state: ClusterState
) -> View:
    """A ServiceDeployment."""
    target = history.target or count_of(state, service, history.target_revision)
    brief = service_deployment_brief(history, service, cluster)
    del brief["targetServiceRevisionArn"]
    return {
        **brief,
        "stoppedAt": stamp(history.stopped_at),
        "updatedAt": stamp(history.updated_at),
        "sourceServiceRevisions": [_count_view(service, count) for count in history.sources],
        "targetServiceRevision": _count_view(service, target),
        "deploymentConfiguration": history.configuration,
        "rollback": None
        if history.rollback is None
        else {
            "reason": history.rollback.reason,
            "startedAt": stamp(history.rollback.started_at),
            "serviceRevisionArn": revision_arn(service, history.rollback.revision),
        },
        "deploymentCircuitBreaker": _breaker_view(history, service, state),
        "alarms": _alarms_view(history),
    }


def _breaker_view(history: ServiceDeployment, service: Service, state: ClusterState) -> View:
    settings: Mapping[str, Any] = history.configuration["deploymentCircuitBreaker"]
    if not settings["enable"]:
        return {"status": "DISABLED", "failureCount": 0, "threshold": 0}
    failures, limit = history.failure_count, history.failure_threshold
    primary = state.deployments.get(f"{service.name}/{service.deployment}")
    if _is_forward(history) and primary is not None and history.id == service.service_deployment:
        failures, limit = primary.failed_tasks, threshold(service)
    return {
        "status": "TRIGGERED" if history.breaker_triggered else _watching(history),
        "failureCount": failures,
        "threshold": limit,
    }


def _alarms_view(history: ServiceDeployment) -> View:
    settings: Mapping[str, Any] = history.configuration["alarms"]
    names = list(settings["alarmNames"])
    if not settings["enable"]:
        return {"status": "DISABLED", "alarmNames": names}
    triggered = list(history.triggered_alarms)
    status = "TRIGGERED" if triggered else _watching(history)
    return {"status": status, "alarmNames": names, "triggeredAlarmNames": triggered}


def _is_forward(history: ServiceDeployment) -> bool:
    """Whether it is still on its way to its target revision."""
    return history.status not in ENDED and history.rollback is None


def _watching(history: ServiceDeployment) -> str:
    return "MONITORING" if _is_forward(history) else "MONITORING_COMPLETE"


def service_revision_view(revision: ServiceRevision, service: Service, cluster: Cluster, state: ClusterState) -> View:
    """A ServiceRevision."""
    definition = state.definitions[revision.definition].definition
    groups = [b.target_group_arn for b in revision.load_balancers if b.target_group_arn is not None]
    return {
        "serviceRevisionArn": revision.arn,
        "serviceArn": service.arn,
        "clusterArn": cluster.arn,
        "taskDefinition": revision.definition_arn,
        **_launch(revision),
        "loadBalancers": [load_balancer_view(balancer) for balancer in revision.load_balancers],
        "serviceRegistries": [],
        **revision.document,
        "containerImages": [
            {
                "containerName": container["name"],
                "image": container["image"],
                "imageDigest": revision.image_digests.get(container["name"]),
            }
            for container in containers_of(definition)
        ],
        "guardDutyEnabled": False,
        "createdAt": stamp(revision.created_at),
        "resolvedConfiguration": {"loadBalancers": [{"targetGroupArn": group} for group in groups]} if groups else None,
    }


def protection_view(task: Task, now: float) -> View:
    """A ProtectedTask, as it is at this time."""
    protected = is_protected(task, now)
    until = task.service.protected_until if protected and task.service is not None else None
    return {"taskArn": task.arn, "protectionEnabled": protected, "expirationDate": stamp(until)}
