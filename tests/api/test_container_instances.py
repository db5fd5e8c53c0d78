"""Container instances and attributes through boto3, and as agents register them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsorch.core.commands import UpdateAgent
from awsorch.core.events import InstanceHealthReported
from awsorch.core.model import AgentPackage
from tests.support.served import ServedApi


def numbers(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {r["name"]: r["integerValue"] if r["type"] == "INTEGER" else r["stringSetValue"] for r in resources}


def test_registration_echoes_attributes_and_reads_the_identity_document(ecs: Any) -> None:
    document = {
        "instanceId": "i-1",
        "instanceType": "t3.medium",
        "imageId": "ami-1",
        "availabilityZone": "us-east-1b",
        "architecture": "x86_64",
    }
    answer = ecs.register_container_instance(
        instanceIdentityDocument=json.dumps(document),
        totalResources=[{"name": "CPU", "type": "INTEGER", "integerValue": 2048}],
        attributes=[{"name": "ecs.os-type", "value": "linux"}, {"name": "stack", "value": "prod"}],
    )["containerInstance"]
    attributes = {a["name"]: a.get("value") for a in answer["attributes"]}
    assert attributes == {
        "ecs.os-type": "linux",
        "stack": "prod",
        "ecs.ami-id": "ami-1",
        "ecs.availability-zone": "us-east-1b",
        "ecs.instance-type": "t3.medium",
        "ecs.cpu-architecture": "x86_64",
    }
    assert (answer["ec2InstanceId"], answer["status"], answer["agentConnected"]) == ("i-1", "ACTIVE", False)


def test_registering_again_is_the_same_instance(ecs: Any, register_instance: Callable[..., str]) -> None:
    arn = register_instance(cpu=1024)
    again = ecs.register_container_instance(
        containerInstanceArn=arn, totalResources=[{"name": "CPU", "type": "INTEGER", "integerValue": 2048}]
    )["containerInstance"]
    assert again["containerInstanceArn"] == arn
    assert numbers(again["registeredResources"])["CPU"] == 2048
    with pytest.raises(ClientError, match=r"\(ClientException\).*not registered"):
        ecs.register_container_instance(containerInstanceArn=arn[:-4] + "0000")


def test_remaining_resources_follow_tasks(ecs: Any, register_instance: Callable[..., str]) -> None:
    arn = register_instance()
    container = {"name": "app", "image": "busybox", "cpu": 100, "memory": 64}
    ecs.register_task_definition(
        family="ports",
        containerDefinitions=[{**container, "portMappings": [{"containerPort": 80, "hostPort": 8080}]}],
    )
    ecs.run_task(taskDefinition="ports")
    (instance,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    remaining = numbers(instance["remainingResources"])
    assert (remaining["CPU"], remaining["MEMORY"]) == (1948, 3736)
    assert set(remaining["PORTS"]) == {"22", "51678", "8080"}
    assert instance["pendingTasksCount"] == 1
    second = ecs.run_task(taskDefinition="ports")
    assert second["failures"] == [{"arn": arn, "reason": "RESOURCE:PORTS"}]


def test_draining_takes_no_new_tasks(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    arn = register_instance()
    changed = ecs.update_container_instances_state(containerInstances=[arn, "0" * 32], status="DRAINING")
    assert changed["containerInstances"][0]["status"] == "DRAINING"
    assert changed["failures"][0]["reason"] == "MISSING"
    with pytest.raises(ClientError, match="No Container Instances were found in your cluster"):
        ecs.run_task(taskDefinition="web")
    started = ecs.start_task(taskDefinition="web", containerInstances=[arn])
    assert (started["tasks"], [f["arn"] for f in started["failures"]]) == ([], [arn])
    second = register_instance(cpu=128)
    assert ecs.run_task(taskDefinition="web")["failures"] == [{"arn": second, "reason": "RESOURCE:CPU"}]
    with pytest.raises(ClientError, match=r"Container instance status should be one of \[ACTIVE, DRAINING\]"):
        ecs.update_container_instances_state(containerInstances=[arn], status="REGISTERING")
    ecs.update_container_instances_state(containerInstances=[arn], status="ACTIVE")
    assert len(ecs.run_task(taskDefinition="web")["tasks"]) == 1


def test_registering_with_other_attributes(ecs: Any) -> None:
    document = json.dumps({"instanceId": "i-1", "instanceType": "t3.medium"})

    def register(**more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = ecs.register_container_instance(instanceIdentityDocument=document, **more)
        return dict(answer["containerInstance"])

    def attributes(instance: dict[str, Any]) -> dict[str, str]:
        return {a["name"]: a["value"] for a in instance["attributes"] if not a["name"].startswith("ecs.")}

    first = register(attributes=[{"name": "stack", "value": "test"}])
    arn = first["containerInstanceArn"]
    ecs.put_attributes(attributes=[{"name": "rack", "value": "r1", "targetId": arn}])
    again = register(attributes=[{"name": "stack", "value": "prod"}, {"name": "row", "value": "3"}])
    assert again["containerInstanceArn"] == arn
    assert attributes(again) == {"rack": "r1", "stack": "prod", "row": "3"}
    ecs.put_attributes(attributes=[{"name": "row", "value": "4", "targetId": arn}])
    assert attributes(register(containerInstanceArn=arn)) == {"rack": "r1", "stack": "prod", "row": "4"}
    larger = json.dumps({"instanceId": "i-1", "instanceType": "t3.large"})
    with pytest.raises(ClientError, match=r"\(ClientException\).*Container instance type changes are not supported."):
        ecs.register_container_instance(instanceIdentityDocument=larger, containerInstanceArn=arn)


def test_deregistration(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    arn = register_instance()
    (task,) = ecs.run_task(taskDefinition="web")["tasks"]
    with pytest.raises(ClientError, match="Found running tasks on the instance"):
        ecs.deregister_container_instance(containerInstance=arn)
    other = register_instance()
    (stopping,) = ecs.start_task(taskDefinition="web", containerInstances=[other])["tasks"]
    ecs.stop_task(task=stopping["taskArn"])
    with pytest.raises(ClientError, match="Found running tasks on the instance"):
        ecs.deregister_container_instance(containerInstance=other)
    ecs.submit_task_state_change(cluster="default", task=stopping["taskArn"], status="STOPPED")
    ecs.deregister_container_instance(containerInstance=other)
    gone = ecs.deregister_container_instance(containerInstance=arn, force=True)["containerInstance"]
    assert gone["status"] == "INACTIVE"
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
    (stopped,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "UserInitiated",
        "Container instance deregistration forced by user",
    )
    assert ecs.list_container_instances()["containerInstanceArns"] == []


def test_listing_with_the_query_language(ecs: Any, register_instance: Callable[..., str]) -> None:
    one = register_instance(attributes=[{"name": "stack", "value": "prod"}])
    register_instance(attributes=[{"name": "stack", "value": "test"}])
    found = ecs.list_container_instances(filter="attribute:stack == prod and agentConnected == true")
    assert found["containerInstanceArns"] == [one]
    with pytest.raises(ClientError, match="InvalidParameterException"):
        ecs.list_container_instances(filter="attribute:stack ==")


def test_an_agent_is_updated_to_the_package_of_the_settings(api: ServedApi, ecs: Any) -> None:
    """What becomes of it: tests/core/test_agent_updates.py."""
    package = AgentPackage(version="2.0", location="https://example.com/a.whl", signature="a" * 64)
    api.endpoint.agent_package = package
    version = {"agentVersion": "1.105.1", "agentHash": "awsorch-1.0", "dockerVersion": "DockerVersion: 28.0.1"}
    registered = ecs.register_container_instance(versionInfo=version)["containerInstance"]
    arn = registered["containerInstanceArn"]
    assert "agentUpdateStatus" not in registered
    answer = ecs.update_container_agent(containerInstance=arn)["containerInstance"]
    assert (answer["containerInstanceArn"], answer["agentUpdateStatus"]) == (arn, "PENDING")
    api.connect(arn)
    (command,) = api.sent(UpdateAgent)
    assert (command.package, command.perform) == (package, False)
    (shown,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    assert shown["agentUpdateStatus"] == "STAGING"
    with pytest.raises(ecs.exceptions.UpdateInProgressException, match="STAGING"):
        ecs.update_container_agent(containerInstance=arn)


def test_there_is_no_newer_agent(ecs: Any) -> None:
    version = {"agentVersion": "1.105.0", "agentHash": "*abc", "dockerVersion": "DockerVersion: 28.0.1"}
    registered = ecs.register_container_instance(versionInfo=version)["containerInstance"]
    assert registered["versionInfo"] == version
    arn = registered["containerInstanceArn"]
    with pytest.raises(ecs.exceptions.NoUpdateAvailableException, match=r"1\.105\.0"):
        ecs.update_container_agent(containerInstance=arn)
    silent = ecs.register_container_instance()["containerInstance"]["containerInstanceArn"]
    with pytest.raises(ecs.exceptions.MissingVersionException):
        ecs.update_container_agent(containerInstance=silent)
    ecs.deregister_container_instance(containerInstance=arn)
    for operation in (ecs.update_container_agent, ecs.deregister_container_instance):
        with pytest.raises(ecs.exceptions.ClientException, match=r"Referenced container instance \w+ not found\."):
            operation(containerInstance=arn)


def test_health_is_shown_when_asked_for(api: ServedApi, ecs: Any, register_instance: Callable[..., str]) -> None:
    arn = register_instance()

    def describe(**request: Any) -> dict[str, Any]:
        (instance,) = ecs.describe_container_instances(containerInstances=[arn], **request)["containerInstances"]
        return dict(instance)

    include = ["CONTAINER_INSTANCE_HEALTH"]
    assert "healthStatus" not in describe()
    assert describe(include=include)["healthStatus"]["overallStatus"] == "INSUFFICIENT_DATA"
    for status, overall in (("OK", "OK"), ("IMPAIRED", "IMPAIRED")):
        health = {"CONTAINER_RUNTIME": {"status": status, "lastUpdated": 1700000000.1239}}
        api.submit("default", InstanceHealthReported(instance_id=arn.rpartition("/")[2], health=health))
        seen = describe(include=include)["healthStatus"]
        (detail,) = seen["details"]
        assert (seen["overallStatus"], detail["type"], detail["status"]) == (overall, "CONTAINER_RUNTIME", status)
        assert detail["lastUpdated"].timestamp() == 1700000000.124
        assert "lastStatusChange" not in detail


def test_listing_pages(ecs: Any, register_instance: Callable[..., str]) -> None:
    arns = sorted(register_instance() for _ in range(3))
    ecs.update_container_instances_state(containerInstances=arns[:1], status="DRAINING")
    pages = list(ecs.get_paginator("list_container_instances").paginate(PaginationConfig={"PageSize": 2}))
    assert [page["containerInstanceArns"] for page in pages] == [arns[:2], arns[2:]]
    assert ecs.list_container_instances(status="DRAINING")["containerInstanceArns"] == arns[:1]
    assert ecs.list_container_instances(status="ACTIVE", maxResults=1)["containerInstanceArns"] == arns[1:2]


def test_attributes(ecs: Any, register_instance: Callable[..., str]) -> None:
    arn = register_instance()
    ecs.put_attributes(attributes=[{"name": "rack", "value": "r1", "targetId": arn}])
    listed = ecs.list_attributes(targetType="container-instance", attributeName="rack")["attributes"]
    assert listed == [{"name": "rack", "value": "r1", "targetType": "container-instance", "targetId": arn}]
    with pytest.raises(ClientError, match="reserved"):
        ecs.put_attributes(attributes=[{"name": "ecs.os-type", "value": "windows", "targetId": arn}])
    with pytest.raises(ClientError, match=r"\(TargetNotFoundException\).*Could not find"):
        ecs.put_attributes(attributes=[{"name": "a", "value": "b", "targetId": "0" * 32}])
    with pytest.raises(ClientError, match="attributes can not be empty"):
        ecs.put_attributes(attributes=[])
    for number in range(9):
        ecs.put_attributes(attributes=[{"name": f"n{number}", "value": "v", "targetId": arn}])
    with pytest.raises(ClientError, match="AttributeLimitExceededException"):
        ecs.put_attributes(attributes=[{"name": "one-too-many", "value": "v", "targetId": arn}])
    ecs.delete_attributes(attributes=[{"name": "rack", "targetId": arn}])
    assert ecs.list_attributes(targetType="container-instance", attributeName="rack")["attributes"] == []


def test_attributes_page_by_instance_and_name(ecs: Any, register_instance: Callable[..., str]) -> None:
    arns = sorted(register_instance(attributes=[{"name": "stack", "value": "prod"}]) for _ in range(3))
    paginator = ecs.get_paginator("list_attributes")

    def listed(size: int) -> list[tuple[str, str]]:
        pages = paginator.paginate(targetType="container-instance", PaginationConfig={"PageSize": size})
        return [(a["targetId"], a["name"]) for page in pages for a in page["attributes"]]

    everything = listed(100)
    assert everything == sorted(everything)
    assert {arn for arn, _ in everything} == set(arns)
    assert listed(4) == listed(1) == everything
    found = ecs.list_attributes(targetType="container-instance", attributeName="stack", attributeValue="prod")
    assert [a["targetId"] for a in found["attributes"]] == arns
    with pytest.raises(ClientError, match="attributeName must be specified"):
        ecs.list_attributes(targetType="container-instance", attributeValue="prod")


def test_an_instance_has_another_version_when_a_task_comes_or_goes(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    arn = register_instance()

    def version() -> int:
        (instance,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
        return int(instance["version"])

    before = version()
    (task,) = ecs.run_task(taskDefinition="web")["tasks"]
    assert version() == before + 1
    ecs.submit_task_state_change(cluster="default", task=task["taskArn"], status="STOPPED")
    assert version() == before + 2
