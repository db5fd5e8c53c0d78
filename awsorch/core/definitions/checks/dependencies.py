"""Rules about the order of containers: dependsOn, links and volumesFrom together may not run in a circle."""

from __future__ import annotations

from awsorch.core.definitions.checks.network import linked_names
from awsorch.core.definitions.document import Document, containers_of, name_of
from awsorch.core.errors import client_error


def check_dependencies(document: Document) -> None:
    """dependsOn against the containers it names, then the graph of all that makes one container wait for another."""
    by_name = {name_of(container): container for container in containers_of(document)}
    for container in by_name.values():
        for dependency in container.get("dependsOn") or ():
            _check_dependency(dependency, by_name)
    _check_cycles({name: _waits_for(container) for name, container in by_name.items()})


def _check_dependency(dependency: Document, by_name: dict[str, Document]) -> None:
    name, condition = dependency.get("containerName"), dependency.get("condition")
    other = by_name.get(str(name))
    if other is None:
        # The plus sign is ECS's own.
        raise client_error(f"Cannot depend on container + '{name}' because it does not exist")
    if condition in ("COMPLETE", "SUCCESS") and other.get("essential"):
        raise client_error("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
    if condition == "HEALTHY" and not other.get("healthCheck"):
        raise client_error("A dependency container with HEALTHY condition must have health check configured")


def _waits_for(container: Document) -> list[str]:
    return [
        *(item["containerName"] for item in container.get("dependsOn") or ()),
        *linked_names(container),
        *(item["sourceContainer"] for item in container.get("volumesFrom") or ()),
    ]


def _check_cycles(graph: dict[str, list[str]]) -> None:
    done: set[str] = set()
    for start in graph:
        _visit(start, graph, [], done)


def _visit(name: str, graph: dict[str, list[str]], path: list[str], done: set[str]) -> None:
    """Depth first; ten containers at most, so recursion is shallow."""
    if name in path:
        circle = " -> ".join([*path[path.index(name) :], name])
        raise client_error(f"Container dependencies cannot be circular: {circle}")
    if name in done:
        return
    for other in graph[name]:
        _visit(other, graph, [*path, name], done)
    done.add(name)
