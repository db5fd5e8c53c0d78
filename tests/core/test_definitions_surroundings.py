"""Rules about what a container is given from outside: network, ports, volumes, secrets, logs, kernel settings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.definition_requests import (
    ROLE,
    Request,
    a_container,
    a_request,
    refused,
    register,
    setting,
    with_container,
    with_two,
)

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"


def with_ports(*mappings: dict[str, Any], mode: str = "bridge") -> Request:
    return a_request(a_container(portMappings=list(mappings)), networkMode=mode)


def ports_of_two(first: dict[str, Any], second: dict[str, Any], mode: str) -> Request:
    return with_two({"portMappings": [first]}, {"portMappings": [second]}, networkMode=mode)


def with_volume(**members: Any) -> Request:
    mount = {"sourceVolume": "v", "containerPath": "/v"}
    return a_request(a_container(mountPoints=[mount]), volumes=[{"name": "v", **members}])


def with_linux(**members: Any) -> Request:
    return with_container(linuxParameters=members)


def with_log(driver: str, *, role: str | None = None, **members: Any) -> Request:
    extra = {"executionRoleArn": role} if role else {}
    return a_request(a_container(logConfiguration={"logDriver": driver, **members}), **extra)


def range_setting(text: str) -> str:
    return f"Invalid 'containerPortRange' setting for container 'app'. {text}"


MATCH = "the host ports and container ports in port mappings must match."
PORTS = [
    (
        with_ports({"containerPort": 80, "hostPort": 0}),
        with_ports({"containerPort": 0}),
        "Invalid 'containerPort' setting for container 'app'. Use a port from 1 to 65535.",
    ),
    (
        with_ports({"containerPort": 80, "hostPort": 65535}),
        with_ports({"containerPort": 80, "hostPort": 65536}),
        "Invalid 'hostPort' setting for container 'app'. Use a port from 0 to 65535.",
    ),
    (
        with_ports({"containerPort": 80, "hostPort": 80}, mode="awsvpc"),
        with_ports({"containerPort": 80, "hostPort": 8080}, mode="awsvpc"),
        f"When networkMode=awsvpc, {MATCH}",
    ),
    (
        with_ports({"containerPort": 80}, mode="host"),
        with_ports({"containerPort": 80, "hostPort": 8080}, mode="host"),
        f"When networkMode=host, {MATCH}",
    ),
    (
        a_request(networkMode="none"),
        with_ports({"containerPort": 80}, mode="none"),
        "Port mappings are not supported when networkMode=none.",
    ),
    (
        ports_of_two({"containerPort": 80}, {"containerPort": 80}, "bridge"),
        ports_of_two({"containerPort": 80}, {"containerPort": 80}, "awsvpc"),
        "container port is used multiple times in task",
    ),
    (
        ports_of_two({"containerPort": 80}, {"containerPort": 80, "protocol": "udp"}, "host"),
        ports_of_two({"containerPort": 80}, {"containerPort": 80}, "host"),
        "container port is used multiple times in task",
    ),
    (
        with_ports({"containerPort": 80, "hostPort": 8080}, {"containerPort": 80, "hostPort": 8081}),
        ports_of_two({"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 8080}, "bridge"),
        "host port is used multiple times in task",
    ),
    (
        with_ports({"containerPortRange": "8000-8010"}, {"containerPort": 8011}),
        with_ports({"containerPortRange": "8000-8010"}, {"containerPort": 8010}),
        "container port is used multiple times in task",
    ),
    (
        with_ports({"containerPortRange": "80-80"}),
        with_ports({"containerPortRange": "80-79"}),
        range_setting("Use two ports from 1 to 65535, such as '8000-8010'."),
    ),
    (
        with_ports({"containerPortRange": "80-90"}, mode="awsvpc"),
        with_ports({"containerPortRange": "80-90", "hostPort": 80}),
        range_setting("It excludes 'containerPort' and 'hostPort'."),
    ),
    (
        a_request(),
        with_ports({"containerPortRange": "80-90"}, mode="host"),
        range_setting("It needs networkMode bridge or awsvpc."),
    ),
    (
        with_ports(*({"containerPortRange": f"{n}-{n}"} for n in range(1, 101))),
        with_ports(*({"containerPortRange": f"{n}-{n}"} for n in range(1, 102))),
        range_setting("A container may have at most 100 port ranges."),
    ),
    (
        with_ports({"containerPort": 80, "name": "http", "appProtocol": "http"}),
        with_ports({"containerPort": 80, "name": "-Http"}),
        "Invalid port mapping name '-Http'. Use at most 64 lower-case letters, digits, underscores and hyphens; it "
        "can't start with a hyphen.",
    ),
    (
        a_request(),
        ports_of_two({"containerPort": 80, "name": "x"}, {"containerPort": 81, "name": "x"}, "bridge"),
        "port mapping name is already used",
    ),
]

NETWORK = [
    *(
        (
            with_container(**{member: value}),
            a_request(a_container(**{member: value}), networkMode="awsvpc"),
            f"{subject} not supported on container when networkMode=awsvpc",
        )
        for member, value, subject in (
            ("disableNetworking", True, "Disable Networking is"),
            ("dnsServers", ["10.0.0.2"], "DNS servers are"),
            ("dnsSearchDomains", ["example.com"], "DNS search domains are"),
            ("hostname", "web", "Hostname is"),
            ("extraHosts", [{"hostname": "db", "ipAddress": "10.0.0.3"}], "Extra hosts are"),
        )
    ),
    (
        with_container(extraHosts=[{"hostname": "db", "ipAddress": "10.0.0.3"}]),
        with_container(extraHosts=[{"hostname": "db", "ipAddress": ""}]),
        "Extra hosts of container 'app' need 'hostname' and 'ipAddress'.",
    ),
    (
        with_two({"links": ["b"]}, {}),
        with_two({"links": ["b"]}, {}, networkMode="awsvpc"),
        "Links are not supported when networkMode=awsvpc.",
    ),
    (
        with_two({"links": ["b:x.y"]}, {}, networkMode="bridge"),
        with_container(links=["nobody:x"]),
        "Invalid 'links' setting. Unknown container: 'nobody'",
    ),
    (
        a_request(),
        with_two({"links": ["b:"]}, {}),
        "Invalid link 'b:' of container 'a'. Use 'name' or 'name:alias'.",
    ),
]

PROXY_PROPERTIES = [
    {"name": name, "value": "1"} for name in ("IgnoredUID", "AppPorts", "ProxyIngressPort", "ProxyEgressPort")
]


def with_proxy(properties: list[dict[str, str]], name: str = "app", mode: str = "awsvpc") -> Request:
    proxy = {"type": "APPMESH", "containerName": name, "properties": properties}
    return a_request(networkMode=mode, proxyConfiguration=proxy)


PROXY = [
    (
        with_proxy(PROXY_PROPERTIES),
        with_proxy(PROXY_PROPERTIES, mode="bridge"),
        "APPMESH proxy configuration is only supported in networkMode=awsvpc",
    ),
    (a_request(), with_proxy(PROXY_PROPERTIES, name="envoy"), "Proxy container [envoy] does not exist"),
    (
        a_request(),
        with_proxy(PROXY_PROPERTIES[1:]),
        "APPMESH proxy configuration requires one of the properties: IgnoredUID, IgnoredGID",
    ),
    (
        a_request(),
        with_proxy(PROXY_PROPERTIES[:2]),
        "APPMESH proxy configuration requires properties: ProxyIngressPort, ProxyEgressPort",
    ),
]

EFS = {"fileSystemId": "fs-1"}
VOLUMES = [
    (with_volume(), a_request(a_container(mountPoints=[{"sourceVolume": "v"}])), "Unknown volume 'v'."),
    (
        with_volume(host={"sourcePath": "/data"}),
        a_request(a_container(mountPoints=[{"sourceVolume": "v"}]), volumes=[{"name": "v"}]),
        "Mount points of container 'app' need a 'containerPath'.",
    ),
    (a_request(volumes=[{"name": "v"}]), a_request(volumes=[{}]), "Volume.name should not be null or empty."),
    (
        a_request(volumes=[{"name": "a"}, {"name": "b"}]),
        a_request(volumes=[{"name": "a"}, {"name": "a"}]),
        "Volume.name must be unique in a task definition: 'a' is used twice.",
    ),
    (
        a_request(),
        a_request(volumes=[{"name": "a b"}]),
        "Invalid volume name 'a b'. Use at most 255 letters, digits, underscores and hyphens.",
    ),
    (
        with_volume(dockerVolumeConfiguration={"scope": "shared", "autoprovision": True}),
        with_volume(dockerVolumeConfiguration={"autoprovision": True}),
        "Volume 'v': 'autoprovision' is only supported with the scope 'shared'.",
    ),
    (
        a_request(),
        with_volume(host={"sourcePath": "/d"}, efsVolumeConfiguration=EFS),
        "Volume 'v' may have only one of: host, efsVolumeConfiguration",
    ),
    (
        with_volume(
            efsVolumeConfiguration={**EFS, "transitEncryption": "ENABLED", "authorizationConfig": {"iam": "ENABLED"}}
        ),
        with_volume(efsVolumeConfiguration={**EFS, "authorizationConfig": {"iam": "ENABLED"}}),
        "Volume 'v': 'transitEncryption' must be ENABLED to use IAM authorization or an access point.",
    ),
    (
        with_volume(efsVolumeConfiguration={**EFS, "rootDirectory": "/data"}),
        with_volume(
            efsVolumeConfiguration={
                **EFS,
                "rootDirectory": "/data",
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"accessPointId": "fsap-1"},
            }
        ),
        "Volume 'v': 'rootDirectory' must be omitted or '/' with an access point.",
    ),
    (
        with_volume(efsVolumeConfiguration={**EFS, "transitEncryptionPort": 2049}),
        with_volume(efsVolumeConfiguration={**EFS, "transitEncryptionPort": 65536}),
        "Volume 'v': 'transitEncryptionPort' must be from 0 to 65535.",
    ),
    (
        with_volume(configuredAtLaunch=True),
        a_request(volumes=[{"name": "v", "configuredAtLaunch": True}]),
        "Volumes [v] are not referenced by any of the containers",
    ),
    (
        a_request(),
        a_request(volumes=[{"name": "v", "configuredAtLaunch": True}, {"name": "w", "configuredAtLaunch": True}]),
        "A task definition may have at most one volume that is configured at launch.",
    ),
    (
        with_two({"volumesFrom": [{"sourceContainer": "b"}]}, {}),
        with_container(volumesFrom=[{"sourceContainer": "b"}]),
        "Invalid 'volumesFrom' setting. Unknown container: 'b'",
    ),
]

FILE = {"type": "s3", "value": "arn:aws:s3:::bucket/path/app.env"}
SECRETS = [
    (
        a_request(a_container(secrets=[{"name": "S", "valueFrom": SECRET}]), executionRoleArn=ROLE),
        with_container(secrets=[{"name": "S", "valueFrom": SECRET}]),
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
    ),
    (
        a_request(a_container(secrets=[{"name": "S", "valueFrom": "/app/db"}]), executionRoleArn=ROLE),
        a_request(a_container(secrets=[{"name": "S", "valueFrom": "arn:aws:s3:::x"}]), executionRoleArn=ROLE),
        "Invalid 'valueFrom' setting for secret 'S'. Use the ARN of a Secrets Manager secret or an SSM parameter, or "
        "the name of an SSM parameter in the same region.",
    ),
    (
        a_request(),
        with_container(secrets=[{"name": "S", "valueFrom": SECRET}], environment=[{"name": "S", "value": "x"}]),
        "The secret name must be unique and not shared with any new or existing environment variables set on the "
        "container, such as 'S'.",
    ),
    (
        a_request(),
        a_request(a_container(secrets=[{"name": "S", "valueFrom": "a"}] * 2), executionRoleArn=ROLE),
        "The secret 'S' of container 'app' is given twice.",
    ),
    (
        with_container(environment=[{"name": "A"}]),
        with_container(environment=[{"value": "x"}]),
        "An environment variable of container 'app' has no name.",
    ),
    (
        with_container(environmentFiles=[FILE] * 10),
        with_container(environmentFiles=[FILE] * 11),
        "Container 'app' may have at most 10 environment files.",
    ),
    (
        a_request(),
        with_container(environmentFiles=[{**FILE, "value": "arn:aws:s3:::bucket/app.txt"}]),
        "Invalid arn syntax",
    ),
    (
        a_request(a_container(repositoryCredentials={"credentialsParameter": SECRET}), executionRoleArn=ROLE),
        with_container(repositoryCredentials={"credentialsParameter": SECRET}),
        "When you are specifying repository credentials, you must also specify a value for 'executionRoleArn'.",
    ),
]

AWSLOGS = {"awslogs-group": "g", "awslogs-region": "us-east-1"}
ROUTER = {"firelensConfiguration": {"type": "fluentbit"}}
ROUTED = {"logConfiguration": {"logDriver": "awsfirelens"}}
LOGS = [
    (
        with_log("awslogs", options=AWSLOGS),
        with_log("awslogs", options={"awslogs-group": "g"}),
        "Log driver awslogs requires options: awslogs-group, awslogs-region",
    ),
    (
        with_log("json-file", options={"mode": "non-blocking"}),
        with_log("json-file", options={"mode": "lossy"}),
        "Log option 'mode' of container 'app' must be one of [blocking, non-blocking]",
    ),
    (
        with_log("splunk", role=ROLE, secretOptions=[{"name": "splunk-token", "valueFrom": SECRET}]),
        with_log("splunk", secretOptions=[{"name": "splunk-token", "valueFrom": SECRET}]),
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
    ),
    (
        with_two(ROUTER, ROUTED),
        with_container(**ROUTED),
        "The awsfirelens log driver requires a container with a firelensConfiguration.",
    ),
    (
        a_request(),
        with_two(ROUTER, ROUTER),
        "A task definition may have at most one container with a firelensConfiguration.",
    ),
    (
        with_container(
            firelensConfiguration={
                "type": "fluentd",
                "options": {"config-file-type": "file", "config-file-value": "/x"},
            }
        ),
        with_container(firelensConfiguration={"type": "fluentd", "options": {"config-file-type": "http"}}),
        "FireLens option 'config-file-type' must be one of [s3, file]",
    ),
    (
        a_request(),
        with_container(firelensConfiguration={"type": "fluentd", "options": {"config-file-type": "s3"}}),
        "FireLens option 'config-file-type' requires the option 'config-file-value'",
    ),
]

NOFILE = {"name": "nofile", "softLimit": 1, "hardLimit": 2}
LINUX = [
    (
        with_linux(capabilities={"add": ["SYS_PTRACE"], "drop": ["ALL"]}),
        with_linux(capabilities={"add": ["FLY"]}),
        setting("'FLY' is not a Linux capability."),
    ),
    (with_linux(maxSwap=0, swappiness=100), with_linux(maxSwap=-1), setting("'maxSwap' must be 0 MiB or more.")),
    (with_linux(swappiness=0), with_linux(swappiness=101), setting("'swappiness' must be from 0 to 100.")),
    (
        with_linux(sharedMemorySize=1),
        with_linux(sharedMemorySize=0),
        setting("'sharedMemorySize' must be at least 1 MiB."),
    ),
    (
        with_linux(tmpfs=[{"containerPath": "/t", "size": 1, "mountOptions": ["mode=1777", "noexec"]}]),
        with_linux(tmpfs=[{"containerPath": "/t", "size": 0}]),
        setting("'tmpfs' needs a 'containerPath' and a 'size' of at least 1 MiB."),
    ),
    (
        a_request(),
        with_linux(tmpfs=[{"containerPath": "/t", "size": 1, "mountOptions": ["fast"]}]),
        setting("'fast' is not a mount option of tmpfs."),
    ),
    (
        with_linux(devices=[{"hostPath": "/dev/fuse"}]),
        with_linux(devices=[{"hostPath": ""}]),
        setting("'devices' need a 'hostPath'."),
    ),
    (
        with_container(ulimits=[NOFILE]),
        with_container(ulimits=[{**NOFILE, "softLimit": 3}]),
        setting("The soft limit of ulimit 'nofile' must be at most its hard limit."),
    ),
    (
        with_container(ulimits=[{**NOFILE, "softLimit": -1, "hardLimit": -1}]),
        with_container(ulimits=[{**NOFILE, "softLimit": -1}]),
        setting("The soft limit of ulimit 'nofile' must be at most its hard limit."),
    ),
    (a_request(), with_container(ulimits=[NOFILE, NOFILE]), setting("Ulimit 'nofile' is given twice.")),
    (
        with_container(systemControls=[{"namespace": "net.core.somaxconn", "value": "1"}]),
        with_container(systemControls=[{"namespace": "vm.swappiness", "value": "1"}]),
        setting("System control 'vm.swappiness' is not supported. Use net.*, fs.mqueue.* or the kernel's IPC ones."),
    ),
    (
        with_container(systemControls=[{"namespace": "kernel.shmmax", "value": "1"}]),
        a_request(a_container(systemControls=[{"namespace": "net.x", "value": "1"}]), networkMode="host"),
        setting("System control 'net.x' is not supported when networkMode=host."),
    ),
    (
        with_container(systemControls=[{"namespace": "fs.mqueue.msg_max", "value": "1"}]),
        a_request(a_container(systemControls=[{"namespace": "kernel.sem", "value": "1"}]), ipcMode="host"),
        setting("System control 'kernel.sem' is not supported when ipcMode=host."),
    ),
]


@pytest.mark.parametrize(("good", "bad", "text"), PORTS + NETWORK + PROXY + VOLUMES + SECRETS + LOGS + LINUX)
def test_rule(good: Request, bad: Request, text: str) -> None:
    register(good)
    assert refused(bad) == text
