"""An AWS account, for the commands that install awsorch there and deploy templates: unlike all others they go to AWS
itself, where no endpoint is named."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from awsorch.cli.faults import Fault
from awsorch.cli.session import DEFAULT_REGION


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Clients of one account and region. ``number`` is the account's; ``endpoint`` None means AWS itself."""

    boto: Any
    endpoint: str | None
    region: str
    number: str

    def client(self, service: str) -> Any:
        """A boto3 client of a service."""
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "total_max_attempts": 5})
        return self.boto.client(service, endpoint_url=self.endpoint, region_name=self.region, config=config)

    def __str__(self) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"account {self.number}, {self.region}{where}"


def open_account(endpoint: str | None, region: str | None, profile: str | None) -> Account:
    """The account whose keys the usual chain has; what plays AWS takes any. Raises Fault, botocore's errors."""
    import boto3

    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL")
    boto = boto3.Session(profile_name=profile, region_name=region)
    if endpoint and (boto.region_name is None or boto.get_credentials() is None):
        keys = {} if boto.get_credentials() else {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        boto = boto3.Session(profile_name=profile, region_name=boto.region_name or DEFAULT_REGION, **keys)
    if boto.region_name is None:
        raise Fault("no region is configured: name one with --region")
    if boto.get_credentials() is None:
        raise Fault("no credentials are configured: name a profile with --profile, or set AWS_ACCESS_KEY_ID")
    sts = boto.client("sts", endpoint_url=endpoint, region_name=boto.region_name)
    number = sts.get_caller_identity()["Account"]
    return Account(boto=boto, endpoint=endpoint, region=boto.region_name, number=number)


def account_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name an account; it gets `account` in their place."""

    @click.option(
        "--endpoint",
        metavar="URL",
        help="Where AWS is played, such as the local cloud. [default: $AWS_ENDPOINT_URL, else AWS]",
    )
    @click.option("--region", metavar="NAME", help="AWS region. [default: as configured for AWS]")
    @click.option("--profile", metavar="NAME", help="Profile of the AWS configuration.")
    @functools.wraps(command)
    def run(*, endpoint: str | None, region: str | None, profile: str | None, **arguments: Any) -> None:
        command(account=open_account(endpoint, region, profile), **arguments)

    return run


def parse_parameters(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``Key=Value`` options as a dictionary; a value may have anything in it. Raises BadParameter."""
    parameters: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.isalnum():
            raise click.BadParameter(f"{value!r} is no parameter such as Controllers=3", param=option)
        parameters[name] = text
    return parameters
