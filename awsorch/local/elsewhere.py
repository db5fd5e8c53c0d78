"""LocalStack, or what is like it, beside moto: which services the local cloud leaves to it, and how calls get there.

What describes the environment stays in moto (015): the fleet, the stacks, the load balancers and the roles of tasks all
hang on the same objects. Data and messages go to whoever has them.
Source: LocalStack documentation, "Internal endpoints" (/_localstack/health), "Credentials" (an access key id of twelve
digits is the account).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
_HEALTH = "/_localstack/health"
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


def left_to(names: Iterable[str]) -> frozenset[str]:
    """The signing names of the services that are left to what has these, by LocalStack's names."""
    return frozenset(_SIGNING_NAMES.get(name, name) for name in names) - AT_HOME


async def look_at(url: str) -> frozenset[str]:
    """The services that are left to what listens at a URL. Raises CannotStart."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    address = f"{url.rstrip('/')}{_HEALTH}"
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
            told = await answer.json(content_type=None) if answer.ok else None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CannotStart(
            f"nothing answers at {address} ({error}): start LocalStack there, or leave --aws out"
        ) from error
    except ValueError:
        told = None
    services = told.get("services") if isinstance(told, Mapping) else None
    if not isinstance(services, Mapping):
        raise CannotStart(f"{address} does not tell services as LocalStack does: is {url} the URL of one?")
    found = left_to(name for name, state in services.items() if state in _HAS)
    if not found:
        raise CannotStart(f"{url} has no service that the local cloud could leave to it")
    return found
