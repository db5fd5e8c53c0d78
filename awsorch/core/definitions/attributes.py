"""``requiresAttributes``: what an instance's agent must be able to do to run a definition.

The names are the capabilities that agents report when they register. Task-level cpu and memory are not among them:
placement counts them, and agents without task limits run such tasks too.
Source: capability list of the Amazon ECS agent; developer guide, "Task definition parameters".
"""

from __future__ import annotations

from collections.abc import Iterator

from awsorch.core.definitions.document import (
    Document,
    containers_of,
    is_ecr_image,
    is_secrets_manager,
    log_secret_sources,
    network_mode_of,
    secret_sources,
    volumes_of,
)

_A = "com.amazonaws.ecs.capability."
_B = "ecs.capability."
#: Docker API version that a log driver came with. Agents advertise 1.17 to 1.25, 1.28 to 1.30 and 1.32 only.
_DRIVER_API = {
    "json-file": "1.18",
    "syslog": "1.18",
    "journald": "1.19",
    "gelf": "1.20",
    "fluentd": "1.20",
    "awslogs": "1.19",
    "splunk": "1.22",
}
#: Tasks above so many CPU units need an agent that knows of them.
_OLD_CPU_LIMIT = 10 * 1024


def required_attributes(document: Document) -> list[dict[str, str]]:
    """Attributes as ``{"name": …}``, each once, sorted by name."""
    names = {*_of_task(document), *_of_volumes(document), *_of_secrets(document)}
    for container in containers_of(document):
        names.update(_of_container(container))
        names.update(_of_image(document, container))
        names.update(_of_linux(container))
        names.update(_of_logs(document, container))
        names.update(_of_firelens(container))
    return [{"name": name} for name in sorted(names)]


def _api(version: str) -> str:
    return f"{_A}docker-remote-api.{version}"


def _of_task(document: Document) -> Iterator[str]:
    mode = network_mode_of(document)
    if document.get("taskRoleArn"):
        yield from (f"{_A}task-iam-role", _api("1.19"))
        if mode == "host":
            yield f"{_A}task-iam-role-network-host"
    if mode == "awsvpc":
        yield from (f"{_B}task-eni", _api("1.18"))
    if document.get("pidMode") or document.get("ipcMode"):
        yield f"{_B}pid-ipc-namespace-sharing"
    if document.get("proxyConfiguration"):
        yield f"{_B}aws-appmesh"
    if document.get("enableFaultInjection"):
        yield f"{_B}fault-injection"
    if int(document.get("cpu") or 0) > _OLD_CPU_LIMIT:
        yield f"{_B}increased-task-cpu-limit"


def _of_volumes(document: Document) -> Iterator[str]:
    for volume in volumes_of(document):
        docker, efs = volume.get("dockerVolumeConfiguration"), volume.get("efsVolumeConfiguration")
        if docker is not None:
            yield from (f"{_B}docker-plugin.{docker.get('driver') or 'local'}", _api("1.25"))
        if efs:
            yield f"{_B}efs"
            authorization = efs.get("authorizationConfig") or {}
            if authorization.get("accessPointId") or authorization.get("iam") == "ENABLED":
                yield f"{_B}efsAuth"
        if volume.get("fsxWindowsFileServerVolumeConfiguration"):
            yield f"{_B}fsxWindowsFileServer"
        if volume.get("s3filesVolumeConfiguration"):
            yield f"{_B}storage.s3-files"
        if volume.get("configuredAtLaunch"):
            yield f"{_B}storage.ebs-task-volume-attach"


def _of_secrets(document: Document) -> Iterator[str]:
    containers = containers_of(document)
    for source in secret_sources(containers):
        yield f"{_B}secrets.{'asm' if is_secrets_manager(source) else 'ssm'}.environment-variables"
    for source in log_secret_sources(containers):
        yield f"{_B}secrets.{'asm' if is_secrets_manager(source) else 'ssm'}.bootstrap.log-driver"


def _of_container(container: Document) -> Iterator[str]:
    check = container.get("healthCheck")
    if check:
        yield from (f"{_B}container-health-check", _api("1.24"))
        if check.get("startPeriod"):
            yield _api("1.29")
    if container.get("dependsOn") or any(f"{word}Timeout" in container for word in ("start", "stop")):
        yield f"{_B}container-ordering"
    if container.get("memoryReservation"):
        yield _api("1.21")
    if container.get("environmentFiles"):
        yield f"{_B}env-files.s3"
    if (container.get("restartPolicy") or {}).get("enabled"):
        yield f"{_B}container-restart-policy"
    if any("containerPortRange" in mapping for mapping in container.get("portMappings") or ()):
        yield f"{_B}network.container-port-range"
    for spec in container.get("credentialSpecs") or ():
        yield f"{_B}{'gmsa-domainless' if spec.startswith('credentialspecdomainless:') else 'gmsa'}"


def _of_image(document: Document, container: Document) -> Iterator[str]:
    if is_ecr_image(container):
        yield f"{_A}ecr-auth"
        if document.get("executionRoleArn"):
            yield f"{_B}execution-role-ecr-pull"
    if container.get("repositoryCredentials"):
        yield f"{_B}private-registry-authentication.secretsmanager"


def _of_linux(container: Document) -> Iterator[str]:
    if container.get("privileged"):
        yield f"{_A}privileged-container"
    for option in container.get("dockerSecurityOptions") or ():
        kind = option.partition(":")[0].partition("=")[0]
        if kind in ("label", "apparmor"):
            yield f"{_A}{'selinux' if kind == 'label' else 'apparmor'}"
    linux = container.get("linuxParameters") or {}
    if linux.get("sharedMemorySize") or linux.get("tmpfs"):
        yield _api("1.22")
    if linux.get("initProcessEnabled"):
        yield _api("1.25")
    if container.get("systemControls"):
        yield _api("1.24")


def _of_logs(document: Document, container: Document) -> Iterator[str]:
    configuration = container.get("logConfiguration") or {}
    driver = configuration.get("logDriver")
    if driver is None:
        return
    yield f"{_A}logging-driver.{driver}"
    if driver in _DRIVER_API:
        yield _api(_DRIVER_API[driver])
    if driver == "awslogs" and document.get("executionRoleArn"):
        yield f"{_B}execution-role-awslogs"
    if driver == "awsfirelens" and "log-driver-buffer-limit" in (configuration.get("options") or {}):
        yield f"{_B}logging-driver.awsfirelens.log-driver-buffer-limit"


def _of_firelens(container: Document) -> Iterator[str]:
    firelens = container.get("firelensConfiguration")
    if not firelens:
        return
    yield f"{_B}firelens.{firelens.get('type')}"
    kind = (firelens.get("options") or {}).get("config-file-type")
    if kind is not None:
        yield f"{_B}firelens.options.config.{kind}"
    if container.get("user") not in (None, "", "0", "root", "0:0", "root:root"):
        yield f"{_B}firelens.non-root-user"
