"""RunTask, StartTask, StopTask, DescribeTasks, ListTasks through boto3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from awsorch.core.commands import SendTasks
from tests.support.served import ServedApi


def refused(code: str, text: str) -> Any:
    """Expect a ClientError of this code whose message has this text."""
    return pytest.raises(ClientError, match=rf"\({code}\).*{text}")


def report(ecs: Any, task: dict[str, Any], status: str, **more: Any) -> None:
    containers = [
        {"containerName": c["name"], "runtimeId": "abc", "status": status, **more.pop("container", {})}
        for c in task["containers"]
    ]
    ecs.submit_task_state_change(cluster="default", task=task["taskArn"], status=status, containers=containers, **more)


def test_a_task_lives_from_pending_to_stopped(
    ecs: Any, api: ServedApi, register_instance: Callable[..., str], web_task: str
) -> None:
    instance = register_instance()
    answer = ecs.run_task(taskDefinition="web", startedBy="me", tags=[{"key": "a", "value": "b"}])
    assert answer["failures"] == []
    (task,) = answer["tasks"]
    assert task["lastStatus"] == "PENDING"
    assert task["containerInstanceArn"] == instance
    assert task["taskDefinitionArn"] == web_task
    assert (task["cpu"], task["memory"], task["group"]) == ("256", "128", "family:web")
    assert task["overrides"] == {"containerOverrides": [{"name": "app"}], "inferenceAcceleratorOverrides": []}
    task_id = task["taskArn"].rpartition("/")[2]
    assert api.commands[-1] == (
        "cluster/default",
        SendTasks(instance_id=instance.rpartition("/")[2], task_ids=(task_id,)),
    )
    report(ecs, task, "RUNNING")
    (running,) = ecs.describe_tasks(tasks=[task_id], include=["TAGS"])["tasks"]
    assert running["lastStatus"] == "RUNNING"
    assert running["startedAt"] >= running["createdAt"]
    assert running["tags"] == [{"key": "a", "value": "b"}]
    ecs.get_waiter("tasks_running").wait(tasks=[task_id])

    stopping = ecs.stop_task(task=task_id, reason="enough")["task"]
    assert (stopping["lastStatus"], stopping["desiredStatus"]) == ("RUNNING", "STOPPED")
    report(ecs, task, "STOPPED", container={"exitCode": 0})
    (stopped,) = ecs.describe_tasks(tasks=[task_id])["tasks"]
    assert (stopped["lastStatus"], stopped["stopCode"], stopped["stoppedReason"]) == (
        "STOPPED",
        "UserInitiated",
        "enough",
    )
    assert stopped["containers"][0]["exitCode"] == 0
    ecs.get_waiter("tasks_stopped").wait(tasks=[task_id])
    assert ecs.list_tasks()["taskArns"] == []
    assert ecs.list_tasks(desiredStatus="STOPPED")["taskArns"] == [task["taskArn"]]


def test_essential_exit_and_failed_start_have_ecs_reasons(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    register_instance()
    first, second = ecs.run_task(taskDefinition="web", count=2)["tasks"]
    report(ecs, first, "RUNNING")
    report(ecs, first, "STOPPED", container={"exitCode": 3})
    report(ecs, second, "STOPPED", container={"reason": "CannotPullContainerError: no such image"})
    one, two = ecs.describe_tasks(tasks=[first["taskArn"], second["taskArn"]])["tasks"]
    assert (one["stopCode"], one["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert (two["stopCode"], two["stoppedReason"]) == (
        "TaskFailedToStart",
        "CannotPullContainerError: no such image",
    )


def test_late_and_backward_reports_change_nothing(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    register_instance()
    (task,) = ecs.run_task(taskDefinition="web")["tasks"]
    report(ecs, task, "STOPPED", container={"exitCode": 0})
    report(ecs, task, "RUNNING")
    (seen,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert seen["lastStatus"] == "STOPPED"


def test_what_does_not_fit_is_a_failure_with_its_reason(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    with refused("InvalidParameterException", "No Container Instances were found in your cluster."):
        ecs.run_task(taskDefinition="web")
    instance = register_instance(cpu=512)
    answer = ecs.run_task(
        taskDefinition="web", placementConstraints=[{"type": "memberOf", "expression": "attribute:x == y"}]
    )
    assert (answer["tasks"], answer["failures"][0]["reason"]) == ([], "MemberOf placement constraint unsatisfied.")
    answer = ecs.run_task(taskDefinition="web", count=3)
    assert len(answer["tasks"]) == 2
    assert answer["failures"] == [{"arn": instance, "reason": "RESOURCE:CPU"}]


def test_a_client_token_makes_run_task_idempotent(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    register_instance()
    first = ecs.run_task(taskDefinition="web", clientToken="once")
    again = ecs.run_task(taskDefinition="web", clientToken="once")
    assert [t["taskArn"] for t in first["tasks"]] == [t["taskArn"] for t in again["tasks"]]
    with pytest.raises(ClientError) as conflict:
        ecs.run_task(taskDefinition="web", clientToken="once", count=2)
    assert conflict.value.response["Error"]["Code"] == "ConflictException"
    assert conflict.value.response["resourceIds"] == [first["tasks"][0]["taskArn"]]
    assert len(ecs.list_tasks()["taskArns"]) == 1
    report(ecs, first["tasks"][0], "STOPPED", container={"exitCode": 0})
    (stopped,) = ecs.run_task(taskDefinition="web", clientToken="once")["tasks"]
    assert stopped == {
        "taskArn": first["tasks"][0]["taskArn"],
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
    }


def test_a_token_outlives_the_revision(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    register_instance()
    first = ecs.run_task(taskDefinition="web", clientToken="once")
    ecs.deregister_task_definition(taskDefinition="web:1")
    assert ecs.run_task(taskDefinition="web", clientToken="once")["tasks"] == first["tasks"]
    with refused("ConflictException", "already in use with a different RunTask request"):
        ecs.run_task(taskDefinition="web:1", clientToken="once")
    with refused("ClientException", "TaskDefinition not found."):
        ecs.run_task(taskDefinition="web", clientToken="other")


def test_the_waiter_for_running_tasks_gives_up(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    register_instance()
    (task,) = ecs.run_task(taskDefinition="web")["tasks"]
    waiter = ecs.get_waiter("tasks_running")
    with pytest.raises(WaiterError, match="MISSING"):
        waiter.wait(tasks=[task["taskArn"], "0" * 32])
    report(ecs, task, "STOPPED", container={"exitCode": 1})
    with pytest.raises(WaiterError, match="STOPPED"):
        waiter.wait(tasks=[task["taskArn"]])


def test_what_was_placed_is_given_again_though_the_rest_did_not_fit(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    register_instance(cpu=512)
    first = ecs.run_task(taskDefinition="web", clientToken="once", count=3)
    assert len(first["tasks"]) == 2
    again = ecs.run_task(taskDefinition="web", clientToken="once", count=3)
    assert (again["tasks"], again["failures"]) == (first["tasks"], [])


def test_stop_task_deletes_the_tags(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    register_instance()
    (task,) = ecs.run_task(taskDefinition="web", tags=[{"key": "a", "value": "b"}])["tasks"]
    assert task["tags"] == [{"key": "a", "value": "b"}]
    stopped = ecs.stop_task(task=task["taskArn"])["task"]
    assert (stopped["tags"], stopped["stoppedReason"]) == ([], "Task stopped by user")
    assert stopped["stoppingAt"] >= stopped["createdAt"]
    assert ecs.list_tags_for_resource(resourceArn=task["taskArn"])["tags"] == []
    assert ecs.stop_task(task=task["taskArn"], reason="again")["task"]["stoppedReason"] == "Task stopped by user"


def test_versions_count_changes_of_status(ecs: Any, register_instance: Callable[..., str]) -> None:
    register_instance()
    ecs.register_task_definition(
        family="pair",
        containerDefinitions=[{"name": name, "image": "busybox", "memory": 64} for name in ("a", "b")],
    )
    (task,) = ecs.run_task(taskDefinition="pair")["tasks"]

    def version() -> int:
        (seen,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
        return int(seen["version"])

    assert (task["version"], version()) == (1, 1)
    one = {"cluster": "default", "task": task["taskArn"], "containerName": "a", "status": "RUNNING"}
    ecs.submit_container_state_change(**one)
    ecs.submit_container_state_change(**one)
    assert version() == 2
    report(ecs, task, "RUNNING")
    assert version() == 3
    ecs.stop_task(task=task["taskArn"])
    assert version() == 4
    report(ecs, task, "STOPPED")
    report(ecs, task, "STOPPED")
    assert version() == 5


def test_times_are_in_milliseconds(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    register_instance()
    (task,) = ecs.run_task(taskDefinition="web")["tasks"]
    report(ecs, task, "RUNNING", pullStartedAt=1700000000.123456, pullStoppedAt=1700000001.9996)
    (seen,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert seen["pullStartedAt"].timestamp() == 1700000000.123
    assert seen["pullStoppedAt"].timestamp() == 1700000002.0
    assert all(seen[name].microsecond % 1000 == 0 for name in ("createdAt", "startedAt", "connectivityAt"))


def test_external_tasks_go_to_external_instances(
    ecs: Any, register_instance: Callable[..., str], web_task: str
) -> None:
    ours = register_instance()
    refusal = ecs.run_task(taskDefinition="web", launchType="EXTERNAL")
    detail = "The container instance has not ecs.capability.external."
    assert refusal["failures"] == [{"arn": ours, "reason": "ATTRIBUTE", "detail": detail}]
    outside = register_instance(attributes=[{"name": "ecs.capability.external"}])
    (task,) = ecs.run_task(taskDefinition="web", launchType="EXTERNAL")["tasks"]
    assert (task["launchType"], task["containerInstanceArn"]) == ("EXTERNAL", outside)
    tasks = ecs.run_task(taskDefinition="web", launchType="EC2", count=3)["tasks"]
    assert {task["containerInstanceArn"] for task in tasks} == {ours}


def test_who_cannot_mount_file_systems_of_windows_is_told_what_is_missing(
    ecs: Any, register_instance: Callable[..., str]
) -> None:
    ours = register_instance()
    share = {
        "fileSystemId": "fs-1",
        "rootDirectory": "share",
        "authorizationConfig": {
            "credentialsParameter": "arn:aws:ssm:us-east-1:123456789012:parameter/u",
            "domain": "d",
        },
    }
    made = ecs.register_task_definition(
        family="windows",
        volumes=[{"name": "share", "fsxWindowsFileServerVolumeConfiguration": share}],
        containerDefinitions=[
            {
                "name": "app",
                "image": "busybox",
                "memory": 16,
                "mountPoints": [{"sourceVolume": "share", "containerPath": "/share"}],
            }
        ],
    )["taskDefinition"]
    assert made["volumes"][0]["fsxWindowsFileServerVolumeConfiguration"] == share
    assert "FARGATE" not in made["compatibilities"]
    (failure,) = ecs.run_task(taskDefinition="windows")["failures"]
    assert (failure["arn"], failure["reason"]) == (ours, "ATTRIBUTE")
    assert failure["detail"] == (
        "The container instance has not ecs.capability.fsxWindowsFileServer: volumes of FSx for Windows File Server "
        "need its client, which Windows instances have and Linux ones have not."
    )
    assert ecs.start_task(taskDefinition="windows", containerInstances=[ours])["failures"] == [failure]


def test_awsvpc_needs_its_network_and_an_ec2(ecs: Any, register_instance: Callable[..., str]) -> None:
    register_instance()
    ecs.register_task_definition(
        family="vpc",
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "app", "image": "busybox"}],
    )
    with refused("InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc'"):
        ecs.run_task(taskDefinition="vpc")
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    with refused("UnsupportedFeatureException", "networkMode awsvpc is not available"):
        ecs.run_task(taskDefinition="vpc", networkConfiguration=network)
    with refused("ClientException", "Launch type FARGATE is not available"):
        ecs.run_task(taskDefinition="vpc", networkConfiguration=network, launchType="FARGATE")


def test_all_gpus_of_an_instance(ecs: Any, register_instance: Callable[..., str]) -> None:
    plain = register_instance()
    with_gpus = register_instance(platformDevices=[{"id": f"gpu-{n}", "type": "GPU"} for n in range(2)])
    for family, value in (("one", "1"), ("all", "ALL")):
        need = [{"type": "GPU", "value": value}]
        ecs.register_task_definition(
            family=family,
            containerDefinitions=[
                {"name": "app", "image": "busybox", "memory": 64, "resourceRequirements": need},
                {"name": "side", "image": "busybox", "memory": 64},
            ],
        )
    (task,) = ecs.run_task(taskDefinition="all")["tasks"]
    assert [c.get("gpuIds") for c in task["containers"]] == [["gpu-0", "gpu-1"], None]
    (instance,) = ecs.describe_container_instances(containerInstances=[with_gpus])["containerInstances"]
    (left,) = [r["stringSetValue"] for r in instance["remainingResources"] if r["name"] == "GPU"]
    assert left == []
    failures = ecs.run_task(taskDefinition="one")["failures"]
    assert {(f["arn"], f["reason"]) for f in failures} == {(plain, "RESOURCE:GPU"), (with_gpus, "RESOURCE:GPU")}
    report(ecs, task, "STOPPED", container={"exitCode": 0})
    assert len(ecs.run_task(taskDefinition="one")["tasks"]) == 1
    assert ecs.run_task(taskDefinition="all")["tasks"] == []


def test_start_task_names_its_instances(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    one, two = register_instance(), register_instance(cpu=128)
    answer = ecs.start_task(taskDefinition="web", containerInstances=[one, two, "0" * 32])
    assert [t["containerInstanceArn"] for t in answer["tasks"]] == [one]
    assert [(f["arn"], f["reason"]) for f in answer["failures"]] == [
        (two, "RESOURCE:CPU"),
        (f"arn:aws:ecs:us-east-1:123456789012:container-instance/default/{'0' * 32}", "MISSING"),
    ]


def test_list_tasks_filters_and_pages(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    one = register_instance()
    ecs.run_task(taskDefinition="web", count=6, startedBy="me")
    ecs.run_task(taskDefinition="web", count=2, group="other")
    pages = ecs.get_paginator("list_tasks").paginate(PaginationConfig={"PageSize": 3})
    sizes = [len(page["taskArns"]) for page in pages]
    assert sizes == [3, 3, 2]
    assert len(ecs.list_tasks(startedBy="me")["taskArns"]) == 6
    assert len(ecs.list_tasks(family="web", containerInstance=one)["taskArns"]) == 8
    assert ecs.list_tasks(family="nothing")["taskArns"] == []
    assert ecs.list_tasks(desiredStatus="PENDING")["taskArns"] == []
    with refused("InvalidParameterException", "startedBy"):
        ecs.list_tasks(startedBy="me", family="web")
    with refused("InvalidParameterException", "Invalid token."):
        ecs.list_tasks(nextToken="what")


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({"taskDefinition": "nothing"}, "ClientException", "TaskDefinition not found."),
        ({"taskDefinition": "web", "count": 11}, "InvalidParameterException", "less than or equal to 10"),
        ({"taskDefinition": "web", "count": 0}, "InvalidParameterException", "Count can not be less than 1"),
        ({"taskDefinition": "web", "cluster": "nope"}, "ClusterNotFoundException", "Cluster not found."),
        (
            {"taskDefinition": "web", "launchType": "FARGATE"},
            "InvalidParameterException",
            "Task definition does not support launch_type FARGATE.",
        ),
        (
            {"taskDefinition": "web", "platformVersion": "1.4.0"},
            "InvalidParameterException",
            "The platform version must be null when specifying an EC2 launch type",
        ),
        (
            {"taskDefinition": "web", "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}},
            "InvalidParameterException",
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ),
        (
            {"taskDefinition": "web", "volumeConfigurations": [{"name": "data"}]},
            "InvalidParameterException",
            "The volume name 'data' in your request does not have a matching volume in your Task Definition",
        ),
        (
            {"taskDefinition": "web", "launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "x"}]},
            "InvalidParameterException",
            "Specifying both a launch type and capacity provider strategy is not supported.",
        ),
        (
            {"taskDefinition": "web", "capacityProviderStrategy": [{"capacityProvider": "x"}]},
            "InvalidParameterException",
            "cannot contain a capacity provider that is not associated with the cluster",
        ),
        ({"taskDefinition": "web", "startedBy": "a" * 129}, "InvalidParameterException", "at most 128"),
        ({"taskDefinition": "web", "group": "service:web"}, "InvalidParameterException", "service:"),
        (
            {
                "taskDefinition": "web",
                "propagateTags": "TASK_DEFINITION",
                "tags": [{"key": f"k{n}", "value": ""} for n in range(50)],
            },
            "InvalidParameterException",
            "limit of 50",
        ),
        ({"taskDefinition": "web", "propagateTags": "SERVICE"}, "InvalidParameterException", "SERVICE"),
        (
            {"taskDefinition": "web", "overrides": {"containerOverrides": [{"name": "x"}]}},
            "InvalidParameterException",
            "Override for container named x is not a container in the TaskDefinition.",
        ),
        (
            {"taskDefinition": "web", "placementStrategy": [{"type": "binpack", "field": "disk"}]},
            "InvalidParameterException",
            "binpack field 'disk' is invalid",
        ),
    ],
)
def test_bad_run_tasks_are_refused(
    ecs: Any,
    register_instance: Callable[..., str],
    web_task: str,
    request_: dict[str, Any],
    code: str,
    text: str,
) -> None:
    register_instance()
    with refused(code, text):
        ecs.run_task(**request_)
    assert ecs.list_tasks()["taskArns"] == []


def test_an_inactive_revision_can_not_be_run(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    register_instance()
    ecs.deregister_task_definition(taskDefinition="web:1")
    with refused("InvalidParameterException", "TaskDefinition is inactive"):
        ecs.run_task(taskDefinition="web:1")


def test_unknown_tasks(ecs: Any) -> None:
    missing = ecs.describe_tasks(tasks=["a" * 32, "a" * 32])
    assert [(f["reason"], f["arn"].endswith("a" * 32)) for f in missing["failures"]] == [("MISSING", True)]
    with refused("InvalidParameterException", "The referenced task was not found."):
        ecs.stop_task(task="a" * 32)
    with refused("InvalidParameterException", "Tasks cannot be empty."):
        ecs.describe_tasks(tasks=[])


def test_operations_to_come_say_so(ecs: Any) -> None:
    with refused("UnsupportedFeatureException", "CreateTaskSet"):
        ecs.create_task_set(cluster="default", service="a", taskDefinition="b")


def test_ephemeral_storage_is_fargate_s(ecs: Any, register_instance: Callable[..., str], web_task: str) -> None:
    instance, overrides = register_instance(), {"ephemeralStorage": {"sizeInGiB": 21}}
    for start in (
        lambda: ecs.run_task(taskDefinition="web", overrides=overrides),
        lambda: ecs.start_task(taskDefinition="web", containerInstances=[instance], overrides=overrides),
    ):
        with refused("ClientException", "Ephemeral storage is only supported on Fargate"):
            start()
