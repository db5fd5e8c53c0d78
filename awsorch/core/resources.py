"""What a task asks of an instance, from its task definition and overrides. Source: ECS developer guide, task size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from awsorch.core.definitions.document import is_windows, network_mode_of
from awsorch.core.model import Demand
from awsorch.core.model_access import EXTERNAL

Definition = Mapping[str, Any]

#: What an instance has whose agent runs commands in containers.
EXECUTE_COMMAND = "ecs.capability.execute-command"


def overrides_by_name(overrides: Definition) -> dict[str, Mapping[str, Any]]:
    """containerOverrides by container name."""
    return {item["name"]: item for item in overrides.get("containerOverrides", ())}


def effective_containers(definition: Definition, overrides: Definition) -> Iterator[Mapping[str, Any]]:
    """Container definitions with the overridden cpu, memory, memoryReservation and resourceRequirements."""
    by_name = overrides_by_name(overrides)
    for container in definition["containerDefinitions"]:
        own = by_name.get(container["name"])
        if own is None:
            yield container
        else:
            members = ("cpu", "memory", "memoryReservation", "resourceRequirements")
            yield {**container, **{m: own[m] for m in members if m in own}}


def demand_of(
    definition: Definition, overrides: Definition, launch_type: str | None = None, *, execute_command: bool = False
) -> Demand:
    """The Demand of one task. Task-level sizes win; else containers are summed, memoryReservation before memory.
    EXTERNAL ones ask for an external instance, with ``execute_command`` for one whose agent runs commands."""
    containers = list(effective_containers(definition, overrides))
    cpu = overrides.get("cpu") or definition.get("cpu")
    memory = overrides.get("memory") or definition.get("memory")
    tcp, udp = _static_ports(definition, containers)
    gpus = [container_gpus(c) for c in containers]
    return Demand(
        cpu=int(cpu) if cpu else sum(c.get("cpu", 0) for c in containers),
        memory=int(memory) if memory else sum(c.get("memoryReservation") or c.get("memory") or 0 for c in containers),
        tcp_ports=tcp,
        udp_ports=udp,
        gpus=0 if None in gpus else sum(count or 0 for count in gpus),
        all_gpus=None in gpus,
        interfaces=int(network_mode_of(definition) == "awsvpc"),
        attributes=(
            *((a["name"], a.get("value")) for a in definition.get("requiresAttributes", ())),
            *_platform(definition),
            *(((EXTERNAL, None),) if launch_type == "EXTERNAL" else ()),
            *(((EXECUTE_COMMAND, None),) if execute_command else ()),
        ),
    )


def _platform(definition: Definition) -> Iterator[tuple[str, str]]:
    """What ``runtimePlatform`` asks of an instance; one that it says nothing of may be anything."""
    platform = definition.get("runtimePlatform") or {}
    if platform.get("cpuArchitecture"):
        yield "ecs.cpu-architecture", str(platform["cpuArchitecture"]).lower()
    if platform.get("operatingSystemFamily"):
        yield "ecs.os-type", "windows" if is_windows(definition) else "linux"


def container_gpus(container: Mapping[str, Any]) -> int | None:
    """How many GPUs a container asks for (resourceRequirements of type GPU); None for all that the instance has."""
    values = [need["value"] for need in container.get("resourceRequirements", ()) if need["type"] == "GPU"]
    return None if "ALL" in values else sum(map(int, values))


def _static_ports(
    definition: Definition, containers: list[Mapping[str, Any]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if definition.get("networkMode", "bridge") not in ("bridge", "host", "default"):
        return (), ()
    held: dict[str, set[int]] = {"tcp": set(), "udp": set()}
    for container in containers:
        for mapping in container.get("portMappings", ()):
            port = mapping.get("hostPort") or 0
            if port:
                held[mapping.get("protocol", "tcp")].add(port)
    return tuple(sorted(held["tcp"])), tuple(sorted(held["udp"]))
