"""Rules about containers: names, images, sizes, essential, restart policy, timeouts, resource requirements."""

from __future__ import annotations

from collections.abc import Iterable

from awsorch.core.definitions.checks.names import MAX_NAME, is_name
from awsorch.core.definitions.document import Document, containers_of, name_of
from awsorch.core.definitions.sizes import MAX_CONTAINER_CPU, MAX_TASK_MEMORY, MIN_CONTAINER_MEMORY
from awsorch.core.errors import client_error

MAX_CONTAINERS = 10
MIN_TIMEOUT = 2
MAX_TIMEOUT = 2_147_483_647
MAX_IGNORED_EXIT_CODES = 50
MIN_RESTART_PERIOD, MAX_RESTART_PERIOD = 60, 1800


def check_containers(document: Document) -> None:
    """Everything that can be said of containers without looking at ports, volumes or each other's order."""
    containers = containers_of(document)
    if not containers:
        raise client_error("Container list cannot be empty.")
    if len(containers) > MAX_CONTAINERS:
        raise client_error(f"A task definition may have at most {MAX_CONTAINERS} containers.")
    _check_names(containers)
    check_sizes(containers, cpu=document.get("cpu"), memory=document.get("memory"))
    if not any(container.get("essential") for container in containers):
        raise client_error("Task definition doesn't have any essential container.")
    for container in containers:
        _check_restart_policy(container)
        _check_timeouts(container)
        if len(container.get("credentialSpecs") or ()) > 1:
            raise client_error(f"Container '{name_of(container)}' may have at most one credential spec.")
    check_resource_requirements(containers)


def _check_names(containers: list[Document]) -> None:
    seen = set()
    for container in containers:
        name = name_of(container)
        if not name:
            raise client_error("Container.name should not be null or empty.")
        if not is_name(name):
            raise client_error("Container.name contains invalid characters.")
        if len(name) > MAX_NAME:
            raise client_error(f"Container.name must be at most {MAX_NAME} characters long.")
        if not container.get("image"):
            raise client_error("Container.image should not be null or empty.")
        if name in seen:
            raise client_error(f"Container.name must be unique in a task definition: '{name}' is used twice.")
        seen.add(name)


def check_sizes(containers: Iterable[Document], *, cpu: str | None, memory: str | None) -> None:
    """Container cpu and memory, alone and against the task's (text of plain integers, or None)."""
    cpu_sum = memory_sum = 0
    for container in containers:
        _check_container_cpu(container)
        _check_container_memory(container, task_memory=memory)
        cpu_sum += container.get("cpu") or 0
        memory_sum += container.get("memoryReservation") or container.get("memory") or 0
    for noun, total, limit in (("cpu", cpu_sum, cpu), ("memory", memory_sum, memory)):
        if limit is not None and total > int(limit):
            raise client_error(
                f"The sum of the '{noun}' settings of the containers ({total}) is greater than the '{noun}' "
                f"setting of the task ({limit})."
            )


def _check_container_cpu(container: Document) -> None:
    if not 0 <= (container.get("cpu") or 0) <= MAX_CONTAINER_CPU:
        raise _setting(container, f"'cpu' must be from 0 to {MAX_CONTAINER_CPU} CPU units.")


def _check_container_memory(container: Document, *, task_memory: str | None) -> None:
    hard, soft = container.get("memory"), container.get("memoryReservation")
    if hard is None and soft is None and task_memory is None:
        raise _setting(container, "At least one of 'memory' or 'memoryReservation' must be specified.")
    for member, value in (("memory", hard), ("memoryReservation", soft)):
        if value is not None and not MIN_CONTAINER_MEMORY <= value <= MAX_TASK_MEMORY:
            raise _setting(container, f"'{member}' must be at least {MIN_CONTAINER_MEMORY} MiB.")
    if hard is not None and soft is not None and hard < soft:
        raise _setting(container, "'memory' must be greater than or equal to 'memoryReservation'.")
    if hard is not None and task_memory is not None and hard > int(task_memory):
        raise client_error(f"The 'memory' setting for container '{name_of(container)}' is greater than for the task.")


def _check_restart_policy(container: Document) -> None:
    policy = container.get("restartPolicy")
    if not policy:
        return
    if policy.get("enabled") is None:
        raise _setting(container, "'restartPolicy' needs the member 'enabled'.")
    if len(policy.get("ignoredExitCodes") or ()) > MAX_IGNORED_EXIT_CODES:
        raise _setting(container, f"'ignoredExitCodes' may hold at most {MAX_IGNORED_EXIT_CODES} exit codes.")
    period = policy.get("restartAttemptPeriod")
    if period is not None and not MIN_RESTART_PERIOD <= period <= MAX_RESTART_PERIOD:
        raise _setting(
            container, f"'restartAttemptPeriod' must be from {MIN_RESTART_PERIOD} to {MAX_RESTART_PERIOD} seconds."
        )


def _check_timeouts(container: Document) -> None:
    for word in ("start", "stop"):
        seconds = container.get(f"{word}Timeout")
        if seconds is None:
            continue
        if seconds < MIN_TIMEOUT:
            raise client_error(
                f"Granular {word} timeout on container '{name_of(container)}' must be at least {MIN_TIMEOUT} seconds."
            )
        if seconds > MAX_TIMEOUT:
            raise _setting(container, f"'{word}Timeout' must be at most {MAX_TIMEOUT} seconds.")


def check_resource_requirements(containers: Iterable[Document]) -> None:
    """GPUs and Neuron devices, in a definition or in the overrides of a task."""
    neuron = 0
    gpus: list[str] = []
    for container in containers:
        needs = container.get("resourceRequirements") or ()
        kinds = [need.get("type") for need in needs]
        if len(set(kinds)) < len(kinds):
            raise _setting(container, "'resourceRequirements' may name each type once.")
        for need in needs:
            kind, value = need.get("type"), str(need.get("value") or "")
            if kind == "InferenceAccelerator":
                raise client_error("Unsupported field 'inferenceAccelerators'")
            if kind == "GPU" and value != "ALL" and not _is_count(value):
                raise _setting(container, "The value of a GPU resource requirement must be a whole number or 'ALL'.")
            if kind == "NeuronDevice" and value != "ALL":
                raise _setting(container, "The value of a NeuronDevice resource requirement must be 'ALL'.")
            neuron += kind == "NeuronDevice"
            gpus += [value] if kind == "GPU" else []
    if neuron > 1:
        raise client_error("Only one container of a task definition may require NeuronDevice resources.")
    if "ALL" in gpus and len(gpus) > 1:
        raise client_error("Where a container requires ALL GPUs, no other of its task definition may require any.")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4 and int(text) > 0


def _setting(container: Document, complaint: str) -> Exception:
    return client_error(f"Invalid setting for container '{name_of(container)}'. {complaint}")
