"""Rules about container health checks. Source: RegisterTaskDefinition, HealthCheck."""

from __future__ import annotations

from awsorch.core.definitions.document import Document, containers_of, name_of
from awsorch.core.errors import client_error

#: member: (least, most)
BOUNDS = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}


def check_health_checks(document: Document) -> None:
    """Command and bounds of every health check. Times in seconds."""
    for container in containers_of(document):
        check = container.get("healthCheck")
        if check is None:
            continue
        if len(check.get("command") or ()) < 2:
            raise client_error(
                f"Invalid health check of container '{name_of(container)}'. 'command' must be CMD or CMD-SHELL and "
                "the command to run."
            )
        for member, (least, most) in BOUNDS.items():
            value = check.get(member)
            if value is not None and not least <= value <= most:
                raise client_error(
                    f"Invalid health check of container '{name_of(container)}'. '{member}' must be from {least} to "
                    f"{most}."
                )
