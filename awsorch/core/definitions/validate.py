"""The order in which a task definition is checked: the document as a whole, then each noun in it."""

from __future__ import annotations

import json

from awsorch.core.definitions.checks.containers import check_containers
from awsorch.core.definitions.checks.dependencies import check_dependencies
from awsorch.core.definitions.checks.health import check_health_checks
from awsorch.core.definitions.checks.linux import check_linux_parameters
from awsorch.core.definitions.checks.logs import check_logs
from awsorch.core.definitions.checks.network import check_network
from awsorch.core.definitions.checks.ports import check_ports
from awsorch.core.definitions.checks.secrets import check_secrets
from awsorch.core.definitions.checks.task import check_task
from awsorch.core.definitions.checks.volumes import check_volumes
from awsorch.core.definitions.document import Document
from awsorch.core.errors import client_error

#: Bytes of JSON that a whole definition may take.
MAX_BYTES = 65_536


def validate(document: Document) -> None:
    """Checks a document that has its defaults. Raises ClientException with the first broken rule.

    What depends on the launch type is in ``compatibilities``.
    """
    check_task(document)
    check_containers(document)
    check_network(document)
    check_ports(document)
    check_volumes(document)
    check_dependencies(document)
    check_health_checks(document)
    check_secrets(document)
    check_logs(document)
    check_linux_parameters(document)
    _check_size(document)


def _check_size(document: Document) -> None:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    length = len(text.encode("utf-8", "surrogatepass"))
    if length > MAX_BYTES:
        raise client_error(f"Actual length: '{length}'. Max allowed length is '{MAX_BYTES}' bytes.")
