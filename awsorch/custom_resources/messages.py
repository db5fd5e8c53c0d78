"""What a message of the queue asks, and whether it may: only requests of our own topic, for stacks of its account.

A request does not say who deploys, so whoever may publish to the topic may do what ECS's API may. What is checked here
keeps others out, and keeps answers from being sent to hosts that are not CloudFormation's.
Source: AWS CloudFormation user guide, "Custom resource request objects"; VPC guide on the buckets that answers go to
(`cloudformation-custom-resource-response-<region without hyphens>`); SNS developer guide, "Parsing message formats".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from awsorch.core.model_custom_resources import CustomRequest

_ACTIONS = {"Create": "CREATE", "Update": "UPDATE", "Delete": "DELETE"}
_STACK_ID = re.compile(r"arn:[a-z-]+:cloudformation:([a-z0-9-]+):(\d{12}):stack/([A-Za-z][A-Za-z0-9-]*)/\S+")
_TOPIC = re.compile(r"arn:[a-z-]+:sns:([a-z0-9-]+):(\d{12}):[A-Za-z0-9_-]+")
_BUCKET = "cloudformation-custom-resource-response-"
_S3 = re.compile(r"\.s3(?:[.-](?:dualstack\.)?[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")


class Refused(Exception):
    """A message is not one to act upon; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose requests are taken: those of the topic (its ARN). `hosts` get answers besides CloudFormation's own
    ("host" or "host:port", also by plain HTTP)."""

    topic: str
    hosts: frozenset[str] = frozenset()

    @property
    def region(self) -> str:
        """The topic's."""
        return self.topic.split(":")[3]

    @property
    def account(self) -> str:
        """The topic's."""
        return self.topic.split(":")[4]


def is_topic(arn: str) -> bool:
    """Whether this is the ARN of an SNS topic."""
    return _TOPIC.fullmatch(arn) is not None


def stack_name(stack_id: str) -> str:
    """The name in a stack's id."""
    return stack_id.split("/")[1]


def account_of(stack_id: str) -> str:
    """The account in a stack's id."""
    return stack_id.split(":")[4]


def read(body: str, sent_at: float, trust: Trust, now: float) -> CustomRequest:
    """The request that a message brings, in SNS's envelope or without it. Raises Refused."""
    outer = _object(body, "The message")
    event = outer
    if "RequestType" not in outer:
        event, sent_at = _unwrapped(outer, trust), _time(outer.get("Timestamp"), sent_at)
    stack_id, request_id, logical_id, url = (
        _text(event, name) for name in ("StackId", "RequestId", "LogicalResourceId", "ResponseURL")
    )
    if event.get("ServiceToken") != trust.topic:
        raise Refused(f"The ServiceToken should be {trust.topic}, not {event.get('ServiceToken')!r}.")
    found = _STACK_ID.fullmatch(stack_id)
    if found is None:
        raise Refused(f"StackId is not the ARN of a stack: {stack_id!r}.")
    if (found[1], found[2]) != (trust.region, trust.account):
        raise Refused(
            f"The stack {stack_id} is not of the topic's account and region, {trust.account} and {trust.region}."
        )
    _check_url(url, trust)
    action = _ACTIONS.get(str(event.get("RequestType")))
    if action is None:
        raise Refused(f"RequestType should be Create, Update or Delete, not {event.get('RequestType')!r}.")
    type, model = _resource(event, "ResourceProperties")
    former_type, previous = _resource(event, "OldResourceProperties") if action == "UPDATE" else (type, {})
    return CustomRequest(
        key=hashlib.sha256(f"{stack_id} {request_id}".encode()).hexdigest(),
        stack_id=stack_id,
        request_id=request_id,
        logical_id=logical_id,
        action=action,
        type=type,
        former_type=former_type,
        model=model,
        previous=previous,
        physical_id=_text(event, "PhysicalResourceId") if action != "CREATE" else "",
        response_url=url,
        sent_at=sent_at,
        since=now,
    )


def _unwrapped(envelope: Mapping[str, Any], trust: Trust) -> Mapping[str, Any]:
    if envelope.get("Type") != "Notification":
        raise Refused(f"The message is neither a request nor a Notification of SNS, but {envelope.get('Type')!r}.")
    if envelope.get("TopicArn") != trust.topic:
        raise Refused(f"The message comes from the topic {envelope.get('TopicArn')!r}, not from {trust.topic}.")
    return _object(envelope.get("Message"), "The notification's Message")


def _check_url(url: str, trust: Trust) -> None:
    """Raises Refused where an answer would go elsewhere than to CloudFormation."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    allowed = {host, f"{host}:{port}"} & trust.hosts
    if parts.username is None and parts.password is None and allowed and parts.scheme in ("http", "https"):
        return
    # Anybody may have a bucket whose name begins so: only the region's own is CloudFormation's.
    bucket = _BUCKET + trust.region.replace("-", "")
    is_own = host.startswith(bucket) and _S3.fullmatch(host.removeprefix(bucket)) is not None
    if not (is_own and parts.netloc.lower() in (host, f"{host}:443") and parts.scheme == "https"):
        raise Refused(
            f"The ResponseURL's host {host or '(none)'!r} is not CloudFormation's in {trust.region}: https://{bucket}.s3…"
        )


def _resource(event: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]]:
    """(AWS's type, its properties); what is missing is answered, not refused."""
    properties = event.get(name)
    if not isinstance(properties, Mapping):
        raise Refused(f"{name} should be an object.")
    type, model = properties.get("AwsorchType"), properties.get("Model") or {}
    return type if isinstance(type, str) else "", model if isinstance(model, Mapping) else {}


def _object(text: Any, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(f"{what} is no JSON object.")
    return found


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name} is missing.")
    return value


def _time(text: Any, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return otherwise
