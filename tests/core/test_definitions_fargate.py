"""What Fargate and the other launch types refuse where requiresCompatibilities names them."""

from __future__ import annotations

from typing import Any

import pytest

from awsorch.core.definitions.fargate import has_fargate_size
from tests.core.definition_requests import ROLE, Request, a_container, a_request, fargate, refused, register

AWSLOGS = {"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream-prefix": "p"}


def on_fargate(**members: Any) -> Request:
    return fargate(a_container(**members))


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (fargate(networkMode="bridge"), "Fargate only supports network mode ‘awsvpc’."),
        (fargate(cpu=None), "Fargate requires that 'cpu' be defined at the task level."),
        (fargate(memory=None), "Fargate requires that 'memory' be defined at the task level."),
        (
            fargate(memory="256"),
            "No Fargate configuration exists for given values: 256 CPU, 256 memory. See the Amazon ECS documentation "
            "for the valid values.",
        ),
        (
            on_fargate(logConfiguration={"logDriver": "awslogs", "options": AWSLOGS}),
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ),
        (
            on_fargate(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"),
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ),
        (
            on_fargate(logConfiguration={"logDriver": "json-file"}),
            "json-file is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]",
        ),
        (
            on_fargate(stopTimeout=121),
            "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
        ),
        (on_fargate(privileged=True), "Fargate requires that the 'privileged' setting be 'false'"),
        (
            on_fargate(linuxParameters={"capabilities": {"add": ["SYS_PTRACE", "NET_ADMIN"]}}),
            "NET_ADMIN is not allowed on Fargate.",
        ),
        (
            on_fargate(linuxParameters={"sharedMemorySize": 64}),
            "Fargate compatible task definitions do not support sharedMemorySize",
        ),
        (
            on_fargate(dockerSecurityOptions=["no-new-privileges"]),
            "Fargate compatible task definitions do not support dockerSecurityOptions",
        ),
        (
            fargate(
                volumes=[{"name": "v", "dockerVolumeConfiguration": {}}, {"name": "w", "host": {"sourcePath": "/w"}}]
            ),
            "Fargate compatible task definitions do not support dockerVolumeConfiguration",
        ),
        (
            fargate(volumes=[{"name": "w", "host": {"sourcePath": "/w"}}]),
            "Fargate compatible task definitions do not support sourcePath",
        ),
        (
            fargate(pidMode="host"),
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is "
            "'task'.",
        ),
        (fargate(ipcMode="task"), "Fargate compatible task definitions do not support ipcMode"),
        (
            on_fargate(ulimits=[{"name": "core", "softLimit": 1, "hardLimit": 1}]),
            "Ulimit core is not allowed on Fargate.",
        ),
        (
            a_request(networkMode="awsvpc", requiresCompatibilities=["EXTERNAL"]),
            "The EXTERNAL launch type does not support network mode 'awsvpc'.",
        ),
        (
            a_request(networkMode="bridge", requiresCompatibilities=["MANAGED_INSTANCES"]),
            "Managed Instances only support the network modes 'awsvpc' and 'host'.",
        ),
        (
            a_request(ephemeralStorage={"sizeInGiB": 21}),
            "Ephemeral storage is only supported on Fargate.",
        ),
    ],
)
def test_required_compatibility_that_is_not_there(bad: Request, text: str) -> None:
    assert refused(bad) == text


def test_fargate_takes_what_it_can_run() -> None:
    log = {"logDriver": "awslogs", "options": AWSLOGS}
    limits = [{"name": "nofile", "softLimit": 1, "hardLimit": 1}]
    linux = {"capabilities": {"add": ["SYS_PTRACE"]}, "initProcessEnabled": True}
    container = a_container(logConfiguration=log, ulimits=limits, linuxParameters=linux, stopTimeout=120)
    document = register(fargate(container, executionRoleArn=ROLE, pidMode="task"))
    assert "FARGATE" in document["compatibilities"]


@pytest.mark.parametrize(
    ("cpu", "memory", "exists"),
    [
        (256, 2048, True),
        (256, 4096, False),
        (512, 4096, True),
        (512, 1536, False),
        (4096, 30720, True),
        (8192, 20480, True),
        (8192, 17408, False),
        (16384, 122880, True),
        (16384, 36864, False),
        (100, 512, False),
    ],
)
def test_fargate_sizes(cpu: int, memory: int, exists: bool) -> None:
    assert has_fargate_size(cpu, memory) is exists
