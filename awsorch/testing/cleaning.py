"""Between tests: what a test has made in ECS goes, and what it left in CloudFormation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

PATIENCE_SECONDS = 60.0
FASTEST_SECONDS, SLOWEST_SECONDS = 0.01, 0.2
DEFAULT_CLUSTER = "default"


class NotClean(RuntimeError):
    """Something of a test would not go."""


def clean(ecs: Any, stacks: Any) -> None:
    """Stacks, services, tasks, clusters other than ``default``, task definitions. Raises NotClean."""
    _remove_stacks(stacks)
    for cluster in _every(ecs, "list_clusters", "clusterArns"):
        _empty(ecs, cluster)
    for provider in _providers(ecs):
        ecs.delete_capacity_provider(capacityProvider=provider)
    arns = list(_every(ecs, "list_task_definitions", "taskDefinitionArns"))
    for arn in arns:
        ecs.deregister_task_definition(taskDefinition=arn)
    inactive = list(_every(ecs, "list_task_definitions", "taskDefinitionArns", status="INACTIVE"))
    for start in range(0, len(inactive), 10):
        ecs.delete_task_definitions(taskDefinitions=inactive[start : start + 10])


def _remove_stacks(stacks: Any) -> None:
    there = [each for each in stacks.describe_stacks()["Stacks"] if each["StackStatus"] != "DELETE_COMPLETE"]
    outer = [each["StackId"] for each in there if "ParentId" not in each]
    for id in reversed(outer):
        stacks.update_termination_protection(StackName=id, EnableTerminationProtection=False)
        stacks.delete_stack(StackName=id)
    for id in outer:
        wait(f"stack {id} to be deleted", partial(_has_gone, stacks, id))


def _has_gone(stacks: Any, id: str) -> bool:
    status = stacks.describe_stacks(StackName=id)["Stacks"][0]["StackStatus"]
    if status == "DELETE_FAILED":
        raise NotClean(f"stack {id} can't be deleted: {_why(stacks, id)}")
    return bool(status == "DELETE_COMPLETE")


def _why(stacks: Any, id: str) -> str:
    events = stacks.describe_stack_events(StackName=id)["StackEvents"]
    failed = (each for each in events if each["ResourceStatus"] == "DELETE_FAILED")
    return "; ".join(f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in failed)


def _empty(ecs: Any, cluster: str) -> None:
    for service in _every(ecs, "list_services", "serviceArns", cluster=cluster):
        ecs.delete_service(cluster=cluster, service=service, force=True)
    for task in _every(ecs, "list_tasks", "taskArns", cluster=cluster, desiredStatus="RUNNING"):
        ecs.stop_task(cluster=cluster, task=task, reason="the test is over")

    def nothing_runs() -> bool:
        found = ecs.describe_clusters(clusters=[cluster])["clusters"][0]
        counts = ("runningTasksCount", "pendingTasksCount", "activeServicesCount")
        return not any(found[each] for each in counts)

    wait(f"the tasks of {cluster} to stop", nothing_runs)
    if cluster.rpartition("/")[2] != DEFAULT_CLUSTER:
        for instance in _every(ecs, "list_container_instances", "containerInstanceArns", cluster=cluster):
            ecs.deregister_container_instance(cluster=cluster, containerInstance=instance, force=True)
        ecs.delete_cluster(cluster=cluster)
        return
    described = ecs.describe_clusters(clusters=[cluster])["clusters"][0]
    if described["capacityProviders"] or described["defaultCapacityProviderStrategy"]:
        ecs.put_cluster_capacity_providers(cluster=cluster, capacityProviders=[], defaultCapacityProviderStrategy=[])


def _providers(ecs: Any) -> list[str]:
    found = ecs.describe_capacity_providers()["capacityProviders"]
    return [each["name"] for each in found if not each["name"].startswith("FARGATE") and each["status"] == "ACTIVE"]


def _every(ecs: Any, operation: str, member: str, **arguments: Any) -> Iterator[str]:
    for page in ecs.get_paginator(operation).paginate(**arguments):
        yield from page[member]


def wait(what: str, is_so: Callable[[], bool]) -> None:
    """Look until it is so. Raises NotClean where it takes too long."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, FASTEST_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise NotClean(f"waited {PATIENCE_SECONDS:.0f} seconds for {what}")
        time.sleep(pause)
        pause = min(2 * pause, SLOWEST_SECONDS)
