"""Rules about the task as a whole: family, placement constraints, namespaces, storage, proxy."""

from __future__ import annotations

from awsorch.core.definitions.checks.names import MAX_NAME, is_name
from awsorch.core.definitions.document import Document, containers_of, is_windows, name_of, network_mode_of
from awsorch.core.definitions.sizes import MAX_EPHEMERAL, MIN_EPHEMERAL
from awsorch.core.errors import client_error
from awsorch.core.placement.expression import compile_expression

MAX_PLACEMENT_CONSTRAINTS = 10
MAX_EXPRESSION = 2000
_PROXY_NEEDS = ("AppPorts", "ProxyIngressPort", "ProxyEgressPort")


def check_task(document: Document) -> None:
    """Family, placement constraints, pidMode and ipcMode, ephemeral storage, proxy configuration."""
    _check_family(str(document.get("family") or ""))
    _check_placement_constraints(document)
    _check_namespaces(document)
    check_ephemeral_storage(document)
    _check_proxy(document)
    if document.get("inferenceAccelerators"):
        raise client_error("Unsupported field 'inferenceAccelerators'")


def check_ephemeral_storage(document: Document) -> None:
    """Size of ephemeralStorage in GiB, in a definition or in the overrides of a task."""
    storage = document.get("ephemeralStorage")
    if storage and not MIN_EPHEMERAL <= (storage.get("sizeInGiB") or 0) <= MAX_EPHEMERAL:
        raise client_error(f"Ephemeral storage size must be from {MIN_EPHEMERAL} to {MAX_EPHEMERAL} GiB.")


def _check_family(family: str) -> None:
    if not family:
        raise client_error("Family should not be null or empty.")
    if not is_name(family):
        raise client_error("Family contains invalid characters.")
    if len(family) > MAX_NAME:
        raise client_error(f"Family must be at most {MAX_NAME} characters long.")


def _check_placement_constraints(document: Document) -> None:
    constraints = document.get("placementConstraints") or ()
    if len(constraints) > MAX_PLACEMENT_CONSTRAINTS:
        raise client_error(f"A task definition may have at most {MAX_PLACEMENT_CONSTRAINTS} placement constraints.")
    for constraint in constraints:
        if constraint.get("type") != "memberOf":
            raise client_error("Placement constraints of a task definition must be of type 'memberOf'.")
        expression = constraint.get("expression") or ""
        if not expression:
            raise client_error("A placement constraint of type 'memberOf' needs an expression.")
        if len(expression) > MAX_EXPRESSION:
            raise client_error(f"Placement constraint expressions must be at most {MAX_EXPRESSION} characters long.")
        compile_expression(expression)


def _check_namespaces(document: Document) -> None:
    for member in ("pidMode", "ipcMode"):
        if document.get(member) and is_windows(document):
            raise client_error(f"'{member}' is not supported for Windows containers.")


def _check_proxy(document: Document) -> None:
    proxy = document.get("proxyConfiguration")
    if not proxy:
        return
    if network_mode_of(document) != "awsvpc":
        raise client_error("APPMESH proxy configuration is only supported in networkMode=awsvpc")
    name = proxy.get("containerName")
    if name not in {name_of(container) for container in containers_of(document)}:
        raise client_error(f"Proxy container [{name}] does not exist")
    given = {item.get("name"): item.get("value") for item in proxy.get("properties") or ()}
    if not given.get("IgnoredUID") and not given.get("IgnoredGID"):
        raise client_error("APPMESH proxy configuration requires one of the properties: IgnoredUID, IgnoredGID")
    missing = [name for name in _PROXY_NEEDS if not given.get(name)]
    if missing:
        raise client_error(f"APPMESH proxy configuration requires properties: {', '.join(missing)}")
