"""Rules about log configuration and FireLens. Source: RegisterTaskDefinition, LogConfiguration."""

from __future__ import annotations

from awsorch.core.definitions.checks.secrets import check_secret_source
from awsorch.core.definitions.document import Document, containers_of, name_of
from awsorch.core.errors import client_error

_AWSLOGS_NEEDS = ("awslogs-group", "awslogs-region")
_MODES = ("blocking", "non-blocking")
_FIRELENS_FILES = ("s3", "file")


def check_logs(document: Document) -> None:
    """Every container's log driver options, then that FireLens has a router and something to route."""
    for container in containers_of(document):
        configuration = container.get("logConfiguration")
        if configuration:
            _check_options(container, configuration)
            _check_secret_options(document, configuration)
    _check_firelens(containers_of(document))


def _check_options(container: Document, configuration: Document) -> None:
    driver, options = configuration.get("logDriver"), configuration.get("options") or {}
    if not driver:
        raise client_error(f"The log configuration of container '{name_of(container)}' needs a 'logDriver'.")
    if driver == "awslogs" and not all(options.get(option) for option in _AWSLOGS_NEEDS):
        raise client_error(f"Log driver awslogs requires options: {', '.join(_AWSLOGS_NEEDS)}")
    if options.get("mode", _MODES[0]) not in _MODES:
        raise client_error(
            f"Log option 'mode' of container '{name_of(container)}' must be one of [{', '.join(_MODES)}]"
        )


def _check_secret_options(document: Document, configuration: Document) -> None:
    secrets = configuration.get("secretOptions") or ()
    for secret in secrets:
        check_secret_source(secret.get("name") or "", secret.get("valueFrom") or "")
    if secrets and not document.get("executionRoleArn"):
        raise client_error(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )


def _check_firelens(containers: list[Document]) -> None:
    routers = [container for container in containers if container.get("firelensConfiguration")]
    routed = [c for c in containers if (c.get("logConfiguration") or {}).get("logDriver") == "awsfirelens"]
    if len(routers) > 1:
        raise client_error("A task definition may have at most one container with a firelensConfiguration.")
    if routed and not routers:
        raise client_error("The awsfirelens log driver requires a container with a firelensConfiguration.")
    for container in routers:
        options = container["firelensConfiguration"].get("options") or {}
        kind = options.get("config-file-type")
        if kind is not None and kind not in _FIRELENS_FILES:
            raise client_error("FireLens option 'config-file-type' must be one of [s3, file]")
        if kind is not None and not options.get("config-file-value"):
            raise client_error("FireLens option 'config-file-type' requires the option 'config-file-value'")
