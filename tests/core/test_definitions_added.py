"""What registration adds: defaults, normal forms, compatibilities, requiresAttributes; and what Fargate refuses."""

from __future__ import annotations

from typing import Any

import pytest

from awsorch.core.definitions.sizes import normalise_cpu, normalise_memory
from awsorch.core.errors import Refusal
from tests.core.definition_requests import (
    ROLE,
    Request,
    a_container,
    a_request,
    register,
    with_container,
)

A, B = "com.amazonaws.ecs.capability.", "ecs.capability."

#: What the official agent reports on a plain Docker host outside EC2, without task limits.
PLAIN_AGENT = frozenset(
    [
        *(f"{B}{name}" for name in ("private-registry-authentication.secretsmanager", "ecr-endpoint", "full-sync")),
        *(
            f"{B}secrets.{kind}.{use}"
            for kind in ("ssm", "asm")
            for use in ("environment-variables", "bootstrap.log-driver")
        ),
        *(f"{B}{name}" for name in ("container-ordering", "env-files.s3", "network.container-port-range")),
        *(f"{B}{name}" for name in ("container-restart-policy", "execution-role-ecr-pull", "container-health-check")),
        *(f"{B}{name}" for name in ("docker-plugin.local", "efs", "storage.s3-files", "external", "ipv6-only")),
        *(f"{B}firelens.{name}" for name in ("fluentd", "fluentbit", "options.config.file", "options.config.s3")),
        f"{B}logging-driver.awsfirelens.log-driver-buffer-limit",
        *(f"{A}logging-driver.{driver}" for driver in ("json-file", "awslogs", "none", "awsfirelens")),
        *(f"{A}{name}" for name in ("privileged-container", "task-iam-role", "task-iam-role-network-host", "ecr-auth")),
        *(f"{A}docker-remote-api.1.{minor}" for minor in (*range(17, 26), 28, 29, 30, 32)),
    ]
)


def attributes(request: Request) -> set[str]:
    return {attribute["name"] for attribute in register(request)["requiresAttributes"]}


def test_the_defaults_of_a_small_definition() -> None:
    assert register(a_request()) == {
        "family": "web",
        "containerDefinitions": [
            {
                "name": "app",
                "image": "busybox",
                "memory": 64,
                "cpu": 0,
                "essential": True,
                "environment": [],
                "mountPoints": [],
                "portMappings": [],
                "volumesFrom": [],
                "systemControls": [],
            }
        ],
        "volumes": [],
        "placementConstraints": [],
        "compatibilities": ["EXTERNAL", "EC2"],
        "requiresAttributes": [],
    }


def test_a_request_is_not_changed() -> None:
    request = with_container(portMappings=[{"containerPort": 80}], healthCheck={"command": ["true"]})
    before = repr(request)
    register(request)
    assert repr(request) == before


@pytest.mark.parametrize(
    ("mode", "given", "host_port"),
    [
        ("bridge", {}, 0),
        (None, {}, 0),
        ("bridge", {"hostPort": 8080}, 8080),
        ("host", {}, 80),
        ("awsvpc", {}, 80),
    ],
)
def test_host_port(mode: str | None, given: dict[str, int], host_port: int) -> None:
    members = {"networkMode": mode} if mode else {}
    document = register(a_request(a_container(portMappings=[{"containerPort": 80, **given}]), **members))
    expected = {"containerPort": 80, "hostPort": host_port, "protocol": "tcp"}
    assert document["containerDefinitions"][0]["portMappings"] == [expected]


def test_a_range_of_ports_gets_no_host_port() -> None:
    document = register(with_container(portMappings=[{"containerPortRange": "80-90"}]))
    assert document["containerDefinitions"][0]["portMappings"] == [{"containerPortRange": "80-90", "protocol": "tcp"}]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (["CMD-SHELL", "true"], ["CMD-SHELL", "true"]),
        (["CMD", "true"], ["CMD", "true"]),
        (["curl", "-f", "x"], ["CMD", "curl", "-f", "x"]),
    ],
)
def test_health_check(given: list[str], stored: list[str]) -> None:
    check = register(with_container(healthCheck={"command": given}))["containerDefinitions"][0]["healthCheck"]
    assert check == {"command": stored, "interval": 30, "timeout": 5, "retries": 3}


def test_log_configuration() -> None:
    container = register(with_container(logConfiguration={"logDriver": "json-file"}))["containerDefinitions"][0]
    assert container["logConfiguration"] == {"logDriver": "json-file", "options": {}, "secretOptions": []}


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1024", "1024"),
        ("1 vCPU", "1024"),
        (".5 vcpu", "512"),
        ("0.25vCPU", "256"),
        ("192 vCPU", "196608"),
        ("128", "128"),
    ],
)
def test_cpu_text(text: str, units: str) -> None:
    assert normalise_cpu(text) == units


@pytest.mark.parametrize(
    "text", ["", "0", "127", "196609", "193 vCPU", "0.0001 vCPU", "1.5", "-1", "١٢٨", "1 GB", "1e3", "."]
)
def test_cpu_that_no_task_has(text: str) -> None:
    with pytest.raises(Refusal, match="Invalid 'cpu' setting for task"):
        normalise_cpu(text)


@pytest.mark.parametrize(("text", "mebibytes"), [("512", "512"), ("1GB", "1024"), ("0.5 GB", "512"), ("2 gb", "2048")])
def test_memory_text(text: str, mebibytes: str) -> None:
    assert normalise_memory(text) == mebibytes


@pytest.mark.parametrize("text", ["", "0", "-5", "0.3 GB", "1 MB", "9" * 11, "9999999999"])
def test_memory_that_no_task_has(text: str) -> None:
    with pytest.raises(Refusal, match="Invalid 'memory' setting for task"):
        normalise_memory(text)


def test_roles_are_kept_by_arn() -> None:
    document = register(a_request(taskRoleArn="worker", executionRoleArn=ROLE))
    assert (document["taskRoleArn"], document["executionRoleArn"]) == (ROLE, ROLE)


AWSLOGS = {"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream-prefix": "p"}


@pytest.mark.parametrize(
    ("request_", "launch_types"),
    [
        (a_request(), {"EXTERNAL", "EC2"}),
        (a_request(networkMode="host"), {"EXTERNAL", "EC2", "MANAGED_INSTANCES"}),
        (a_request(networkMode="awsvpc"), {"EC2", "MANAGED_INSTANCES"}),
        (a_request(networkMode="awsvpc", cpu="256", memory="512"), {"EC2", "MANAGED_INSTANCES", "FARGATE"}),
        (a_request(networkMode="awsvpc", cpu="256", memory="513"), {"EC2", "MANAGED_INSTANCES"}),
        (
            a_request(
                networkMode="awsvpc",
                cpu="1024",
                memory="2048",
                runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"},
            ),
            {"EC2", "FARGATE"},
        ),
        (
            a_request(a_container(stopTimeout=121), networkMode="awsvpc", cpu="256", memory="512"),
            {"EC2", "MANAGED_INSTANCES"},
        ),
        (a_request(networkMode="awsvpc", cpu="256", memory="512", ephemeralStorage={"sizeInGiB": 21}), {"FARGATE"}),
        (a_request(enableFaultInjection=True), {"EC2"}),
    ],
)
def test_compatibilities(request_: Request, launch_types: set[str]) -> None:
    assert set(register(request_)["compatibilities"]) == launch_types


ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"
ASM = "arn:aws:secretsmanager:us-east-1:123456789012:secret:x"


def log(driver: str, **options: str) -> Request:
    return a_container(logConfiguration={"logDriver": driver, "options": options})


def mounted(**kind: Any) -> Request:
    mount = {"sourceVolume": "v", "containerPath": "/v"}
    return a_request(a_container(mountPoints=[mount]), volumes=[{"name": "v", **kind}])


EFS_IAM = {"fileSystemId": "fs-1", "transitEncryption": "ENABLED", "authorizationConfig": {"iam": "ENABLED"}}


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (a_request(cpu="1024", memory="512"), set()),
        (a_request(log("json-file")), {f"{A}logging-driver.json-file", f"{A}docker-remote-api.1.18"}),
        (
            a_request(log("awslogs", **AWSLOGS), executionRoleArn=ROLE),
            {f"{A}logging-driver.awslogs", f"{A}docker-remote-api.1.19", f"{B}execution-role-awslogs"},
        ),
        (a_request(a_container(image=ECR)), {f"{A}ecr-auth"}),
        (a_request(a_container(image=ECR), executionRoleArn=ROLE), {f"{A}ecr-auth", f"{B}execution-role-ecr-pull"}),
        (a_request(taskRoleArn=ROLE), {f"{A}task-iam-role", f"{A}docker-remote-api.1.19"}),
        (
            a_request(taskRoleArn=ROLE, networkMode="host"),
            {f"{A}task-iam-role", f"{A}task-iam-role-network-host", f"{A}docker-remote-api.1.19"},
        ),
        (a_request(networkMode="awsvpc"), {f"{B}task-eni", f"{A}docker-remote-api.1.18"}),
        (with_container(privileged=True), {f"{A}privileged-container"}),
        (with_container(dockerSecurityOptions=["label:type:x", "no-new-privileges"]), {f"{A}selinux"}),
        (with_container(dockerSecurityOptions=["apparmor:profile"]), {f"{A}apparmor"}),
        (
            with_container(healthCheck={"command": ["CMD", "true"], "startPeriod": 5}),
            {f"{B}container-health-check", f"{A}docker-remote-api.1.24", f"{A}docker-remote-api.1.29"},
        ),
        (with_container(stopTimeout=5), {f"{B}container-ordering"}),
        (
            a_request(
                a_container(secrets=[{"name": "A", "valueFrom": ASM}, {"name": "B", "valueFrom": "b"}]),
                executionRoleArn=ROLE,
            ),
            {f"{B}secrets.asm.environment-variables", f"{B}secrets.ssm.environment-variables"},
        ),
        (
            with_container(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]),
            {f"{B}env-files.s3"},
        ),
        (with_container(memory=None, memoryReservation=64), {f"{A}docker-remote-api.1.21"}),
        (with_container(portMappings=[{"containerPortRange": "1-2"}]), {f"{B}network.container-port-range"}),
        (with_container(restartPolicy={"enabled": True}), {f"{B}container-restart-policy"}),
        (with_container(restartPolicy={"enabled": False}), set()),
        (with_container(credentialSpecs=["credentialspecdomainless:x"]), {f"{B}gmsa-domainless"}),
        (with_container(resourceRequirements=[{"type": "GPU", "value": "1"}]), set()),
        (
            with_container(user="1000", firelensConfiguration={"type": "fluentbit"}),
            {f"{B}firelens.fluentbit", f"{B}firelens.non-root-user"},
        ),
        (a_request(pidMode="task"), {f"{B}pid-ipc-namespace-sharing"}),
        (a_request(enableFaultInjection=True), {f"{B}fault-injection"}),
        (a_request(cpu="10241"), {f"{B}increased-task-cpu-limit"}),
        (mounted(efsVolumeConfiguration=EFS_IAM), {f"{B}efs", f"{B}efsAuth"}),
        (mounted(dockerVolumeConfiguration={}), {f"{B}docker-plugin.local", f"{A}docker-remote-api.1.25"}),
        (mounted(dockerVolumeConfiguration={"driver": "x"}), {f"{B}docker-plugin.x", f"{A}docker-remote-api.1.25"}),
        (mounted(configuredAtLaunch=True), {f"{B}storage.ebs-task-volume-attach"}),
    ],
)
def test_required_attributes(request_: Request, names: set[str]) -> None:
    assert attributes(request_) == names


def test_an_ordinary_task_fits_a_plain_agent() -> None:
    app = a_container(
        "app",
        image=ECR,
        memoryReservation=32,
        portMappings=[{"containerPort": 80}, {"containerPortRange": "9000-9010"}],
        mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}],
        dependsOn=[{"containerName": "db", "condition": "HEALTHY"}],
        logConfiguration={"logDriver": "json-file"},
        restartPolicy={"enabled": True},
        privileged=True,
        linuxParameters={"initProcessEnabled": True, "tmpfs": [{"containerPath": "/t", "size": 8}]},
        secrets=[{"name": "A", "valueFrom": ASM}, {"name": "B", "valueFrom": "b"}],
        startTimeout=60,
    )
    db = a_container("db", healthCheck={"command": ["true"], "startPeriod": 10})
    volumes = [{"name": "data", "dockerVolumeConfiguration": {"scope": "task"}}]
    needed = attributes(
        a_request(app, db, volumes=volumes, cpu="512", memory="512", taskRoleArn=ROLE, executionRoleArn=ROLE)
    )
    assert needed <= PLAIN_AGENT
    assert needed
