"""EBS volumes of tasks on the real engine: made, formatted, mounted, and gone with the task or kept.

Source: ECS developer guide, "Use Amazon EBS volumes with Amazon ECS".
"""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from tests.e2e.conftest import Cloud, until

pytestmark = pytest.mark.timeout(180)

ROLE = "arn:aws:iam::123456789012:role/infrastructure"
LOOK = "df -m /data | tail -1 | tr -s ' ' | cut -d' ' -f2; grep -c ' /data ext4 ' /proc/mounts; echo kept > /data/word"


def ec2_of(cloud: Cloud) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("ec2", endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)


def register(cloud: Cloud, family: str, command: str) -> None:
    container = {"name": "app", "image": "awsorch/busybox:latest", "memory": 16, "stopTimeout": 2}
    mount = [{"sourceVolume": "data", "containerPath": "/data"}]
    cloud.ecs.register_task_definition(
        family=family,
        volumes=[{"name": "data", "configuredAtLaunch": True}],
        containerDefinitions=[{**container, "command": ["sh", "-c", command], "mountPoints": mount}],
    )


def volume(**members: Any) -> list[dict[str, Any]]:
    plain = {"roleArn": ROLE, "sizeInGiB": 2, "filesystemType": "ext4"}
    return [{"name": "data", "managedEBSVolume": {**plain, **members}}]


def run(cloud: Cloud, family: str, **members: Any) -> str:
    answer = cloud.ecs.run_task(taskDefinition=family, volumeConfigurations=volume(**members))
    assert answer["failures"] == []
    return str(answer["tasks"][0]["taskArn"])


def ended(cloud: Cloud, arn: str) -> dict[str, Any]:
    until("the task has stopped", lambda: cloud.describe(arn)["lastStatus"] == "STOPPED")
    return cloud.describe(arn)


def volume_of(task: dict[str, Any]) -> str:
    (attachment,) = task["attachments"]
    return {each["name"]: each["value"] for each in attachment["details"]}["volumeId"]


def volumes(cloud: Cloud) -> list[str]:
    """Those that tasks have had, not the disks of instances."""
    managed = [{"Name": "tag:AmazonECSManaged", "Values": ["true"]}]
    return [each["VolumeId"] for each in ec2_of(cloud).describe_volumes(Filters=managed)["Volumes"]]


def mounted(cloud: Cloud) -> list[str]:
    """What this machine has mounted for the cloud's agents."""
    with open("/proc/self/mounts") as mounts:
        return [line for line in mounts if f"{cloud.data}/instances/" in line and "/ebs/vol-" in line]


def test_a_task_has_a_volume_of_its_own_for_as_long_as_it_lives(cloud: Cloud) -> None:
    register(cloud, "look", LOOK)
    task = ended(cloud, run(cloud, "look"))
    assert task["containers"][0]["exitCode"] == 0, task
    size, is_ext4 = (
        line.rpartition("|")[2].strip() for line in cloud.awsorch("logs", task["taskArn"]).stdout.splitlines()
    )
    assert 1700 < int(size) < 2048, "2 GiB less what the file system takes"
    assert is_ext4 == "1"
    assert task["attachments"][0]["status"] == "DELETED"
    assert (volumes(cloud), mounted(cloud)) == ([], [])
    assert list((cloud.data / "ebs").iterdir()) == []


def test_a_volume_whose_file_system_is_not_chosen_has_xfs(cloud: Cloud) -> None:
    register(cloud, "default", "grep -c ' /data xfs ' /proc/mounts")
    task = ended(cloud, run(cloud, "default", filesystemType="xfs"))
    assert task["containers"][0]["exitCode"] == 0, task
    assert (volumes(cloud), mounted(cloud)) == ([], [])


def test_a_volume_may_outlive_its_task(cloud: Cloud) -> None:
    register(cloud, "keep", LOOK)
    task = ended(cloud, run(cloud, "keep", terminationPolicy={"deleteOnTermination": False}))
    kept = volume_of(task)
    assert (volumes(cloud), mounted(cloud)) == ([kept], [])
    ec2_of(cloud).delete_volume(VolumeId=kept)
    assert list((cloud.data / "ebs").iterdir()) == []


def test_each_task_of_a_service_has_one(cloud: Cloud) -> None:
    register(cloud, "serve", "echo mine >> /data/log; sleep 3600 & trap 'exit 0' TERM; wait")
    cloud.ecs.create_service(serviceName="serve", taskDefinition="serve", desiredCount=2, volumeConfigurations=volume())

    def running() -> int:
        return int(cloud.ecs.describe_services(services=["serve"])["services"][0]["runningCount"])

    until("both run", lambda: running() == 2)
    assert len(set(volumes(cloud))) == len(mounted(cloud)) == 2
    cloud.ecs.delete_service(service="serve", force=True)
    until("nothing is left", lambda: not volumes(cloud) and not mounted(cloud))


def test_nothing_is_left_though_agents_are_killed(cloud: Cloud) -> None:
    register(cloud, "short", "sleep 3600")
    ends = []
    for status in ("PROVISIONING", "PENDING", "RUNNING"):
        arn = run(cloud, "short")
        until(f"it is {status}", lambda arn=arn, status=status: has_come_to(cloud, arn, status))  # type: ignore[misc]
        cloud.kill_agents()
        until("it runs all the same", lambda arn=arn: cloud.describe(arn)["lastStatus"] == "RUNNING")  # type: ignore[misc]
        cloud.kill_agents()
        cloud.ecs.stop_task(task=arn)
        ends.append(ended(cloud, arn)["stoppedReason"])
    assert set(ends) == {"Task stopped by user"}
    until("nothing is left", lambda: not volumes(cloud) and not mounted(cloud))


ORDER = ("PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED")


def has_come_to(cloud: Cloud, arn: str, status: str) -> bool:
    """Whether a task is so far, or further."""
    return ORDER.index(cloud.describe(arn)["lastStatus"]) >= ORDER.index(status)
