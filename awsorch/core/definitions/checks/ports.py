"""Rules about port mappings in each network mode. Source: RegisterTaskDefinition, PortMapping."""

from __future__ import annotations

import re
from collections.abc import Iterator

from awsorch.core.definitions.document import Document, containers_of, name_of, network_mode_of
from awsorch.core.errors import client_error

MAX_PORT = 65_535
MAX_RANGES = 100
_RANGE = re.compile(r"(?P<first>[0-9]{1,5})-(?P<last>[0-9]{1,5})")
_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")


def check_ports(document: Document) -> None:
    """Every container's port mappings: bounds, mode, ranges, names, and that none is used twice."""
    mode = network_mode_of(document)
    for container in containers_of(document):
        mappings = container.get("portMappings") or ()
        if mappings and mode == "none":
            raise client_error("Port mappings are not supported when networkMode=none.")
        if sum("containerPortRange" in mapping for mapping in mappings) > MAX_RANGES:
            raise _bad_range(container, f"A container may have at most {MAX_RANGES} port ranges.")
        for mapping in mappings:
            if "containerPortRange" in mapping:
                _check_range(container, mapping, mode)
            else:
                _check_port(container, mapping, mode)
    _check_names(document)
    _check_uses(document, mode)


def range_of(text: str) -> tuple[int, int] | None:
    """First and last port of "8000-8010", or None where the text is no range of ports."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    first, last = int(found["first"]), int(found["last"])
    return (first, last) if 1 <= first <= last <= MAX_PORT else None


def _check_port(container: Document, mapping: Document, mode: str) -> None:
    port, host_port = mapping.get("containerPort"), mapping.get("hostPort")
    if port is None or not 1 <= port <= MAX_PORT:
        raise client_error(
            f"Invalid 'containerPort' setting for container '{name_of(container)}'. Use a port from 1 to {MAX_PORT}."
        )
    if host_port is not None and not 0 <= host_port <= MAX_PORT:
        raise client_error(
            f"Invalid 'hostPort' setting for container '{name_of(container)}'. Use a port from 0 to {MAX_PORT}."
        )
    if mode in ("awsvpc", "host") and host_port not in (None, port):
        raise client_error(f"When networkMode={mode}, the host ports and container ports in port mappings must match.")


def _check_range(container: Document, mapping: Document, mode: str) -> None:
    if "containerPort" in mapping or "hostPort" in mapping:
        raise _bad_range(container, "It excludes 'containerPort' and 'hostPort'.")
    if mode == "host":
        raise _bad_range(container, "It needs networkMode bridge or awsvpc.")
    if range_of(mapping["containerPortRange"]) is None:
        raise _bad_range(container, f"Use two ports from 1 to {MAX_PORT}, such as '8000-8010'.")


def _check_names(document: Document) -> None:
    names = set()
    for container in containers_of(document):
        for mapping in container.get("portMappings") or ():
            name = mapping.get("name")
            if name is None:
                continue
            if _NAME.fullmatch(name) is None:
                raise client_error(
                    f"Invalid port mapping name '{name}'. Use at most 64 lower-case letters, digits, underscores and "
                    "hyphens; it can't start with a hyphen."
                )
            if name in names:
                raise client_error("port mapping name is already used")
            names.add(name)


def _check_uses(document: Document, mode: str) -> None:
    """Containers that share a network share its container ports; the host's ports are shared in every mode."""
    in_task: list[tuple[str, int, int]] = []
    on_host: set[tuple[str, int]] = set()
    for container in containers_of(document):
        in_container: list[tuple[str, int, int]] = []
        for protocol, first, last, host_port in _uses(container):
            shared = in_task if mode in ("awsvpc", "host") else in_container
            clash = _overlaps(shared, protocol, first, last, single_too=shared is in_task)
            if clash:
                raise client_error("container port is used multiple times in task")
            shared.append((protocol, first, last))
            if mode == "bridge" and host_port:
                if (protocol, host_port) in on_host:
                    raise client_error("host port is used multiple times in task")
                on_host.add((protocol, host_port))


def _uses(container: Document) -> Iterator[tuple[str, int, int, int]]:
    for mapping in container.get("portMappings") or ():
        protocol = mapping.get("protocol") or "tcp"
        ports = range_of(mapping.get("containerPortRange", ""))
        if ports is None:
            yield protocol, mapping["containerPort"], mapping["containerPort"], mapping.get("hostPort") or 0
        else:
            yield protocol, *ports, 0


def _overlaps(held: list[tuple[str, int, int]], protocol: str, first: int, last: int, *, single_too: bool) -> bool:
    """Whether a held range meets this one. Two single ports may be equal unless ``single_too``: on the bridge
    one container port can be published on several host ports."""
    return any(
        protocol == other and first <= end and start <= last and (single_too or first < last or start < end)
        for other, start, end in held
    )


def _bad_range(container: Document, complaint: str) -> Exception:
    return client_error(f"Invalid 'containerPortRange' setting for container '{name_of(container)}'. {complaint}")
