"""Stacks of a whole local cloud whose processes are killed: an operation is carried on, nothing is made twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from awsorch.local import up
from tests.local.test_up import children, client, data, is_replaced, options, wait

__all__ = ["data"]

pytestmark = pytest.mark.timeout(120)

CONTAINER = {"Name": "app", "Image": "any", "Memory": 16}
TEMPLATE = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.5.0.0/16"}},
        "Logs": {"Type": "AWS::Logs::LogGroup"},
        "Definition": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": [CONTAINER]}},
        "Service": {
            "Type": "AWS::ECS::Service",
            "DependsOn": ["Vpc", "Logs"],
            "Properties": {"TaskDefinition": {"Ref": "Definition"}, "DesiredCount": 2},
        },
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "DependsOn": "Service",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.5.1.0/24"},
        },
    },
    "Outputs": {"Subnet": {"Value": {"Ref": "Subnet"}}},
}
SHOP = {"StackName": "shop"}


def begin(ready: up.Ready, operation: str, **members: Any) -> threading.Thread:
    """Make a call whose answer will be lost."""

    def call() -> None:
        with suppress(ClientError, BotoCoreError):
            getattr(client(ready, "cloudformation"), operation)(**members)

    thread = threading.Thread(target=call)
    thread.start()
    return thread


def status(ready: up.Ready) -> str:
    return str(client(ready, "cloudformation").describe_stacks(**SHOP)["Stacks"][0]["StackStatus"])


def kill(ready: up.Ready) -> None:
    controller = children(ready)["awsorch.app"]
    os.kill(controller, signal.SIGKILL)
    wait(lambda: is_replaced(ready, "awsorch.app", controller))


def counts(ready: up.Ready) -> tuple[int, int, int]:
    """VPCs, log groups, services."""
    vpcs = client(ready, "ec2").describe_vpcs()["Vpcs"]
    groups = client(ready, "logs").describe_log_groups()["logGroups"]
    return len(vpcs), len(groups), len(client(ready, "ecs").list_services()["serviceArns"])


def test_stacks_survive_kills_and_restarts(data: Path) -> None:
    ready = up.start_detached(options(data, instances=1))
    before = counts(ready)
    lost = begin(ready, "create_stack", **SHOP, TemplateBody=json.dumps(TEMPLATE))
    wait(lambda: "Service" in resources(ready))
    kill(ready)
    lost.join()
    wait(lambda: status(ready) == "CREATE_COMPLETE")
    made = tuple(count + 1 for count in before)
    assert counts(ready) == made
    outputs = client(ready, "cloudformation").describe_stacks(**SHOP)["Stacks"][0]["Outputs"]
    assert outputs[0]["OutputValue"].startswith("subnet-")

    up.stop(data)
    ready = up.start_detached(options(data, instances=1))
    assert status(ready) == "CREATE_COMPLETE"
    assert client(ready, "cloudformation").describe_stacks(**SHOP)["Stacks"][0]["Outputs"] == outputs
    assert counts(ready)[0] == made[0], "what moto keeps is there as well"

    lost = begin(ready, "delete_stack", **SHOP)
    wait(lambda: status(ready) == "DELETE_IN_PROGRESS")
    kill(ready)
    lost.join()
    wait(lambda: not [each for each in stacks(ready) if each["StackStatus"] != "DELETE_COMPLETE"])
    vpcs, _, services = counts(ready)
    assert (vpcs, services) == (before[0], before[2])


def resources(ready: up.Ready) -> set[str]:
    found = client(ready, "cloudformation").describe_stack_resources(**SHOP)["StackResources"]
    return {each["LogicalResourceId"] for each in found}


def stacks(ready: up.Ready) -> list[dict[str, Any]]:
    return list(client(ready, "cloudformation").list_stacks()["StackSummaries"])
