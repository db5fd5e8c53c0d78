"""What the commands of `awsorch cfn` share: the options of the transform, and the connection to an AWS account.

Unlike the commands of the ECS API these are meant for an account, so they find it as the AWS CLI does: by profile,
region and AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from awsorch.cli.faults import Fault
from awsorch.cli.session import DEFAULT_REGION

if TYPE_CHECKING:
    from awsorch.cfn.transform import TransformSettings

TEMPLATE_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TIMEOUT = click.IntRange(1, 3600)
_TRANSFORM = (
    click.option(
        "--service-token", envvar="AWSORCH_SERVICE_TOKEN", required=True, help="ARN of the topic or function."
    ),
    click.option("--service-timeout", type=_TIMEOUT, default=3600, show_default=True, help="Seconds for one resource."),
    click.option("--role", envvar="AWSORCH_ROLE", help="ARN of the control plane's role, which takes tasks' roles."),
    click.option("--strict", is_flag=True, help="Fail where something else calls Amazon ECS, instead of warning."),
    click.option(
        "--suffix", default="", help="Behind the logical ids, for a stack that has ECS resources of Amazon's."
    ),
)
_ACCOUNT = (
    click.option("--region", metavar="NAME", help="The region. [default: as for the AWS CLI]"),
    click.option("--profile", metavar="NAME", help="The profile of the AWS CLI's configuration."),
    click.option("--endpoint", metavar="URL", help="Of AWS, where it is not AWS itself. [default: $AWS_ENDPOINT_URL]"),
)
Bucket = tuple[str | None, str]
"""An S3 bucket's name, where there is one, and a folder in it."""
_BUCKET = (
    click.option("--s3-bucket", metavar="NAME", help="Where templates go that must come from S3."),
    click.option("--s3-prefix", default="", metavar="FOLDER", help="The folder in it."),
)


class Account:
    """An AWS account as the commands call it."""

    def __init__(self, region: str | None, profile: str | None, endpoint: str | None) -> None:
        import boto3
        import botocore.session
        from botocore.exceptions import ProfileNotFound

        self.core = botocore.session.Session(profile=profile)
        try:
            self.core.get_scoped_config()
        except ProfileNotFound as error:
            raise Fault(str(error)) from None
        self.endpoint = endpoint
        here = region or self.core.get_config_variable("region")
        if endpoint or os.environ.get("AWS_ENDPOINT_URL"):
            # Where AWS is played any region and credentials will do, but some there must be.
            here = here or DEFAULT_REGION
            self.core.get_component("credential_provider").remove("iam-role")
            if self.core.get_credentials() is None:
                self.core.set_credentials("test", "test")
        if here is None:
            raise Fault("no region is configured: name one with --region")
        self.boto = boto3.Session(region_name=here, botocore_session=self.core)

    def client(self, service: str, region: str | None = None, **config: Any) -> Any:
        """boto3's client, which asks again when CloudFormation says that it is asked too often."""
        from botocore.config import Config

        return self.boto.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            config=Config(retries={"mode": "standard", "total_max_attempts": 8}, **config),
        )

    def upstream(self, service: str, region: str) -> Any:
        """A client of AWS itself, or of $AWS_ENDPOINT_URL, where the service's own variable names a proxy."""
        from botocore.config import Config

        elsewhere = self.endpoint or os.environ.get("AWS_ENDPOINT_URL")
        config = Config(ignore_configured_endpoint_urls=True)
        return self.boto.client(service, region_name=region, endpoint_url=elsewhere, config=config)

    def pseudo(self, region: str | None = None) -> Mapping[str, str]:
        """The pseudo parameters that an account and a region give."""
        here = region or self.boto.region_name
        caller = self.client("sts", here).get_caller_identity()
        partition = caller["Arn"].split(":")[1]
        return {
            "AWS::AccountId": caller["Account"],
            "AWS::Partition": partition,
            "AWS::Region": here,
            "AWS::URLSuffix": "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com",
        }


def transforming(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the transform, as `settings`."""

    @functools.wraps(command)
    def wrapped(
        *, service_token: str, service_timeout: int, role: str | None, strict: bool, suffix: str, **more: Any
    ) -> None:
        from awsorch.cfn.transform import TransformSettings

        settings = TransformSettings(
            service_token=service_token, service_timeout=service_timeout, role=role, strict=strict, suffix=suffix
        )
        command(settings=settings, **more)

    return _with(_TRANSFORM, wrapped)


def with_account(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an account, as `account`."""

    @functools.wraps(command)
    def wrapped(*, region: str | None, profile: str | None, endpoint: str | None, **more: Any) -> None:
        command(account=Account(region, profile, endpoint), **more)

    return _with(_ACCOUNT, wrapped)


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an account, as `account`, and of a bucket, as `bucket` (name or None, folder)."""

    @functools.wraps(command)
    def wrapped(*, s3_bucket: str | None, s3_prefix: str, **more: Any) -> None:
        command(bucket=(s3_bucket, s3_prefix), **more)

    return _with(_BUCKET, with_account(wrapped))


def packaged(
    account: Account,
    template: Path,
    settings: TransformSettings,
    bucket: Bucket,
    given: Mapping[str, str | None],
) -> str:
    """A file's template for awsorch, with the templates that it nests in S3; warnings go to stderr. Raises Fault."""
    from awsorch.cfn.fragments import TransformError
    from awsorch.cli.cfn_nested import Origin, Packager
    from awsorch.cli.cfn_store import TemplateStore

    packager = Packager(settings, TemplateStore(account.client("s3"), *bucket), account.pseudo)
    origin = Origin(name=str(template), file=template.resolve())
    try:
        done = packager.package(template.read_text(encoding="utf-8"), origin, lambda: given)
    except (TransformError, UnicodeDecodeError) as error:
        raise Fault(f"{template}: {error}") from error
    warn(done.warnings)
    return done.text


def warn(warnings: Sequence[str]) -> None:
    """Tell them to whoever typed the command."""
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """`Key=Value` as a dictionary. Raises UsageError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{option} takes Key=Value, not {text!r}")
        found[key] = value
    return found


class Lists(click.Command):
    """A command whose repeatable options take several values in a row, as the AWS CLI's do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        lists = {name for each in self.params if isinstance(each, click.Option) and each.multiple for name in each.opts}
        written: list[str] = []
        current = ""
        for word in args:
            if word.startswith("-"):
                current, is_first = (word if word in lists else ""), True
            elif current and not is_first:
                written.append(current)
            else:
                is_first = False
            written.append(word)
        return super().parse_args(ctx, written)


def _with(options: Sequence[Callable[[Any], Any]], command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command
