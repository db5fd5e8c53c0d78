"""A cloud whose instances are hosts of their own, for tests of tasks with networks of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import docker

from tests.e2e.conftest import Cloud, logs_of, run_awsorch, until
from tests.support.images import ensure_test_image

BLOCK_6 = "2600:1f13:4d9:e603::/64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """A cloud whose instances are hosts of their own, its VPC, whose first subnet has IPv6 addresses, and an image that
    its engines can have."""

    cloud: Cloud
    ec2: Any
    elbv2: Any
    subnets: list[str]
    vpc_id: str
    image: str

    def register(self, family: str, *containers: dict[str, Any], mode: str = "awsvpc") -> None:
        plain = {"image": self.image, "memory": 32, "stopTimeout": 2}
        self.cloud.ecs.register_task_definition(
            family=family, networkMode=mode, containerDefinitions=[{**plain, **each} for each in containers]
        )

    def network(self, *groups: str, subnets: list[str] | None = None) -> dict[str, Any]:
        chosen = {"securityGroups": list(groups)} if groups else {}
        return {"awsvpcConfiguration": {"subnets": subnets or self.subnets, **chosen}}

    def run(self, family: str, *groups: str, count: int = 1, subnets: list[str] | None = None) -> list[dict[str, Any]]:
        """Tasks that run."""
        return self.running(self.start(family, *groups, count=count, subnets=subnets))

    def start(
        self, family: str, *groups: str, count: int = 1, subnets: list[str] | None = None, **request: Any
    ) -> list[str]:
        """Tasks that will run."""
        ecs = self.cloud.ecs
        mode = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]["networkMode"]
        own = mode == "awsvpc"
        if own:
            request["networkConfiguration"] = self.network(*groups, subnets=subnets)
        answer = ecs.run_task(taskDefinition=family, count=count, enableExecuteCommand=True, **request)
        assert answer["failures"] == []
        assert {task["lastStatus"] for task in answer["tasks"]} == {"PROVISIONING" if own else "PENDING"}
        return [task["taskArn"] for task in answer["tasks"]]

    def running(self, arns: list[str]) -> list[dict[str, Any]]:
        """The tasks, when they run."""
        until("the tasks run", lambda: {self.cloud.describe(arn)["lastStatus"] for arn in arns} == {"RUNNING"})
        return [self.cloud.describe(arn) for arn in arns]

    def stop(self, *tasks: dict[str, Any]) -> None:
        arns = [task["taskArn"] for task in tasks]
        for arn in arns:
            self.cloud.ecs.stop_task(task=arn)
        until("the tasks are gone", lambda: {self.cloud.describe(arn)["lastStatus"] for arn in arns} == {"STOPPED"})

    def inside(self, task: dict[str, Any], container: str, command: str) -> str:
        """What a command in a container prints."""
        name = task["taskArn"].rpartition("/")[2]
        return self.cloud.awsorch("exec", name, "-c", container, "--", "sh", "-c", command).stdout

    def machine_of(self, task: dict[str, Any]) -> str:
        """The id of the EC2 instance that a task is on."""
        arn = task["containerInstanceArn"]
        (found,) = self.cloud.ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
        return str(found["ec2InstanceId"])

    def interfaces(self) -> list[dict[str, Any]]:
        """What EC2 has for tasks."""
        tagged = [{"Name": "tag-key", "Values": ["awsorch:attachment"]}]
        found: list[dict[str, Any]] = self.ec2.describe_network_interfaces(Filters=tagged)["NetworkInterfaces"]
        return found

    def group(self, name: str) -> str:
        made: str = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc_id)["GroupId"]
        return made


@contextmanager
def a_vpc(data: Path) -> Iterator[Vpc]:
    """A cloud with three instances in a folder, gone at the end."""
    machine = docker.APIClient(version="auto")
    image = ensure_test_image(machine)
    machine.close()
    settings = ("--hosts", "netns", "--instances", "3", "--port", "0", "--data", str(data))
    try:
        started = run_awsorch("up", "--detach", "--json", *settings)
        assert started.returncode == 0, started.stderr + logs_of(data)
        endpoint = json.loads(started.stdout)["endpoint"]
        ecs, ec2, elbv2 = (_client(name, endpoint) for name in ("ecs", "ec2", "elbv2"))
        found = [each for each in ec2.describe_subnets()["Subnets"] if each["CidrBlock"].startswith("10.")]
        vpc_id = found[0]["VpcId"]
        ec2.associate_vpc_cidr_block(VpcId=vpc_id, AmazonProvidedIpv6CidrBlock=True)
        ec2.associate_subnet_cidr_block(SubnetId=found[0]["SubnetId"], Ipv6CidrBlock=BLOCK_6)
        yield Vpc(
            cloud=Cloud(data=data, endpoint=endpoint, ecs=ecs),
            ec2=ec2,
            elbv2=elbv2,
            subnets=[each["SubnetId"] for each in found],
            vpc_id=vpc_id,
            image=image,
        )
    finally:
        stopped = run_awsorch("down", "--remove", "--data", str(data))
    assert stopped.returncode == 0, stopped.stderr


def _client(name: str, endpoint: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(name, endpoint_url=endpoint, region_name="us-east-1", **keys)


def address_of(task: dict[str, Any]) -> str:
    (interface,) = task["containers"][0]["networkInterfaces"]
    return str(interface["privateIpv4Address"])
