"""Rules about environment, environment files, secrets and registry credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable

from awsorch.core.definitions.document import Document, containers_of, name_of
from awsorch.core.errors import client_error

MAX_ENVIRONMENT_FILES = 10
_ENVIRONMENT_FILE = re.compile(r"arn:[a-z-]+:s3:::[A-Za-z0-9._-]+/.*\.env", re.DOTALL)
_SECRET_ARN = re.compile(r"arn:[a-z-]+:(?:ssm|secretsmanager):[a-z0-9-]+:[0-9]{12}:.+", re.DOTALL)
_PARAMETER_NAME = re.compile(r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")


def check_secrets(document: Document) -> None:
    """What each container gets from outside, and that there is a role to fetch it with."""
    has_role = bool(document.get("executionRoleArn"))
    for container in containers_of(document):
        check_environment(container)
        check_environment_files(container)
        secrets = container.get("secrets") or ()
        _check_values(container, secrets)
        if secrets and not has_role:
            raise client_error(
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
            )
        credentials = container.get("repositoryCredentials")
        if credentials and not credentials.get("credentialsParameter"):
            raise client_error(
                f"'repositoryCredentials' of container '{name_of(container)}' need a 'credentialsParameter'."
            )
        if credentials and not has_role:
            raise client_error(
                "When you are specifying repository credentials, you must also specify a value for 'executionRoleArn'."
            )


def check_environment(container: Document, extra: Iterable[Document] = ()) -> None:
    """Variable names, and that no secret has the name of one. ``extra`` is the environment of an override."""
    names = {entry.get("name") or "" for entry in (*(container.get("environment") or ()), *extra)}
    if "" in names:
        raise client_error(f"An environment variable of container '{name_of(container)}' has no name.")
    for secret in container.get("secrets") or ():
        if secret.get("name") in names:
            raise client_error(
                "The secret name must be unique and not shared with any new or existing environment variables set on "
                f"the container, such as '{secret['name']}'."
            )


def check_environment_files(container: Document) -> None:
    """Environment files of a container or of its override."""
    files = container.get("environmentFiles") or ()
    if len(files) > MAX_ENVIRONMENT_FILES:
        raise client_error(
            f"Container '{name_of(container)}' may have at most {MAX_ENVIRONMENT_FILES} environment files."
        )
    for file in files:
        if _ENVIRONMENT_FILE.fullmatch(file.get("value") or "") is None:
            raise client_error("Invalid arn syntax")


def _check_values(container: Document, secrets: Iterable[Document]) -> None:
    seen = set()
    for secret in secrets:
        name, source = secret.get("name") or "", secret.get("valueFrom") or ""
        if not name:
            raise client_error(f"A secret of container '{name_of(container)}' has no name.")
        if name in seen:
            raise client_error(f"The secret '{name}' of container '{name_of(container)}' is given twice.")
        seen.add(name)
        check_secret_source(name, source)


def check_secret_source(name: str, source: str) -> None:
    """Where a secret comes from: a Secrets Manager or SSM ARN, or the name of an SSM parameter."""
    pattern = _SECRET_ARN if source.startswith("arn:") else _PARAMETER_NAME
    if pattern.fullmatch(source) is None:
        raise client_error(
            f"Invalid 'valueFrom' setting for secret '{name}'. Use the ARN of a Secrets Manager secret or an SSM "
            "parameter, or the name of an SSM parameter in the same region."
        )
