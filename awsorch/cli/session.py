"""The connection of a command to the API: a boto3 client, made the way any client of ECS is made.

Every command that talks to the API takes the same options: where it listens, which region and which cluster. Without
them the usual AWS environment variables and files count, and then the local cloud that runs on this machine. It never
falls back to AWS itself: a command typed without an endpoint must not touch an account by accident.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from awsorch.cli.faults import Fault
from awsorch.cli.printing import Printer

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"
DEFAULT_REGION = "us-east-1"
DESCRIBE_LIMIT = 100
"""How many tasks or instances one Describe call takes (ECS API reference)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client of one API endpoint, and the cluster that the command is about."""

    ecs: Any
    boto: Any
    endpoint: str
    region: str
    cluster: str

    def list_all(self, operation: str, member: str, **arguments: Any) -> Iterator[str]:
        """Every item of a List operation, page by page."""
        for page in self.ecs.get_paginator(operation).paginate(**arguments):
            yield from page[member]

    def describe_tasks(self, arns: Sequence[str]) -> list[dict[str, Any]]:
        """The tasks that exist among these, in the order asked for, however many they are."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(arns), DESCRIBE_LIMIT):
            some = list(arns[start : start + DESCRIBE_LIMIT])
            answer = self.ecs.describe_tasks(cluster=self.cluster, tasks=some, include=["TAGS"])
            found |= {task["taskArn"]: task for task in answer["tasks"]}
        return list(found.values())

    def describe_instances(self, arns: Sequence[str]) -> list[dict[str, Any]]:
        """The container instances that exist among these, however many they are."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(arns), DESCRIBE_LIMIT):
            some = list(arns[start : start + DESCRIBE_LIMIT])
            answer = self.ecs.describe_container_instances(cluster=self.cluster, containerInstances=some)
            found += answer["containerInstances"]
        return found


def open_session(endpoint: str | None, region: str | None, cluster: str) -> Session:
    """Connect; the first request goes out when a command makes one."""
    import boto3
    import botocore.session
    from botocore.config import Config

    chosen = endpoint or configured_endpoint() or running_endpoint() or DEFAULT_ENDPOINT
    host = urlsplit(chosen).hostname
    if urlsplit(chosen).scheme not in ("http", "https") or not host:
        raise Fault(f"{chosen!r} is not an endpoint; one looks like {DEFAULT_ENDPOINT}")
    core = botocore.session.get_session()
    if host == "localhost" or host.startswith("127."):
        # Looking for an instance role costs seconds off AWS, and this machine's own door needs none.
        core.get_component("credential_provider").remove("iam-role")
    boto = boto3.Session(botocore_session=core, region_name=region)
    if boto.get_credentials() is None:
        # A door without access keys takes any signature, but boto3 wants to sign with something.
        boto = boto3.Session(region_name=region, aws_access_key_id="test", aws_secret_access_key="test")
    chosen_region = boto.region_name or DEFAULT_REGION
    config = Config(connect_timeout=3, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3})
    client = boto.client("ecs", endpoint_url=chosen, region_name=chosen_region, config=config)
    return Session(ecs=client, boto=boto, endpoint=chosen, region=chosen_region, cluster=cluster)


def configured_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_ECS") or os.environ.get("AWS_ENDPOINT_URL")


def running_endpoint() -> str | None:
    """Where the local cloud of this user listens, as `awsorch up` noted it in its data folder; None when none runs."""
    note = data_folder() / "run" / "ready.json"
    try:
        endpoint = json.loads(note.read_text())["endpoint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(endpoint)


def data_folder() -> Path:
    """The data folder of `awsorch up` when none is given: $AWSORCH_DATA, else .awsorch in the home folder."""
    return Path(os.environ.get("AWSORCH_DATA") or Path.home() / ".awsorch")


def api_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every command on the API; it gets `session` and `printer` in their place."""

    @click.option("--cluster", default="default", show_default=True, metavar="NAME", help="Cluster, by name or ARN.")
    @click.option("--json", "as_json", is_flag=True, help="Print the API's own answer as JSON.")
    @click.option(
        "--endpoint", metavar="URL", help="Where the API listens. [default: $AWS_ENDPOINT_URL, else the local cloud]"
    )
    @click.option("--region", metavar="NAME", help="AWS region. [default: as configured for AWS, else us-east-1]")
    @functools.wraps(command)
    def run(*, cluster: str, as_json: bool, endpoint: str | None, region: str | None, **arguments: Any) -> None:
        session = open_session(endpoint, region, cluster)
        command(session=session, printer=Printer(as_json=as_json), **arguments)

    return run
