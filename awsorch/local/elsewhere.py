"""LocalStack, or what is like it, beside moto: which services the local cloud leaves to it, and how calls get there.

What describes the environment stays in moto (015): the fleet, the stacks, the load balancers and the roles of tasks all
hang on the same objects. Data and messages go to whoever has them.
Source: LocalStack documentation, "Internal endpoints" (/_localstack/health), "Credentials" (an access key id of twelve
digits is the account).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict

from awsorch.local.options import CannotStart

AT_HOME = frozenset(
    {
        "application-autoscaling",
        "autoscaling",
        "autoscaling-plans",
        "cloudformation",
        "ec2",
        "ecr",
        "ecs",
        "elasticfilesystem",
        "elasticloadbalancing",
        "iam",
        "monitoring",
        "pricing",
        "rds",
        "servicediscovery",
        "sts",
    }
)
"""Signing names of services that are never left to anybody: instances, groups, load balancers, roles, and the alarms
that groups and services follow."""
_NEVER = frozenset({"cloudformation", "ec2", "ecs"})
"""Signing names of services that the local cloud can't do without."""
_SIGNING_NAMES = {
    "apigatewayv2": "apigateway",
    "cloudwatch": "monitoring",
    "dynamodbstreams": "dynamodb",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tagging",
    "s3control": "s3",
    "sesv2": "ses",
    "stepfunctions": "states",
}
"""Where LocalStack's name of a service is not the one that signatures have."""
_HEALTH = ("/_localstack/health", "/_localemu/health")
_HAS = frozenset({"available", "running", "starting"})
_SECONDS = 10.0
_CREDENTIAL = re.compile(r"(Credential=)[^/,\s]+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What listens at `url` has `services`, by their signing names. It keeps accounts apart by access key ids."""

    url: str
    services: frozenset[str]
    account_id: str

    def has(self, service: str | None) -> bool:
        """Whether calls of a service go there; S3's are what nothing else names."""
        return (service or "s3") in self.services

    def headers(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        """A request's headers as it is to see them, so that all calls are of one account: ours."""
        signed = headers.get("Authorization", "")
        if _CREDENTIAL.search(signed):
            headers["Authorization"] = _CREDENTIAL.sub(rf"\g<1>{self.account_id}/", signed, count=1)
        return headers


def left_to(names: Iterable[str], more: Collection[str] = ()) -> frozenset[str]:
    """The signing names of the services that are left to what has these, by LocalStack's names; `more` are left to it
    although they belong here."""
    has = frozenset(_SIGNING_NAMES.get(name, name) for name in names)
    wanted = frozenset(_SIGNING_NAMES.get(name, name) for name in more)
    missing = sorted((wanted - has) | (wanted & _NEVER))
    if missing:
        raise CannotStart(f"{missing[0]} can't be left to it: it should be one of {', '.join(sorted(has - _NEVER))}")
    return (has - AT_HOME) | wanted


async def look_at(url: str, more: Collection[str] = ()) -> frozenset[str]:
    """The services that are left to what listens at a URL, with `more`. Raises CannotStart."""
    try:
        told = [each for path in _HEALTH if (each := await _health(f"{url.rstrip('/')}{path}"))]
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CannotStart(f"nothing answers at {url} ({error}): start LocalStack there, or leave --aws out") from error
    services = told[0].get("services") if told else None
    if not isinstance(services, Mapping):
        raise CannotStart(f"{url} does not tell services at {_HEALTH[0]}, as LocalStack does: is it the URL of one?")
    found = left_to((name for name, state in services.items() if state in _HAS), more)
    if not found:
        raise CannotStart(f"{url} has no service that the local cloud could leave to it")
    return found


async def _health(address: str) -> Mapping[str, Any] | None:
    """What a health page tells; None where there is none."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
        try:
            told = await answer.json(content_type=None) if answer.ok else None
        except ValueError:
            return None
    return told if isinstance(told, dict) else None
