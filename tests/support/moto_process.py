"""moto as the local cloud runs it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from awsorch.local.moto_child import listen


@contextmanager
def moto_process() -> Iterator[str]:
    """The URL of a moto that forgets everything in the end. Loading its services takes it seconds."""
    with listen("127.0.0.1", 0) as listener:
        command = [sys.executable, "-m", "awsorch.local.moto_child", "--fd", str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=(listener.fileno(),), stdout=subprocess.DEVNULL) as child:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            child.terminate()
            assert child.wait(10) == 0


def client(url: str, service: str) -> Any:
    """A boto3 client of a moto that does not try again."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
