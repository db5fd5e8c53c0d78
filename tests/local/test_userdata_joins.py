"""`awsorch userdata` in the local cloud: a group whose launch template has it starts agents that join as it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from awsorch.local import up
from tests.e2e.conftest import until

pytestmark = pytest.mark.timeout(180)
AWSORCH = Path(sys.executable).with_name("awsorch")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[up.Ready]:
    """A cloud with simulated containers and no instance of its own."""
    data = tmp_path_factory.mktemp("cloud") / "data"
    yield up.start_detached(up.Options(data=data, engine="simulated", port=0, instances=0))
    up.stop(data, remove=True)


def client(ready: up.Ready, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=ready.endpoint,
        region_name=ready.environment["AWS_DEFAULT_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.mark.parametrize("form", ["cloud-config", "shell", "mime"])
def test_a_group_with_it_in_its_launch_template_starts_agents(ready: up.Ready, form: str) -> None:
    ecs, ec2, groups = (client(ready, service) for service in ("ecs", "ec2", "autoscaling"))
    ecs.create_cluster(clusterName=form)
    command = ("userdata", "--cluster", form, "--endpoint", ready.endpoint, "--format", form, "--base64")
    more = ("--attributes", "rack=a1", "--tags", "team=Söhne")
    printed = subprocess.run((AWSORCH, *command, *more), capture_output=True, text=True, check=True)
    template = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "UserData": printed.stdout.strip()}
    ec2.create_launch_template(LaunchTemplateName=form, LaunchTemplateData=template)
    groups.create_auto_scaling_group(
        AutoScalingGroupName=form,
        LaunchTemplate={"LaunchTemplateName": form},
        AvailabilityZones=["us-east-1a"],
        MinSize=0,
        MaxSize=3,
        DesiredCapacity=2,
    )

    def joined() -> list[dict[str, Any]]:
        try:
            arns = ecs.list_container_instances(cluster=form, filter="attribute:rack == a1")["containerInstanceArns"]
            if len(arns) != 2:
                return []
            answer = ecs.describe_container_instances(cluster=form, containerInstances=arns, include=["TAGS"])
        except (ClientError, BotoCoreError):
            return []
        return [each for each in answer["containerInstances"] if each["agentConnected"]]

    until("both instances of the group have joined", lambda: len(joined()) == 2)
    (group,) = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[form])["AutoScalingGroups"]
    assert {each["ec2InstanceId"] for each in joined()} == {each["InstanceId"] for each in group["Instances"]}
    assert {(tag["key"], tag["value"]) for each in joined() for tag in each["tags"]} == {("team", "Söhne")}
