"""What RunTask and StartTask may change of a definition, and how it is echoed.

Source: ECS API reference, TaskOverride and ContainerOverride; RunTask ``overrides``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from awsorch.core.definitions.checks.containers import check_resource_requirements, check_sizes
from awsorch.core.definitions.checks.secrets import check_environment, check_environment_files
from awsorch.core.definitions.checks.task import check_ephemeral_storage
from awsorch.core.definitions.defaults import role_arn
from awsorch.core.definitions.document import Document, containers_of, name_of
from awsorch.core.definitions.sizes import normalise_cpu, normalise_memory
from awsorch.core.errors import client_error, invalid_parameter

#: Characters of JSON that all overrides of a call may take together.
MAX_CHARACTERS = 8192
_TASK_MEMBERS = ("cpu", "memory", "taskRoleArn", "executionRoleArn", "ephemeralStorage")
_RESERVATIONS = ("cpu", "memory", "memoryReservation", "resourceRequirements")


def prepare_overrides(definition: Document, overrides: Document, *, region: str, account: str) -> dict[str, Any]:
    """The overrides as a task keeps and echoes them: every container of the definition by name, in its order.

    cpu and memory become text of plain integers and roles ARNs. An empty command overrides nothing, since ECS can't
    override a command to be empty. Raises InvalidParameterException (names, length) or ClientException (values).
    """
    _check_length(overrides)
    if overrides.get("inferenceAcceleratorOverrides"):
        raise client_error("Unsupported field 'inferenceAccelerators'")
    given = _by_name(definition, overrides)
    prepared: dict[str, Any] = {
        "containerOverrides": [_container(name_of(item), given) for item in containers_of(definition)],
        "inferenceAcceleratorOverrides": [],
    }
    prepared.update(_task_members(overrides, region=region, account=account))
    _check_values(definition, prepared)
    return prepared


def environment_of(container: Document, override: Document) -> dict[str, str]:
    """A container's variables, with those of its override over them, by name; the last of a name wins."""
    entries = (*(container.get("environment") or ()), *(override.get("environment") or ()))
    return {entry.get("name") or "": entry.get("value") or "" for entry in entries}


def _check_length(overrides: Document) -> None:
    if len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False)) > MAX_CHARACTERS:
        raise invalid_parameter(f"Container Overrides length must be at most {MAX_CHARACTERS}")


def _by_name(definition: Document, overrides: Document) -> dict[str, Document]:
    known = {name_of(container) for container in containers_of(definition)}
    given: dict[str, Document] = {}
    for override in overrides.get("containerOverrides") or ():
        name = name_of(override)
        if name not in known:
            raise invalid_parameter(f"Override for container named {name} is not a container in the TaskDefinition.")
        if name in given:
            raise invalid_parameter(f"Override for container named {name} is given more than once.")
        given[name] = override
    return given


def _container(name: str, given: Mapping[str, Document]) -> dict[str, Any]:
    override = {"name": name, **given.get(name, {})}
    if not override.get("command"):
        override.pop("command", None)
    return override


def _task_members(overrides: Document, *, region: str, account: str) -> dict[str, Any]:
    members = {name: overrides[name] for name in _TASK_MEMBERS if overrides.get(name)}
    if "cpu" in members:
        members["cpu"] = normalise_cpu(members["cpu"])
    if "memory" in members:
        members["memory"] = normalise_memory(members["memory"])
    for role in ("taskRoleArn", "executionRoleArn"):
        if role in members:
            members[role] = role_arn(members[role], region=region, account=account)
    return members


def _check_values(definition: Document, prepared: Document) -> None:
    """The containers as they will run must obey the rules of a definition."""
    containers = []
    for container, override in zip(containers_of(definition), prepared["containerOverrides"], strict=True):
        check_environment(container, override.get("environment") or ())
        check_environment_files(override)
        changed = {member: override[member] for member in _RESERVATIONS if member in override}
        containers.append({**container, **changed})
    check_resource_requirements(containers)
    check_ephemeral_storage(prepared)
    check_sizes(
        containers,
        cpu=prepared.get("cpu") or definition.get("cpu"),
        memory=prepared.get("memory") or definition.get("memory"),
    )
