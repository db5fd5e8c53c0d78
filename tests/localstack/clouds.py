"""A local cloud beside, or behind, a LocalStack."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.e2e.conftest import logs_of, run_awsorch


def client(url: str, service: str, *, attempts: int = 3, key: str = "test") -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": attempts}),
    )


@contextlib.contextmanager
def cloud(data: Path, *options: str) -> Iterator[str]:
    """The endpoint of a local cloud with these options."""
    started = run_awsorch("up", "--detach", "--json", "--port", "0", "--data", str(data), *options)
    assert started.returncode == 0, started.stderr + logs_of(data)
    try:
        yield json.loads(started.stdout)["endpoint"]
    finally:
        assert run_awsorch("down", "--remove", "--data", str(data)).returncode == 0
