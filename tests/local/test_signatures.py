from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from awsorch.local.signatures import ServiceVerifier
from awsorch.wire.errors import WireError

KEYS = {"AKIDLOCAL": "a-secret"}


@dataclass(frozen=True)
class Sent:
    """A request as a client put it on the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Caught(Exception):
    """A request was about to be sent."""


def sent_by(service: str, call: Callable[[Any], Any], secret: str = "a-secret", key: str = "AKIDLOCAL") -> Sent:
    """What boto3 sends for a call."""
    client = boto3.client(
        service,
        endpoint_url="http://127.0.0.1:4566",
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    caught: list[Sent] = []

    def catch(request: Any, **_: object) -> None:
        body = request.body.read() if hasattr(request.body, "read") else request.body or b""
        headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
        headers.setdefault("Host", "127.0.0.1:4566")
        url = urlsplit(request.url)
        body = body.encode() if isinstance(body, str) else body
        caught.append(Sent(request.method, url.path, url.query, headers, body))
        raise Caught

    client.meta.events.register("before-send", catch)
    with pytest.raises(Caught):
        call(client)
    return caught[0]


def presigned(client_method: str, **parameters: str) -> Sent:
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:4566",
        region_name="eu-west-1",
        aws_access_key_id="AKIDLOCAL",
        aws_secret_access_key="a-secret",
        config=Config(signature_version="s3v4"),
    )
    url = urlsplit(client.generate_presigned_url(client_method, Params=parameters, ExpiresIn=60))
    return Sent("GET", url.path, url.query, {"Host": "127.0.0.1:4566"}, b"")


def verify(sent: Sent, after: timedelta = timedelta(0)) -> str:
    verifier = ServiceVerifier(KEYS, clock=lambda: datetime.now(UTC) + after)
    return verifier.verify(sent.method, sent.path, sent.query, sent.headers, sent.body)


def refusal(sent: Sent, after: timedelta = timedelta(0)) -> str:
    with pytest.raises(WireError) as refused:
        verify(sent, after)
    return refused.value.code


def put(client: Any) -> Any:
    return client.put_object(Bucket="bucket", Key="a b/ü//../+~c", Body=b"content")


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("sqs", lambda client: client.send_message(QueueUrl="http://127.0.0.1:4566/1/q", MessageBody="x")),
        ("ec2", lambda client: client.stop_instances(InstanceIds=["i-1"])),
        ("sts", lambda client: client.get_caller_identity()),
        ("s3", put),
        ("s3", lambda client: client.list_objects_v2(Bucket="bucket", Prefix="a b/&=+", MaxKeys=3)),
    ],
)
def test_what_boto3_signs_is_accepted(service: str, call: Callable[[Any], Any]) -> None:
    assert verify(sent_by(service, call)) == "AKIDLOCAL"


def test_a_presigned_url_is_accepted_until_it_expires() -> None:
    sent = presigned("get_object", Bucket="bucket", Key="a b/c+d")
    assert verify(sent) == "AKIDLOCAL"
    assert refusal(sent, timedelta(seconds=90)) == "AccessDenied"
    assert refusal(replace(sent, query=sent.query.replace("Expires=60", "Expires=6000"))) == "SignatureDoesNotMatch"


def test_what_is_not_what_was_signed_is_refused() -> None:
    sent = sent_by("s3", put)
    assert refusal(replace(sent, path="/bucket/other")) == "SignatureDoesNotMatch"
    assert refusal(replace(sent, method="DELETE")) == "SignatureDoesNotMatch"
    assert refusal(replace(sent, body=b"another")) == "XAmzContentSHA256Mismatch"
    assert refusal(replace(sent, headers=sent.headers | {"Host": "elsewhere"})) == "SignatureDoesNotMatch"
    assert refusal(sent, timedelta(hours=1)) == "RequestTimeTooSkewed"
    assert refusal(sent, -timedelta(hours=1)) == "RequestTimeTooSkewed"
    unsigned = {name: value for name, value in sent.headers.items() if name != "Authorization"}
    assert refusal(replace(sent, headers=unsigned)) == "MissingAuthenticationTokenException"


def test_wrong_keys_are_refused() -> None:
    assert refusal(sent_by("s3", put, secret="guess")) == "SignatureDoesNotMatch"
    assert refusal(sent_by("s3", put, key="AKIDOTHER")) == "InvalidAccessKeyId"
    assert refusal(sent_by("sts", lambda client: client.get_caller_identity(), secret="guess")) == (
        "InvalidSignatureException"
    )


def test_headers_that_must_be_signed_cannot_be_left_out() -> None:
    sent = sent_by("s3", put)
    authorization = sent.headers["Authorization"].replace("x-amz-content-sha256;", "")
    assert refusal(replace(sent, headers=sent.headers | {"Authorization": authorization})) == "SignatureDoesNotMatch"


def test_a_date_that_is_none_is_refused() -> None:
    sent = sent_by("s3", put)
    assert refusal(replace(sent, headers=sent.headers | {"X-Amz-Date": "yesterday"})) in {
        "AccessDenied",
        "MissingAuthenticationTokenException",
        "IncompleteSignatureException",
    }
