"""Clusters, settings and tags through boto3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.served import ServedApi


def test_a_new_cluster_looks_as_in_ecs(api: ServedApi) -> None:
    cluster = api.ecs.create_cluster(clusterName="c1", tags=[{"key": "a", "value": "b"}])["cluster"]
    assert cluster == {
        "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/c1",
        "clusterName": "c1",
        "status": "ACTIVE",
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": 0,
        "pendingTasksCount": 0,
        "activeServicesCount": 0,
        "statistics": [],
        "tags": [{"key": "a", "value": "b"}],
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
    }


def test_creating_twice_is_idempotent_unless_it_differs(ecs: Any) -> None:
    assert ecs.create_cluster()["cluster"]["clusterName"] == "default"
    with pytest.raises(ClientError, match="Arguments on this idempotent request are inconsistent"):
        ecs.create_cluster(settings=[{"name": "containerInsights", "value": "enabled"}])
    ecs.update_cluster_settings(cluster="default", settings=[{"name": "containerInsights", "value": "enabled"}])
    (setting,) = ecs.create_cluster()["cluster"]["settings"]
    assert setting["value"] == "enabled", "what is not asked for may be anything"


def test_a_new_cluster_follows_the_account_setting(ecs: Any) -> None:
    ecs.put_account_setting_default(name="containerInsights", value="enhanced")
    assert ecs.create_cluster(clusterName="a")["cluster"]["settings"][0]["value"] == "enhanced"
    given = [{"name": "containerInsights", "value": "disabled"}]
    assert ecs.create_cluster(clusterName="b", settings=given)["cluster"]["settings"] == given


def test_describe_includes_what_is_asked_for(ecs: Any) -> None:
    plain = ecs.describe_clusters(clusters=["default", "nope"])
    assert plain["clusters"][0]["settings"] == []
    assert plain["failures"] == [{"arn": "arn:aws:ecs:us-east-1:123456789012:cluster/nope", "reason": "MISSING"}]
    (full,) = ecs.describe_clusters(include=["SETTINGS", "STATISTICS", "TAGS", "CONFIGURATIONS", "ATTACHMENTS"])[
        "clusters"
    ]
    assert full["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert {"name": "runningEC2TasksCount", "value": "0"} in full["statistics"]


def test_update_and_delete(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    updated = ecs.update_cluster_settings(
        cluster="default", settings=[{"name": "containerInsights", "value": "enhanced"}]
    )
    assert updated["cluster"]["settings"] == [{"name": "containerInsights", "value": "enhanced"}]
    instance = register_instance()
    (task,) = ecs.run_task(taskDefinition="web")["tasks"]
    with pytest.raises(ecs.exceptions.ClusterContainsContainerInstancesException):
        ecs.delete_cluster(cluster="default")
    ecs.deregister_container_instance(containerInstance=instance, force=True)
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
    assert ecs.delete_cluster(cluster="default")["cluster"]["status"] == "INACTIVE"
    assert ecs.list_clusters()["clusterArns"] == []
    assert ecs.describe_clusters()["clusters"][0]["status"] == "INACTIVE"
    with pytest.raises(ClientError, match="The referenced cluster was inactive"):
        ecs.run_task(taskDefinition="web")
    with pytest.raises(ClientError, match="Cluster was not ACTIVE"):
        ecs.update_cluster_settings(cluster="default", settings=[{"name": "containerInsights", "value": "enabled"}])
    assert ecs.create_cluster()["cluster"]["status"] == "ACTIVE"


def test_counts_follow_last_status(
    api: ServedApi, ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    instance = register_instance()
    one, two, three = ecs.run_task(taskDefinition="web", count=3)["tasks"]

    def report(task: dict[str, Any], status: str) -> None:
        containers = [{"containerName": "app", "status": status}]
        ecs.submit_task_state_change(cluster="default", task=task["taskArn"], status=status, containers=containers)

    def counts() -> tuple[int, int, str, str]:
        (cluster,) = ecs.describe_clusters(include=["STATISTICS"])["clusters"]
        statistics = {item["name"]: item["value"] for item in cluster["statistics"]}
        numbers = (cluster["runningTasksCount"], cluster["pendingTasksCount"])
        return *numbers, statistics["runningEC2TasksCount"], statistics["pendingEC2TasksCount"]

    assert counts() == (0, 3, "0", "3")
    report(one, "RUNNING")
    report(two, "RUNNING")
    ecs.stop_task(task=one["taskArn"])
    assert counts() == (2, 1, "2", "1"), "a task that is being stopped still runs"
    for task in (one, three):
        report(task, "STOPPED")
    assert counts() == (1, 0, "1", "0")
    (seen,) = ecs.describe_container_instances(containerInstances=[instance])["containerInstances"]
    assert (seen["runningTasksCount"], seen["pendingTasksCount"]) == (1, 0)


def test_unknown_things_have_no_tags(ecs: Any) -> None:
    unknown = f"arn:aws:ecs:us-east-1:123456789012:task/default/{'0' * 32}"
    with pytest.raises(ecs.exceptions.ResourceNotFoundException, match="The specified task was not found"):
        ecs.tag_resource(resourceArn=unknown, tags=[{"key": "a", "value": "b"}])
    with pytest.raises(ecs.exceptions.ResourceNotFoundException):
        ecs.untag_resource(resourceArn=unknown, tagKeys=["a"])
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="The specified task was not found"):
        ecs.list_tags_for_resource(resourceArn=unknown)
    with pytest.raises(ClientError, match="Long arn format must be used"):
        ecs.tag_resource(resourceArn=unknown.replace("default/", ""), tags=[{"key": "a", "value": "b"}])
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.list_tags_for_resource(resourceArn="arn:aws:ecs:us-east-1:123456789012:cluster/nope")


def test_listing_pages(api: ServedApi) -> None:
    for number in range(5):
        api.ecs.create_cluster(clusterName=f"c{number}")
    pages = list(api.ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["clusterArns"]) for page in pages] == [2, 2, 1]


def test_tags_on_everything(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    instance = register_instance()
    (task,) = ecs.run_task(taskDefinition="web", propagateTags="TASK_DEFINITION", enableECSManagedTags=True)["tasks"]
    assert {"key": "team", "value": "a"} in task["tags"]
    assert {"key": "aws:ecs:clusterName", "value": "default"} in task["tags"]
    cluster = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
    for arn in (cluster, web_task, instance, task["taskArn"]):
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "k", "value": "1"}, {"key": "l", "value": "2"}])
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "k", "value": "3"}])
        ecs.untag_resource(resourceArn=arn, tagKeys=["l", "unknown"])
        tags = ecs.list_tags_for_resource(resourceArn=arn)["tags"]
        assert {"key": "k", "value": "3"} in tags
        assert all(tag["key"] != "l" for tag in tags)
    with pytest.raises(ClientError, match="The ARN provided is invalid"):
        ecs.tag_resource(resourceArn="what", tags=[{"key": "k", "value": "1"}])
