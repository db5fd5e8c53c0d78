"""Which launch types a definition can run on, and whether these are the ones that were asked for.

Source: ECS API reference, TaskDefinition ``compatibilities`` and ``requiresCompatibilities``.
"""

from __future__ import annotations

from collections.abc import Iterator

from awsorch.core.definitions.document import Document, is_windows, network_mode_of, volumes_of
from awsorch.core.definitions.fargate import fargate_violations
from awsorch.core.errors import client_error

#: Of ephemeralStorage, in a definition or in the overrides of a task: on instances tasks share the disk that is there.
ONLY_ON_FARGATE = "Ephemeral storage is only supported on Fargate."


def compatibilities_of(document: Document) -> list[str]:
    """The launch types that take this definition.

    Raises ClientException with the first violation of a type in requiresCompatibilities, or of EC2 where none is
    required and no type would take it.
    """
    violations = {kind: next(broken(document), None) for kind, broken in _LAUNCH_TYPES.items()}
    for kind in document.get("requiresCompatibilities") or ():
        if (violation := violations[kind]) is not None:
            raise client_error(violation)
    compatible = [kind for kind, violation in violations.items() if violation is None]
    if not compatible:
        raise client_error(str(violations["EC2"]))
    return compatible


def _ec2_violations(document: Document) -> Iterator[str]:
    if document.get("ephemeralStorage"):
        yield ONLY_ON_FARGATE


def _external_violations(document: Document) -> Iterator[str]:
    if network_mode_of(document) == "awsvpc":
        yield "The EXTERNAL launch type does not support network mode 'awsvpc'."
    if any(volume.get("configuredAtLaunch") for volume in volumes_of(document)):
        yield "The EXTERNAL launch type does not support volumes that are configured at launch."
    if document.get("enableFaultInjection"):
        yield "The EXTERNAL launch type does not support fault injection."
    yield from _ec2_violations(document)


def _managed_violations(document: Document) -> Iterator[str]:
    if network_mode_of(document) not in ("awsvpc", "host"):
        yield "Managed Instances only support the network modes 'awsvpc' and 'host'."
    if is_windows(document):
        yield "Managed Instances do not support Windows containers."
    yield from _ec2_violations(document)


_LAUNCH_TYPES = {
    "EXTERNAL": _external_violations,
    "EC2": _ec2_violations,
    "MANAGED_INSTANCES": _managed_violations,
    "FARGATE": fargate_violations,
}
