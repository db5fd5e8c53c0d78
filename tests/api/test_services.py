"""Services through boto3: made, kept, rolled out, turned back, deleted, and shown as ECS shows them."""

from __future__ import annotations

from typing import Any

from tests.api.services import QUICK, describe, refused, settle, until
from tests.support.obedience import ObedientAgents

ARN = "arn:aws:ecs:us-east-1:123456789012"


def test_a_new_service_is_shown_with_every_default(ecs: Any, web_task: str) -> None:
    service = ecs.create_service(serviceName="a", taskDefinition="web:1", desiredCount=2)["service"]
    (deployment,) = service.pop("deployments")
    (revision,) = service.pop("currentServiceRevisions")
    number = deployment["id"].removeprefix("ecs-svc/")
    created = service.pop("createdAt")
    running = service.pop("currentServiceDeployment")
    assert running.startswith(f"{ARN}:service-deployment/default/a/")
    assert len(running.rpartition("/")[2]) == 21
    assert service == {
        "serviceArn": f"{ARN}:service/default/a",
        "serviceName": "a",
        "clusterArn": f"{ARN}:cluster/default",
        "loadBalancers": [],
        "serviceRegistries": [],
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": 0,
        "pendingCount": 0,
        "launchType": "EC2",
        "taskDefinition": web_task,
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {
                "enable": False,
                "rollback": False,
                "resetOnHealthyTask": True,
                "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
            },
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            "alarms": {"alarmNames": [], "rollback": False, "enable": False},
            "strategy": "ROLLING",
            "bakeTimeInMinutes": 0,
        },
        "events": [],
        "placementConstraints": [],
        "placementStrategy": [],
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "tags": [],
        "createdBy": "arn:aws:iam::123456789012:root",
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "enableExecuteCommand": False,
        "availabilityZoneRebalancing": "ENABLED",
        "resourceManagementType": "CUSTOMER",
    }
    assert number.isdigit()
    assert len(number) in (19, 20)
    assert deployment == {
        "id": f"ecs-svc/{number}",
        "status": "PRIMARY",
        "taskDefinition": web_task,
        "desiredCount": 0,
        "pendingCount": 0,
        "runningCount": 0,
        "failedTasks": 0,
        "createdAt": created,
        "updatedAt": created,
        "launchType": "EC2",
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment ecs-svc/{number} in progress.",
    }
    assert revision == {
        "arn": f"{ARN}:service-revision/default/a/{number}",
        "requestedTaskCount": 0,
        "runningTaskCount": 0,
        "pendingTaskCount": 0,
    }


def test_a_service_lives_from_creation_to_inactive(ecs: Any, agents: ObedientAgents, second_web: str) -> None:
    ecs.create_service(serviceName="a", taskDefinition="web:1", desiredCount=2)
    settle(ecs, "a")
    first = describe(ecs, "a")
    assert "currentServiceDeployment" not in first
    assert first["deployments"][0]["rolloutState"] == "COMPLETED"
    ids = {arn.rpartition("/")[2] for arn in ecs.list_tasks(serviceName="a")["taskArns"]}
    (started,) = [event["message"] for event in first["events"] if "has started" in event["message"]]
    assert started.startswith("(service a) has started 2 tasks: (task ")
    assert all(f"(task {task_id})" in started for task_id in ids)

    updated = ecs.update_service(service=first["serviceArn"], taskDefinition="web")["service"]
    assert updated["taskDefinition"] == second_web
    old, new = first["deployments"][0], updated["deployments"][0]
    assert [(d["status"], d["desiredCount"], d["rolloutState"]) for d in updated["deployments"]] == [
        ("PRIMARY", 0, "IN_PROGRESS"),
        ("ACTIVE", 2, "COMPLETED"),
    ]
    assert updated["deployments"][1]["id"] == old["id"]
    settle(ecs, "a")
    assert [d["id"] for d in describe(ecs, "a")["deployments"]] == [new["id"]]
    assert describe(ecs, "a")["events"][0]["message"] == "(service a) has reached a steady state."

    with refused("InvalidParameterException", "The service cannot be stopped while it is scaled above 0."):
        ecs.delete_service(service="a")
    assert ecs.update_service(service="a", desiredCount=0)["service"]["deployments"][0]["id"] == new["id"]
    settle(ecs, "a")
    assert ecs.delete_service(service="a")["service"]["status"] == "DRAINING"
    assert ecs.list_services()["serviceArns"] == []
    ecs.get_waiter("services_inactive").wait(services=["a"], WaiterConfig=QUICK)
    gone = describe(ecs, "a")
    assert (gone["deployments"], gone["desiredCount"], gone["taskDefinition"]) == ([], 0, second_web)
    with refused("ServiceNotActiveException", "Service was not ACTIVE."):
        ecs.update_service(service="a", desiredCount=1)
    with refused("ServiceNotFoundException", "Service not found."):
        ecs.delete_service(service="a")
    assert ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=0)["service"]["events"] == []


def test_a_forced_deletion_stops_what_runs(ecs: Any, agents: ObedientAgents, web_task: str) -> None:
    ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=3)
    settle(ecs, "a")
    agents.paused = True
    assert ecs.delete_service(service="a", force=True)["service"]["status"] in ("DRAINING", "INACTIVE")
    ecs.get_waiter("services_inactive").wait(services=["a"], WaiterConfig=QUICK)
    assert len(ecs.list_tasks(serviceName="a", desiredStatus="STOPPED")["taskArns"]) == 3


def test_a_daemon_runs_on_every_instance(ecs: Any, agents: ObedientAgents, web_task: str) -> None:
    made = ecs.create_service(serviceName="d", taskDefinition="web", schedulingStrategy="DAEMON")["service"]
    percents = [made["deploymentConfiguration"][m] for m in ("minimumHealthyPercent", "maximumPercent")]
    assert (percents, made["availabilityZoneRebalancing"]) == ([0, 100], "DISABLED")
    assert until(ecs, "d", "runningCount == `2`")["desiredCount"] == 2
    assert ecs.delete_service(service="d")["service"]["status"] in ("DRAINING", "INACTIVE")


def test_a_repeated_creation_answers_the_same_service(ecs: Any, web_task: str) -> None:
    asked = {"serviceName": "a", "taskDefinition": "web", "desiredCount": 0, "clientToken": "t"}
    first = ecs.create_service(**asked)["service"]
    ecs.deregister_task_definition(taskDefinition="web:1")
    assert ecs.create_service(**asked)["service"]["createdAt"] == first["createdAt"]
    ecs.register_task_definition(family="web", containerDefinitions=[{"name": "b", "image": "b", "memory": 8}])
    for other in ({"clientToken": "u"}, {"desiredCount": 1}):
        with refused("InvalidParameterException", "Creation of service was not idempotent."):
            ecs.create_service(**{**asked, **other})


def test_services_are_listed_by_tens_and_filtered(ecs: Any, web_task: str) -> None:
    for n in range(23):
        strategy = {"desiredCount": 0} if n % 2 else {"schedulingStrategy": "DAEMON"}
        ecs.create_service(serviceName=f"s{n:02d}", taskDefinition="web", **strategy)
    names = [f"{ARN}:service/default/s{n:02d}" for n in range(23)]
    assert ecs.list_services()["serviceArns"] == names[:10]
    pages = [page["serviceArns"] for page in ecs.get_paginator("list_services").paginate()]
    assert [len(page) for page in pages] == [10, 10, 3]
    assert [arn for page in pages for arn in page] == names
    daemons = ecs.get_paginator("list_services").paginate(schedulingStrategy="DAEMON", launchType="EC2")
    assert daemons.build_full_result()["serviceArns"] == names[::2]
    assert ecs.list_services(launchType="EXTERNAL")["serviceArns"] == []
    assert ecs.list_services(resourceManagementType="ECS")["serviceArns"] == []


def test_services_are_named_by_name_and_arn(ecs: Any, web_task: str) -> None:
    arn = ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=0)["service"]["serviceArn"]
    answer = ecs.describe_services(services=["a", arn, f"{ARN}:service/a", "b"])
    assert [service["serviceArn"] for service in answer["services"]] == [arn]
    assert answer["failures"] == [{"arn": f"{ARN}:service/default/b", "reason": "MISSING"}]
    ecs.create_cluster(clusterName="other")
    assert ecs.describe_services(cluster="other", services=[arn])["failures"][0]["reason"] == "MISSING"
    with refused("InvalidParameterException", "Invalid identifier: Identifier is for cluster default."):
        ecs.delete_service(cluster="other", service=arn)
    with refused("InvalidParameterException", "Services can have at most 10 items."):
        ecs.describe_services(services=[f"s{n}" for n in range(11)])
    with refused("InvalidParameterException", "Services cannot be empty."):
        ecs.describe_services(services=[])
    assert ecs.list_tasks(serviceName="a")["taskArns"] == []
    with refused("ServiceNotFoundException", "Service not found."):
        ecs.list_tasks(serviceName="b")


def test_tags_of_services(ecs: Any, agents: ObedientAgents, web_task: str) -> None:
    tag = {"key": "env", "value": "prod"}
    asked = {"propagateTags": "SERVICE", "enableECSManagedTags": True, "tags": [tag]}
    arn = ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=1, **asked)["service"]["serviceArn"]
    settle(ecs, "a")
    (task,) = ecs.describe_tasks(tasks=ecs.list_tasks(serviceName="a")["taskArns"], include=["TAGS"])["tasks"]
    tags = {item["key"]: item["value"] for item in task["tags"]}
    assert tags == {"env": "prod", "aws:ecs:clusterName": "default", "aws:ecs:serviceName": "a"}
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "team", "value": "x"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["env"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "team", "value": "x"}]
    assert describe(ecs, "a")["tags"] == [{"key": "team", "value": "x"}]
    assert ecs.describe_services(services=["a"])["services"][0]["tags"] == []
    with refused("InvalidParameterException", "Long arn format must be used for tagging operations"):
        ecs.tag_resource(resourceArn=f"{ARN}:service/a", tags=[tag])
    ecs.delete_service(service="a", force=True)
    ecs.get_waiter("services_inactive").wait(services=["a"], WaiterConfig=QUICK)
    with refused("InvalidParameterException", "The specified service is inactive."):
        ecs.tag_resource(resourceArn=arn, tags=[tag])


def test_clusters_count_services_and_are_not_deleted_with_them(ecs: Any, web_task: str) -> None:
    for name in ("a", "b"):
        ecs.create_service(serviceName=name, taskDefinition="web", desiredCount=0)
    (cluster,) = ecs.describe_clusters(include=["STATISTICS"])["clusters"]
    statistics = {item["name"]: item["value"] for item in cluster["statistics"]}
    assert (cluster["activeServicesCount"], statistics["activeEC2ServiceCount"]) == (2, "2")
    with refused("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."):
        ecs.delete_cluster(cluster="default")
    for name in ("a", "b"):
        ecs.delete_service(service=name)
    ecs.get_waiter("services_inactive").wait(services=["a"], WaiterConfig=QUICK)
    ecs.get_waiter("services_inactive").wait(services=["b"], WaiterConfig=QUICK)
    assert ecs.delete_cluster(cluster="default")["cluster"]["activeServicesCount"] == 0
    with refused("ClusterNotFoundException", "The referenced cluster was inactive."):
        ecs.create_service(serviceName="a", taskDefinition="web", desiredCount=0)


def test_namespaces(ecs: Any) -> None:
    ecs.create_cluster(clusterName="meshed", serviceConnectDefaults={"namespace": "mesh"})
    assert ecs.list_services_by_namespace(namespace="mesh")["serviceArns"] == []
    with refused("NamespaceNotFoundException", "Namespace not found."):
        ecs.list_services_by_namespace(namespace="other")
