"""The secrets of a task: values that its definition names, fetched with its execution role. They are never stored.

Source: ECS developer guide, "Pass sensitive data to an Amazon ECS container"; the official agent's texts.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.agent.services import SECRETS_MANAGER, SSM, ServiceError, Services
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials

PARAMETERS_AT_ONCE = 10
"""As many as GetParameters takes."""
AT_ONCE = 8
_ARN_PARTS = 7
"""Parts of a secret's ARN; a JSON key, a version stage and a version id may follow."""


class SecretError(Exception):
    """A value could not be had; the text is the task's reason, without any value in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretName:
    """What a `valueFrom` of Secrets Manager names. Empty: the whole secret, its current version."""

    secret: str
    json_key: str = ""
    stage: str = ""
    version: str = ""


def read_name(value_from: str) -> SecretName:
    """`ARN[:json-key[:version-stage[:version-id]]]`. Raises SecretError."""
    parts = value_from.split(":")
    further = parts[_ARN_PARTS:]
    if len(further) not in (0, 3) and not (0 < len(further) < 3):
        raise SecretError(f"unexpected ARN format with parameters when trying to retrieve ASM secret: {value_from}")
    key, stage, version = (*further, "", "", "")[:3]
    return SecretName(secret=":".join(parts[:_ARN_PARTS]), json_key=key, stage=stage, version=version)


async def fetch(
    secrets: Iterable[acs.Secret], services: Services, credentials: Credentials
) -> dict[tuple[str, str, str], str]:
    """The values by provider, region and `value_from`. Raises SecretError for the first that can't be had."""
    wanted = {(each.provider, each.region, each.value_from) for each in secrets}
    parameters: dict[str, set[str]] = defaultdict(set)
    values: dict[str, set[str]] = defaultdict(set)
    for provider, region, name in wanted:
        (values if provider == "asm" else parameters)[region].add(name)
    gate = asyncio.Semaphore(AT_ONCE)
    found: dict[tuple[str, str, str], str] = {}
    async with asyncio.TaskGroup() as group:
        for region, names in parameters.items():
            for some in _portions(sorted(names)):
                group.create_task(_fetch_parameters(some, region, services, credentials, gate, found))
        for region, names in values.items():
            for secret, sources in _by_secret(names).items():
                group.create_task(_fetch_secret(secret, sources, region, services, credentials, gate, found))
    return found


def _portions(names: list[str]) -> list[list[str]]:
    return [names[at : at + PARAMETERS_AT_ONCE] for at in range(0, len(names), PARAMETERS_AT_ONCE)]


def _by_secret(sources: Iterable[str]) -> dict[tuple[str, str, str], list[str]]:
    """The sources by what one call answers: a version of a secret."""
    grouped: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for source in sorted(sources):
        name = read_name(source)
        grouped[name.secret, name.stage, name.version].append(source)
    return grouped


async def _fetch_parameters(
    sources: list[str],
    region: str,
    services: Services,
    credentials: Credentials,
    gate: asyncio.Semaphore,
    found: dict[tuple[str, str, str], str],
) -> None:
    names = {source: parameter_name(source) for source in sources}
    request = {"Names": sorted(set(names.values())), "WithDecryption": True}
    place = f"Fetching secret data from SSM Parameter Store in {region}"
    try:
        async with gate:
            answer = await services.call(SSM, "GetParameters", request, region=region, credentials=credentials)
    except ServiceError as error:
        raise SecretError(f"{place}: {error}") from error
    values = {each["Name"]: each["Value"] for each in answer.get("Parameters", ())}
    missing = sorted(name for name in names.values() if name not in values)
    if missing:
        raise SecretError(f"{place}: invalid parameters: {', '.join(missing)}")
    found.update({("ssm", region, source): values[name] for source, name in names.items()})


async def _fetch_secret(
    wanted: tuple[str, str, str],
    sources: list[str],
    region: str,
    services: Services,
    credentials: Credentials,
    gate: asyncio.Semaphore,
    found: dict[tuple[str, str, str], str],
) -> None:
    secret, stage, version = wanted
    request = {"SecretId": secret}
    if stage:
        request["VersionStage"] = stage
    if version:
        request["VersionId"] = version
    place = f"Fetching secret data from AWS Secrets Manager in region {region}: secret {secret}"
    try:
        async with gate:
            answer = await services.call(
                SECRETS_MANAGER, "GetSecretValue", request, region=region, credentials=credentials
            )
    except ServiceError as error:
        raise SecretError(f"{place}: {error}") from error
    whole = answer.get("SecretString")
    if not isinstance(whole, str):
        raise SecretError(f"{place}: it has no SecretString; a binary secret can't be an environment variable")
    for source in sources:
        key = read_name(source).json_key
        found["asm", region, source] = _member(whole, key, place) if key else whole


def _member(whole: str, key: str, place: str) -> str:
    try:
        value: Any = json.loads(whole)
    except ValueError:
        value = None
    if not isinstance(value, Mapping):
        raise SecretError(f"{place}: it is no JSON object, so it has no key {key}")
    if key not in value:
        raise SecretError(f"retrieved secret from Secrets Manager did not contain json key {key}")
    member = value[key]
    return member if isinstance(member, str) else json.dumps(member, separators=(",", ":"))


def parameter_name(source: str) -> str:
    """The name in a parameter's ARN, or the name as given. A path begins with a slash, which its ARN leaves out."""
    if not source.startswith("arn:"):
        return source
    name = source.split(":", 5)[5].removeprefix("parameter/")
    return f"/{name}" if "/" in name else name
