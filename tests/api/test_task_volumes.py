"""Volumes that are configured when tasks are launched, as the API takes and shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from awsorch.core.commands import ProvideAttachment, ReleaseAttachment
from awsorch.core.model_attachments import TaskVolume
from tests.api.services import refused, wait
from tests.support.served import ServedApi, served_api

ROLE = "arn:aws:iam::123456789012:role/infrastructure"
MOUNT = [{"sourceVolume": "data", "containerPath": "/data"}]
CONTAINER = {"name": "app", "image": "busybox", "cpu": 64, "memory": 64}
INVALID = "ECS managed EBS volume configuration was invalid."


@pytest.fixture
def api() -> Iterator[ServedApi]:
    with served_api() as api:
        api.ecs.create_cluster(clusterName="default")
        api.ecs.register_task_definition(
            family="app",
            volumes=[{"name": "data", "configuredAtLaunch": True}],
            containerDefinitions=[{**CONTAINER, "mountPoints": MOUNT}],
            tags=[{"key": "of", "value": "definition"}],
        )
        api.ecs.register_task_definition(
            family="plain", volumes=[{"name": "data"}], containerDefinitions=[{**CONTAINER, "mountPoints": MOUNT}]
        )
        join(api)
        yield api


def join(api: ServedApi) -> None:
    document = {"instanceId": "i-1", "availabilityZone": "us-east-1a", "instanceType": "t3.medium"}
    definition = api.ecs.describe_task_definition(taskDefinition="app")["taskDefinition"]
    numbers = {"CPU": 2048, "MEMORY": 4096}
    made = api.ecs.register_container_instance(
        cluster="default",
        instanceIdentityDocument=json.dumps(document),
        totalResources=[{"name": n, "type": "INTEGER", "integerValue": v} for n, v in numbers.items()],
        attributes=definition["requiresAttributes"],
    )
    api.connect(str(made["containerInstance"]["containerInstanceArn"]))


def volume(name: str = "data", **members: Any) -> list[dict[str, Any]]:
    return [{"name": name, "managedEBSVolume": {"roleArn": ROLE, "sizeInGiB": 10, **members}}]


def test_a_volume_is_asked_for_as_it_is_configured(api: ServedApi) -> None:
    tags = [{"resourceType": "volume", "tags": [{"key": "a", "value": "b"}], "propagateTags": "TASK_DEFINITION"}]
    given = volume(volumeType="io2", iops=3000, filesystemType="ext4", encrypted=True, tagSpecifications=tags)
    (task,) = api.ecs.run_task(taskDefinition="app", volumeConfigurations=given)["tasks"]
    (attachment,) = task["attachments"]
    assert (task["lastStatus"], attachment["type"]) == ("PROVISIONING", "AmazonElasticBlockStorage")
    shown = {each["name"]: each["value"] for each in attachment["details"]}
    assert shown == {"roleArn": ROLE, "volumeName": "data", "deleteOnTermination": "true"}
    (command,) = api.sent(ProvideAttachment)
    assert (command.machine, command.zone) == ("i-1", "us-east-1a")
    assert command.volume == TaskVolume(
        name="data",
        type="io2",
        size=10,
        iops=3000,
        encrypted=True,
        file_system="ext4",
        role_arn=ROLE,
        tags={"of": "definition", "a": "b", "AmazonECSCreated": "true", "AmazonECSManaged": "true"},
    )


@pytest.mark.parametrize(
    ("family", "configurations", "message"),
    [
        ("app", [], f"{INVALID} Volume 'data' is configuredAtLaunch"),
        ("plain", volume(), f"{INVALID} Volume 'data' is not configuredAtLaunch"),
        ("app", volume("other"), "The volume name 'other' in your request does not have a matching volume"),
        ("app", [{"name": "data"}], f"{INVALID} Volume 'data' has no managedEBSVolume"),
        ("app", volume(sizeInGiB=0), f"{INVALID} sizeInGiB of a gp3 volume should be between 1 and 16384, but was 0"),
        ("app", volume(volumeType="st1"), f"{INVALID} sizeInGiB of a st1 volume should be between 125"),
        ("app", volume(volumeType="gp4"), f"{INVALID} volumeType should be one of"),
        ("app", volume(volumeType="io1"), f"{INVALID} A volume of type io1 needs iops"),
        ("app", volume(volumeType="gp2", iops=100), f"{INVALID} iops are for the volume types"),
        (
            "app",
            volume(throughput=1001),
            f"{INVALID} throughput, in MiB/s, should be between 125 and 1000, but was",
        ),
        ("app", volume(iops=2999), f"{INVALID} iops of a gp3 volume should be between 3000 and 16000, but was 2999"),
        (
            "app",
            volume(volumeType="io2", iops=256001),
            f"{INVALID} iops of a io2 volume should be between 100 and",
        ),
        (
            "app",
            volume(volumeInitializationRate=100),
            f"{INVALID} volumeInitializationRate is for volumes from a",
        ),
        (
            "app",
            volume(snapshotId="snap-1", volumeInitializationRate=99),
            f"{INVALID} volumeInitializationRate, in MiB/s, should be between 100 and 300, but was 99",
        ),
        (
            "app",
            volume(tagSpecifications=[{"resourceType": "volume", "propagateTags": "SERVICE"}]),
            f"{INVALID} propagateTags SERVICE is for volumes of services",
        ),
        ("app", volume(volumeType="gp2", throughput=125), f"{INVALID} throughput is for the volume type gp3"),
        ("app", volume(filesystemType="ntfs"), f"{INVALID} filesystemType should be one of"),
        (
            "app",
            [{"name": "data", "managedEBSVolume": {"roleArn": ROLE}}],
            f"{INVALID} Either sizeInGiB or snapshotId is needed",
        ),
    ],
)
def test_what_can_t_be_is_refused(
    api: ServedApi, family: str, configurations: list[dict[str, Any]], message: str
) -> None:
    with refused("InvalidParameterException", message):
        api.ecs.run_task(taskDefinition=family, volumeConfigurations=configurations)


def test_a_volume_has_the_tags_that_its_service_has(api: ServedApi) -> None:
    tags = [{"resourceType": "volume", "tags": [{"key": "a", "value": "b"}], "propagateTags": "SERVICE"}]
    given = volume(snapshotId="snap-1", volumeInitializationRate=200, tagSpecifications=tags)
    team = [{"key": "team", "value": "red"}, {"key": "a", "value": "other"}]
    api.ecs.create_service(
        serviceName="web", taskDefinition="app", desiredCount=1, volumeConfigurations=given, tags=team
    )
    (command,) = api.sent(ProvideAttachment)
    assert command.volume is not None
    managed = {"AmazonECSCreated": "true", "AmazonECSManaged": "true"}
    assert command.volume.tags == {"team": "red", "a": "b", **managed}
    assert command.volume.initialization_rate == 200


def test_daemons_have_none(api: ServedApi) -> None:
    with refused("InvalidParameterException", "The daemon scheduling strategy does not support volume configurations."):
        api.ecs.create_service(
            serviceName="all", taskDefinition="app", schedulingStrategy="DAEMON", volumeConfigurations=volume()
        )


def test_a_volume_that_cannot_be_mounted_ends_its_task_with_the_reason(api: ServedApi) -> None:
    (task,) = api.ecs.run_task(taskDefinition="app", volumeConfigurations=volume())["tasks"]
    why = "ResourceInitializationError: volume vol-1 cannot be mounted: mkfs.xfs: No such file or directory"
    api.ecs.submit_task_state_change(cluster="default", task=task["taskArn"], status="STOPPED", reason=why)
    (now,) = api.ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert (now["lastStatus"], now["stopCode"], now["stoppedReason"]) == ("DEPROVISIONING", "TaskFailedToStart", why)
    shown = {each["name"]: each["value"] for each in now["attachments"][0]["details"]}
    assert shown["statusReason"] == why
    assert api.sent(ReleaseAttachment)


def test_a_service_gives_each_of_its_tasks_one(api: ServedApi) -> None:
    api.ecs.create_service(serviceName="web", taskDefinition="app", desiredCount=2, volumeConfigurations=volume())
    wait(api.ecs, "ListTasks", "length(taskArns) == `2`", serviceName="web")
    asked = api.sent(ProvideAttachment, 2)
    assert len({each.attachment_id for each in asked}) == 2
    (service,) = api.ecs.describe_services(services=["web"])["services"]
    (deployment,) = service["deployments"]
    assert deployment["volumeConfigurations"] == volume()
