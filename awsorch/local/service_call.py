"""What one HTTP request to the door asks for: which AWS service, which operation, in which protocol.

AWS clients all talk to one endpoint here, so the request itself has to tell. A signed one does so in its
credential scope; the rest is read from the target header, the path and the start of the body. Nothing here
reads a socket, checks a signature or knows what becomes of the call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs

from awsorch.wire.sigv4 import credential_scope

ECS_TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113."
_CBOR_PATH = re.compile(r"^/service/([^/?]+)/operation/([^/?]+)")
_OWN_PATHS = ("/awsorch/", "/acs/", "/tcs/")
_XML_SERVICES = frozenset({"s3", "s3control", "s3-outposts", "cloudfront", "route53"})
_FORM = "application/x-www-form-urlencoded"
_ACTION_BYTES = 4096
"""Clients write Action= first; a form is searched no further than this."""


class Protocol(Enum):
    """The AWS protocols that an error has to be written in."""

    JSON = "json"
    REST_JSON = "rest-json"
    REST_XML = "rest-xml"
    QUERY = "query"
    EC2 = "ec2"
    CBOR = "rpc-v2-cbor"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCall:
    """One call: the signing name of the service (None when nothing tells), the operation or what stands
    for it.
    """

    service: str | None
    operation: str
    protocol: Protocol


def signing_service(path: str, headers: Mapping[str, str], query: str) -> str | None:
    """The service that a request is for, as its signature names it; ecs also by target and path when
    unsigned.
    """
    scope = credential_scope(headers, query)
    if scope is not None:
        return scope.service.lower()
    if headers.get("X-Amz-Target", "").startswith(ECS_TARGET_PREFIX):
        return "ecs"
    named = _CBOR_PATH.match(path)
    if named is not None and named.group(1).startswith("AmazonEC2ContainerService"):
        return "ecs"
    return None


def is_scrape(path: str, headers: Mapping[str, str]) -> bool:
    """Whether it is Prometheus that asks; whoever signs means a bucket of that name."""
    return path == "/metrics" and not headers.get("Authorization", "").startswith("AWS")


def is_own_path(path: str) -> bool:
    """Whether a path is awsorch's own, whoever signed the request: its health, and the agents' websockets."""
    return path.startswith(_OWN_PATHS) or path in {own.rstrip("/") for own in _OWN_PATHS}


def read_call(method: str, path: str, headers: Mapping[str, str], query: str, body_start: bytes) -> ServiceCall:
    """Read what a request asks for from its head and the first bytes of its body. Never fails: it guesses
    last.
    """
    service = signing_service(path, headers, query)
    cbor = _CBOR_PATH.match(path)
    if cbor is not None or headers.get("Smithy-Protocol") == "rpc-v2-cbor":
        operation = cbor.group(2) if cbor is not None else path
        return ServiceCall(service=service, operation=operation, protocol=Protocol.CBOR)
    target = headers.get("X-Amz-Target")
    if target:
        return ServiceCall(service=service, operation=target.rpartition(".")[2], protocol=Protocol.JSON)
    action = _action(headers, query, body_start)
    if action is not None:
        protocol = Protocol.EC2 if service == "ec2" else Protocol.QUERY
        return ServiceCall(service=service, operation=action, protocol=protocol)
    protocol = Protocol.REST_XML if service is None or service in _XML_SERVICES else Protocol.REST_JSON
    return ServiceCall(service=service, operation=f"{method} {path}", protocol=protocol)


def _action(headers: Mapping[str, str], query: str, body_start: bytes) -> str | None:
    form = query
    if headers.get("Content-Type", "").startswith(_FORM):
        form = body_start[:_ACTION_BYTES].decode("latin-1") + "&" + query
    return next(iter(parse_qs(form).get("Action", [])), None)
