"""The log configuration that a container is created with: its definition's, with what only the agent knows.

Pure. Source: ECS developer guide, "Using the awslogs driver"; agent protocol, log drivers.
"""

from collections.abc import Mapping
from typing import Any

from awsorch.agent.environment import CREDENTIALS_PATH, Placement
from awsorch.wire import acs

DEFAULT_BUFFER_SIZE = "10m"
SHIPPED = {"Type": "json-file", "Config": {"max-size": "64m", "max-file": "2"}}
"""How the engine keeps lines that the agent follows."""


def complete(
    log: Mapping[str, Any],
    task: acs.Task,
    container: acs.Container,
    place: Placement,
    secrets: Mapping[str, str],
) -> Mapping[str, Any]:
    """Docker's LogConfig, from that of the definition; `secrets` are options, too."""
    options = {**(log.get("Config") or {}), **secrets}
    if options.get("mode") == "non-blocking":
        options.setdefault("max-buffer-size", DEFAULT_BUFFER_SIZE)
    if log.get("Type") == "awslogs":
        if place.ships_logs:
            return SHIPPED
        options = {**_access(task, container, place), **options}
    return {**log, "Config": options}


def _access(task: acs.Task, container: acs.Container, place: Placement) -> dict[str, str]:
    """Where CloudWatch Logs listens, and in whose name the engine calls: its own, or the execution role's."""
    options = {"awslogs-endpoint": place.logs_endpoint} if place.logs_endpoint else {}
    role = task.execution_role_credentials
    if place.logs_by_execution_role and role is not None and container.logs_auth_strategy == "ExecutionRole":
        options["awslogs-credentials-endpoint"] = CREDENTIALS_PATH + role.credentials_id
    return options
