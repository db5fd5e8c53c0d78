"""How requests may name things: names, ids, short and long ARNs, ARNs of elsewhere, and one thing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:ecs:us-east-1:123456789012"


def refused(code: str, text: str) -> Any:
    """Expect a ClientError of this code with exactly this message."""
    return pytest.raises(ClientError, match=rf"\({code}\) when calling the \w+ operation: {text}$")


@pytest.fixture
def task(ecs: Any, register_instance: Callable[..., str], web_task: str) -> dict[str, Any]:
    """A task in cluster "default"."""
    register_instance()
    (made,) = ecs.run_task(taskDefinition="web")["tasks"]
    return dict(made)


def test_ids_and_arns_of_both_forms_name_the_same_task(ecs: Any, task: dict[str, Any]) -> None:
    arn = task["taskArn"]
    task_id = arn.rpartition("/")[2]
    answer = ecs.describe_tasks(tasks=[task_id, arn, f"{ARN}:task/{task_id}"], cluster=f"{ARN}:cluster/default")
    assert [found["taskArn"] for found in answer["tasks"]] == [arn]
    assert answer["failures"] == []


def test_an_instance_named_twice_is_one(ecs: Any, task: dict[str, Any]) -> None:
    arn = task["containerInstanceArn"]
    names = [arn, arn.rpartition("/")[2]]
    assert len(ecs.describe_container_instances(containerInstances=names)["containerInstances"]) == 1
    changed = ecs.update_container_instances_state(containerInstances=names, status="DRAINING")
    assert [found["containerInstanceArn"] for found in changed["containerInstances"]] == [arn]


def test_what_another_cluster_has_is_missing_here(ecs: Any, task: dict[str, Any]) -> None:
    ecs.create_cluster(clusterName="other")
    arn, instance = task["taskArn"], task["containerInstanceArn"]
    for answer in (
        ecs.describe_tasks(cluster="other", tasks=[arn]),
        ecs.describe_container_instances(cluster="other", containerInstances=[instance]),
        ecs.update_container_instances_state(cluster="other", containerInstances=[instance], status="ACTIVE"),
    ):
        assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]
    with refused(
        "InvalidParameterException", "Invalid identifier: Identifier is for cluster default. Your cluster is other"
    ):
        ecs.stop_task(cluster="other", task=arn)


def test_arns_of_another_region_or_account(ecs: Any, task: dict[str, Any]) -> None:
    region, account = ARN.replace("us-east-1", "eu-west-1"), ARN.replace("123456789012", "999999999999")
    wrong_region = refused("InvalidParameterException", "Invalid Region in ARN")
    wrong_account = refused(
        "InvalidParameterException", "Identifier is for 999999999999. Your accountId is 123456789012"
    )
    for prefix, refusal in ((region, wrong_region), (account, wrong_account)):
        with refusal:
            ecs.list_tasks(cluster=f"{prefix}:cluster/default")
        with refusal:
            ecs.describe_clusters(clusters=[f"{prefix}:cluster/default"])
        with refusal:
            ecs.describe_tasks(tasks=[task["taskArn"].replace(ARN, prefix)])
        with refusal:
            ecs.run_task(taskDefinition=f"{prefix}:task-definition/web:1")


def test_what_can_be_no_name(ecs: Any, task: dict[str, Any]) -> None:
    with refused("InvalidParameterException", "Task Identifier is invalid"):
        ecs.stop_task(task=task["containerInstanceArn"])
    with refused("InvalidParameterException", "Container Instance Identifier is invalid"):
        ecs.describe_container_instances(containerInstances=[task["taskArn"]])
    with refused("InvalidParameterException", r"Cluster must match \^\[a-zA-Z0-9\\-_\]\{1,255\}\$, but was a b"):
        ecs.list_tasks(cluster="a b")
    with refused("ClusterNotFoundException", "Cluster not found."):
        ecs.list_tasks(cluster="nope")


def test_a_deregistered_instance_can_not_be_drained(ecs: Any, register_instance: Callable[..., str]) -> None:
    arn = register_instance()
    ecs.deregister_container_instance(containerInstance=arn)
    changed = ecs.update_container_instances_state(containerInstances=[arn, "0" * 32], status="DRAINING")
    assert [(f["arn"], f["reason"]) for f in changed["failures"]] == [
        (arn, "INACTIVE"),
        (f"{ARN}:container-instance/default/{'0' * 32}", "MISSING"),
    ]
    (seen,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    assert (seen["status"], seen["agentConnected"]) == ("INACTIVE", False)
