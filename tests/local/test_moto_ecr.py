"""Tokens for registries of the local cloud's ECR."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta

from tests.support.moto_process import client, moto_process


def test_tokens_are_good_for_twelve_hours() -> None:
    with moto_process() as url:
        answer = client(url, "ecr").get_authorization_token(registryIds=["123456789012", "210987654321"])
    first, second = answer["authorizationData"]
    assert first["proxyEndpoint"] == "https://123456789012.dkr.ecr.us-east-1.amazonaws.com"
    for each in (first, second):
        assert b64decode(each["authorizationToken"]).startswith(b"AWS:")
        left = each["expiresAt"] - datetime.now(UTC)
        assert timedelta(hours=11) < left <= timedelta(hours=12)
