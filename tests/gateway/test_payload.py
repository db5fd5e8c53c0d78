"""What an agent gets of a task: every member of a container definition, overrides merged, Docker's shape and units."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from awsorch.core.definitions.register import prepare
from awsorch.core.model import Container, Task, TaskDefinition
from awsorch.gateway.payload import acs_stop, acs_task
from awsorch.gateway.volumes import acs_volume
from awsorch.wire import acs
from tests.support.builders import ACCOUNT, REGION, a_definition, a_task, arn

SAMPLES = Path(__file__).parents[2] / "taskdefs"


def a_payload(
    container: dict[str, Any] | None = None, *, task: dict[str, Any] | None = None, **document: Any
) -> acs.Task:
    """The payload of a task of one container "app" with these members, in a definition with these members."""
    definition = registered(
        {"containerDefinitions": [{"name": "app", "image": "busybox", **(container or {})}], **document}
    )
    return acs_task(task_of(definition, **(task or {})), definition)


def registered(document: dict[str, Any]) -> TaskDefinition:
    """As RegisterTaskDefinition would keep it."""
    sized = (
        {"memory": "512", **document} if not any("memory" in c for c in document["containerDefinitions"]) else document
    )
    prepared = prepare({"family": "web", **sized}, region=REGION, account=ACCOUNT)
    kept = {name: value for name, value in prepared.items() if name not in ("family", "tags")}
    return replace(a_definition(), definition=kept)


def task_of(definition: TaskDefinition, **members: Any) -> Task:
    containers = tuple(
        Container(name=each["name"], arn=arn(f"container/default/{'a' * 32}/{each['name']}"), image=each["image"])
        for each in definition.definition["containerDefinitions"]
    )
    return replace(a_task(definition=definition), **{"containers": containers, "zone": "us-east-1a", **members})


def config(payload: acs.Task, index: int = 0) -> dict[str, Any]:
    docker = payload.containers[index].docker_config
    assert docker is not None
    value: dict[str, Any] = json.loads(docker.config)
    return value


def host_config(payload: acs.Task, index: int = 0) -> dict[str, Any]:
    docker = payload.containers[index].docker_config
    assert docker is not None
    value: dict[str, Any] = json.loads(docker.host_config)
    return value


def test_a_plain_task_says_who_it_is_and_no_more_than_needed() -> None:
    payload = a_payload({"memory": 64})
    assert payload.arn == arn(f"task/default/{'a' * 32}")
    assert payload.task_cluster_arn == arn("cluster/default")
    assert (payload.family, payload.version, payload.desired_status) == ("web", "1", "RUNNING")
    assert (payload.task_definition_account_id, payload.launch_type, payload.zone) == (ACCOUNT, "EC2", "us-east-1a")
    assert (payload.group, payload.service_name) == ("family:web", "")
    assert (payload.network_mode, payload.overrides, payload.cpu, payload.memory) == ("bridge", "{}", 0.0, 0)
    container = payload.containers[0]
    assert (container.name, container.image, container.essential) == ("app", "busybox", True)
    assert (container.cpu, container.memory, container.overrides) == (0, 64, "{}")
    assert container.container_arn == arn(f"container/default/{'a' * 32}/app")
    assert container.environment == {"AWS_EXECUTION_ENV": "AWS_ECS_EC2"}
    assert container.entry_point is None
    assert config(payload) == {}
    assert host_config(payload) == {"NetworkMode": "bridge"}


def test_a_stop_is_short() -> None:
    assert acs_stop(a_task()) == acs.Task(
        arn=arn(f"task/default/{'a' * 32}"), desired_status="STOPPED", task_cluster_arn=arn("cluster/default")
    )


def test_task_sizes_are_in_vcpus_and_mib_and_overrides_win() -> None:
    payload = a_payload(cpu="256", memory="512")
    assert (payload.cpu, payload.memory) == (0.25, 512)
    payload = a_payload(cpu="256", memory="512", task={"overrides": {"cpu": "1024", "memory": "1024"}})
    assert (payload.cpu, payload.memory) == (1.0, 1024)


def test_container_overrides_are_merged() -> None:
    overrides = {
        "containerOverrides": [
            {
                "name": "app",
                "command": ["echo", "b"],
                "environment": [{"name": "A", "value": "2"}, {"name": "C", "value": "3"}],
                "environmentFiles": [{"value": "arn:aws:s3:::bucket/two.env", "type": "s3"}],
                "cpu": 20,
                "memory": 30,
                "memoryReservation": 25,
            }
        ]
    }
    payload = a_payload(
        {
            "command": ["echo", "a"],
            "entryPoint": ["/bin/sh", "-c"],
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
            "environmentFiles": [{"value": "arn:aws:s3:::bucket/one.env", "type": "s3"}],
            "cpu": 1,
            "memory": 64,
        },
        executionRoleArn="role",
        task={"overrides": overrides},
    )
    container = payload.containers[0]
    assert container.command == ("echo", "b")
    assert container.entry_point == ("/bin/sh", "-c")
    assert container.environment == {"AWS_EXECUTION_ENV": "AWS_ECS_EC2", "A": "2", "B": "", "C": "3"}
    assert container.environment_files == (acs.EnvironmentFile(value="arn:aws:s3:::bucket/two.env", type="s3"),)
    assert (container.cpu, container.memory) == (20, 30)
    assert host_config(payload)["MemoryReservation"] == 25 * 1024 * 1024


def test_dockers_own_members_travel_in_dockers_shape() -> None:
    payload = a_payload(
        {
            "user": "1000:1000",
            "workingDirectory": "/srv",
            "hostname": "box",
            "dockerLabels": {"a": "b"},
            "interactive": True,
            "pseudoTerminal": True,
            "disableNetworking": True,
            "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 10, "timeout": 2, "startPeriod": 3},
        }
    )
    assert config(payload) == {
        "User": "1000:1000",
        "WorkingDir": "/srv",
        "Hostname": "box",
        "Labels": {"a": "b"},
        "OpenStdin": True,
        "Tty": True,
        "NetworkDisabled": True,
        "Healthcheck": {
            "Test": ["CMD-SHELL", "true"],
            "Interval": 10_000_000_000,
            "Timeout": 2_000_000_000,
            "Retries": 3,
            "StartPeriod": 3_000_000_000,
        },
    }
    assert payload.containers[0].health_check_type == "docker"


def test_the_host_config_has_limits_devices_and_names() -> None:
    payload = a_payload(
        {
            "memory": 128,
            "memoryReservation": 64,
            "privileged": True,
            "readonlyRootFilesystem": True,
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 2048}],
            "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.1"}],
            "dnsServers": ["10.0.0.2"],
            "dnsSearchDomains": ["example.org"],
            "dockerSecurityOptions": ["no-new-privileges:true"],
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "512"}],
            "linuxParameters": {
                "capabilities": {"add": ["SYS_PTRACE"], "drop": ["MKNOD"]},
                "devices": [
                    {"hostPath": "/dev/fuse"},
                    {"hostPath": "/dev/a", "containerPath": "/dev/b", "permissions": ["read", "mknod"]},
                ],
                "initProcessEnabled": True,
                "sharedMemorySize": 32,
                "tmpfs": [{"containerPath": "/tmp", "size": 16, "mountOptions": ["rw", "noexec"]}],
                "maxSwap": 64,
                "swappiness": 10,
            },
        }
    )
    mib = 1024 * 1024
    assert host_config(payload) == {
        "NetworkMode": "bridge",
        "Privileged": True,
        "ReadonlyRootfs": True,
        "MemoryReservation": 64 * mib,
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}],
        "ExtraHosts": ["db:10.0.0.1"],
        "Dns": ["10.0.0.2"],
        "DnsSearch": ["example.org"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Sysctls": {"net.core.somaxconn": "512"},
        "CapAdd": ["SYS_PTRACE"],
        "CapDrop": ["MKNOD"],
        "Devices": [
            {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
            {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rm"},
        ],
        "Init": True,
        "ShmSize": 32 * mib,
        "Tmpfs": {"/tmp": "rw,noexec,size=16m"},
        "MemorySwap": (128 + 64) * mib,
        "MemorySwappiness": 10,
    }


def test_no_swap_at_all_and_swappiness_alone() -> None:
    none = host_config(a_payload({"memory": 64, "linuxParameters": {"maxSwap": 0}}))
    assert none["MemorySwap"] == 64 * 1024 * 1024
    alone = host_config(a_payload({"memory": 64, "linuxParameters": {"swappiness": 10}}))
    assert "MemorySwappiness" not in alone


@pytest.mark.parametrize(("mode", "expected"), [("host", "host"), ("none", "none"), ("awsvpc", None)])
def test_the_network_mode_is_dockers_unless_the_agent_makes_the_network(mode: str, expected: str | None) -> None:
    payload = a_payload(networkMode=mode)
    assert payload.network_mode == mode
    assert host_config(payload).get("NetworkMode") == expected


def test_namespaces_that_tasks_share_are_the_agents_to_make() -> None:
    shared = a_payload(pidMode="task", ipcMode="task")
    assert (shared.pid_mode, shared.ipc_mode) == ("task", "task")
    assert host_config(shared) == {"NetworkMode": "bridge"}
    own = host_config(a_payload(pidMode="host", ipcMode="none"))
    assert (own["PidMode"], own["IpcMode"]) == ("host", "none")


def test_awslogs_is_told_its_stream() -> None:
    options = {"awslogs-group": "g", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "pre"}
    given = {"logDriver": "awslogs", "options": options}
    assert host_config(a_payload({"logConfiguration": given}))["LogConfig"] == {
        "Type": "awslogs",
        "Config": {"awslogs-group": "g", "awslogs-region": "eu-west-1", "awslogs-stream": f"pre/app/{'a' * 32}"},
    }


def test_other_log_drivers_keep_their_options() -> None:
    given = {"logDriver": "json-file", "options": {"max-size": "1m"}}
    assert host_config(a_payload({"logConfiguration": given}))["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "1m"},
    }


def test_the_docker_api_version_is_the_newest_that_is_required() -> None:
    def version(container: dict[str, Any]) -> str:
        docker = a_payload(container).containers[0].docker_config
        assert docker is not None
        return docker.version

    assert version({}) == "1.18"
    assert version({"healthCheck": {"command": ["CMD", "true"]}}) == "1.24"
    assert version({"linuxParameters": {"initProcessEnabled": True}}) == "1.25"


def test_ports_links_mounts_order_and_time_outs() -> None:
    definition = registered(
        {
            "containerDefinitions": [
                {
                    "name": "db",
                    "image": "db",
                    "memory": 16,
                    "healthCheck": {"command": ["CMD", "true"]},
                    "startTimeout": 30,
                    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
                },
                {
                    "name": "app",
                    "image": "app",
                    "memory": 16,
                    "essential": False,
                    "links": ["db:database"],
                    "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
                    "portMappings": [
                        {"containerPort": 80},
                        {"containerPort": 53, "hostPort": 5353, "protocol": "udp"},
                        {"containerPortRange": "9000-9002"},
                    ],
                    "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": True}],
                    "volumesFrom": [{"sourceContainer": "db"}],
                    "stopTimeout": 5,
                },
            ],
            "volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}],
        }
    )
    db, app = acs_task(task_of(definition), definition).containers
    assert (db.start_timeout, db.stop_timeout) == (30, None)
    assert db.restart_policy == acs.RestartPolicy(enabled=True, ignored_exit_codes=(0,), restart_attempt_period=60)
    assert not app.essential
    assert (app.links, app.stop_timeout) == (("db:database",), 5)
    assert app.depends_on == (acs.ContainerDependency(container_name="db", condition="HEALTHY"),)
    assert app.port_mappings == (
        acs.PortMapping(container_port=80, host_port=0, protocol="tcp"),
        acs.PortMapping(container_port=53, host_port=5353, protocol="udp"),
        acs.PortMapping(container_port_range="9000-9002", protocol="tcp"),
    )
    assert app.mount_points == (acs.MountPoint(source_volume="v", container_path="/v", read_only=True),)
    assert app.volumes_from == (acs.VolumeFrom(source_container="db"),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, acs.Volume(name="v", type="host", host=acs.HostVolume())),
        ({"host": {}}, acs.Volume(name="v", type="host", host=acs.HostVolume())),
        ({"host": {"sourcePath": "/a"}}, acs.Volume(name="v", type="host", host=acs.HostVolume(source_path="/a"))),
        ({"configuredAtLaunch": True}, acs.Volume(name="v", type="attachment")),
        (
            {
                "dockerVolumeConfiguration": {
                    "scope": "shared",
                    "autoprovision": True,
                    "driver": "local",
                    "driverOpts": {"type": "tmpfs"},
                    "labels": {"a": "b"},
                }
            },
            acs.Volume(
                name="v",
                type="docker",
                docker_volume_configuration=acs.DockerVolume(
                    scope="shared",
                    autoprovision=True,
                    driver="local",
                    driver_opts={"type": "tmpfs"},
                    labels={"a": "b"},
                ),
            ),
        ),
        (
            {
                "efsVolumeConfiguration": {
                    "fileSystemId": "fs-1",
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": "ap-1", "iam": "ENABLED"},
                }
            },
            acs.Volume(
                name="v",
                type="efs",
                efs_volume_configuration=acs.EFSVolume(
                    file_system_id="fs-1",
                    root_directory="/",
                    transit_encryption="ENABLED",
                    authorization_config=acs.EFSAuthorization(access_point_id="ap-1", iam="ENABLED"),
                ),
            ),
        ),
        (
            {
                "fsxWindowsFileServerVolumeConfiguration": {
                    "fileSystemId": "fs-1",
                    "rootDirectory": "share",
                    "authorizationConfig": {"credentialsParameter": "arn:x", "domain": "d"},
                }
            },
            acs.Volume(
                name="v",
                type="fsxWindowsFileServer",
                fsx_windows_file_server_volume_configuration=acs.FSxWindowsFileServerVolume(
                    file_system_id="fs-1",
                    root_directory="share",
                    authorization_config=acs.FSxAuthorization(credentials_parameter="arn:x", domain="d"),
                ),
            ),
        ),
    ],
)
def test_volumes_of_every_kind(given: dict[str, Any], expected: acs.Volume) -> None:
    assert acs_volume({"name": "v", **given}) == expected


def test_secrets_name_their_provider_region_and_target() -> None:
    manager = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:s"
    container = a_payload(
        {
            "secrets": [{"name": "A", "valueFrom": manager}, {"name": "B", "valueFrom": "/parameter"}],
            "logConfiguration": {
                "logDriver": "splunk",
                "options": {},
                "secretOptions": [{"name": "splunk-token", "valueFrom": "/token"}],
            },
        },
        executionRoleArn="role",
    ).containers[0]
    assert [(s.name, s.provider, s.region, s.type, s.target) for s in container.secrets] == [
        ("A", "asm", "eu-west-1", "ENVIRONMENT_VARIABLE", "CONTAINER"),
        ("B", "ssm", REGION, "ENVIRONMENT_VARIABLE", "CONTAINER"),
        ("splunk-token", "ssm", REGION, "ENVIRONMENT_VARIABLE", "LOG_DRIVER"),
    ]
    assert container.secrets[0].value_from == manager


@pytest.mark.parametrize(
    ("image", "region"),
    [
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/app:1", "eu-west-1"),
        (f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app", "us-gov-west-1"),
        (f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws/app", "eu-west-1"),
    ],
)
def test_ecr_images_name_their_registry(image: str, region: str) -> None:
    assert a_payload({"image": image}).containers[0].registry_authentication == acs.RegistryAuthentication(
        type="ecr", ecr_auth_data=acs.ECRAuthData(registry_id=ACCOUNT, region=region)
    )


def test_repository_credentials_are_a_secret() -> None:
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:registry"
    payload = a_payload({"repositoryCredentials": {"credentialsParameter": secret}}, executionRoleArn="role")
    assert payload.containers[0].registry_authentication == acs.RegistryAuthentication(
        type="asm", asm_auth_data=acs.ASMAuthData(credentials_parameter=secret, region=REGION)
    )


def test_gpus_are_associations_of_their_container() -> None:
    definition = registered({"containerDefinitions": [{"name": "app", "image": "i", "memory": 8}]})
    task = task_of(definition)
    task = replace(task, containers=(replace(task.containers[0], gpu_ids=("GPU-1", "GPU-2")),))
    associations = acs_task(task, definition).associations
    assert [(a.name, a.type, a.containers) for a in associations] == [
        ("GPU-1", "gpu", ("app",)),
        ("GPU-2", "gpu", ("app",)),
    ]
    assert associations[0].content == acs.AssociationContent(value="GPU-1", encoding="identity")


def test_a_service_is_named_and_exec_brings_its_agent() -> None:
    payload = a_payload(task={"group": "service:shop", "enable_execute_command": True})
    assert (payload.service_name, payload.group) == ("shop", "service:shop")
    assert payload.containers[0].managed_agents == (acs.ManagedAgent(name="ExecuteCommandAgent"),)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.[jy]*")), ids=lambda path: path.name)
def test_every_sample_makes_a_payload_that_survives_the_wire(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        definition = registered(document)
        task = acs_task(task_of(definition), definition)
        message = acs.PayloadMessage(tasks=(task,))
        assert acs.decode_acs(acs.encode_acs(message)) == message
        assert [each.name for each in task.containers] == [each["name"] for each in document["containerDefinitions"]]
        for index in range(len(task.containers)):
            config(task, index)
            host_config(task, index)
