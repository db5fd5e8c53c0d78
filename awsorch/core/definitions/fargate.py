"""What Fargate does not take. Asked for ``compatibilities`` and where requiresCompatibilities holds FARGATE.

Source: ECS developer guide, "Task definition differences for Fargate".
"""

from __future__ import annotations

from collections.abc import Iterator

from awsorch.core.definitions.document import (
    Document,
    containers_of,
    is_ecr_image,
    network_mode_of,
    volumes_of,
)

#: cpu units: (least MiB, most MiB, step); 256 units have their own list.
_STEPS = {
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16384, 1024),
    4096: (8192, 30720, 1024),
    8192: (16384, 61440, 4096),
    16384: (32768, 122880, 8192),
}
_SMALLEST = {512, 1024, 2048}
_LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
_MAX_TIMEOUT = 120
_UNSUPPORTED_LINUX = ("devices", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness")
_UNSUPPORTED_CONTAINER = ("dockerSecurityOptions", "links", "extraHosts", "resourceRequirements")


def fargate_violations(document: Document) -> Iterator[str]:
    """Every reason, in words, why the definition can't run on Fargate; the first one is ECS's error."""
    if network_mode_of(document) != "awsvpc":
        yield "Fargate only supports network mode ‘awsvpc’."
    yield from _size_violations(document)
    yield from _task_violations(document)
    for container in containers_of(document):
        yield from _container_violations(container)
        yield from _log_violations(container)
    yield from _role_violations(document)


def has_fargate_size(cpu: int, memory: int) -> bool:
    """Whether Fargate has tasks of so many CPU units and MiB."""
    if cpu == 256:
        return memory in _SMALLEST
    if cpu not in _STEPS:
        return False
    least, most, step = _STEPS[cpu]
    return least <= memory <= most and (memory - least) % step == 0


def _size_violations(document: Document) -> Iterator[str]:
    cpu, memory = document.get("cpu"), document.get("memory")
    for member, value in (("cpu", cpu), ("memory", memory)):
        if value is None:
            yield f"Fargate requires that '{member}' be defined at the task level."
    if cpu is not None and memory is not None and not has_fargate_size(int(cpu), int(memory)):
        yield (
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS "
            "documentation for the valid values."
        )


def _task_violations(document: Document) -> Iterator[str]:
    if document.get("pidMode") == "host":
        yield (
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for "
            "pidMode is 'task'."
        )
    for member in ("ipcMode", "placementConstraints"):
        if document.get(member):
            yield _unsupported(member)
    for volume in volumes_of(document):
        if volume.get("dockerVolumeConfiguration") is not None:
            yield _unsupported("dockerVolumeConfiguration")
        if volume.get("fsxWindowsFileServerVolumeConfiguration"):
            yield _unsupported("fsxWindowsFileServerVolumeConfiguration")
        if (volume.get("host") or {}).get("sourcePath"):
            yield _unsupported("sourcePath")


def _container_violations(container: Document) -> Iterator[str]:
    if container.get("privileged"):
        yield "Fargate requires that the 'privileged' setting be 'false'"
    for member in _UNSUPPORTED_CONTAINER:
        if container.get(member):
            yield _unsupported(member)
    linux = container.get("linuxParameters") or {}
    for member in _UNSUPPORTED_LINUX:
        if linux.get(member) is not None and linux[member] != []:
            yield _unsupported(member)
    for capability in (linux.get("capabilities") or {}).get("add") or ():
        if capability != "SYS_PTRACE":
            yield f"{capability} is not allowed on Fargate."
    for limit in container.get("ulimits") or ():
        if limit.get("name") != "nofile":
            yield f"Ulimit {limit.get('name')} is not allowed on Fargate."
    for word in ("start", "stop"):
        if (container.get(f"{word}Timeout") or 0) > _MAX_TIMEOUT:
            yield (
                f"Tasks using the Fargate launch type must have a container {word} timeout of less than "
                f"{_MAX_TIMEOUT} seconds."
            )


def _log_violations(container: Document) -> Iterator[str]:
    configuration = container.get("logConfiguration") or {}
    driver = configuration.get("logDriver")
    if driver is not None and driver not in _LOG_DRIVERS:
        yield f"{driver} is not a valid log driver. Must be one of [{', '.join(_LOG_DRIVERS)}]"
    if driver == "awslogs" and not (configuration.get("options") or {}).get("awslogs-stream-prefix"):
        yield "Log driver awslogs requires options: awslogs-group, awslogs-region, awslogs-stream-prefix"


def _role_violations(document: Document) -> Iterator[str]:
    if document.get("executionRoleArn"):
        return
    needs = "Fargate requires task definition to have execution role ARN to support"
    for container in containers_of(document):
        if (container.get("logConfiguration") or {}).get("logDriver") == "awslogs":
            yield f"{needs} log driver awslogs."
        if is_ecr_image(container):
            yield f"{needs} ECR images."


def _unsupported(member: str) -> str:
    return f"Fargate compatible task definitions do not support {member}"
