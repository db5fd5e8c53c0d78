"""`awsorch cfn`: templates of Amazon ECS for CloudFormation in an AWS account, with their ECS resources in awsorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from awsorch.cli.faults import Fault

if TYPE_CHECKING:
    from awsorch.cfn.transform import Transformed, TransformSettings

_TIMEOUT = click.IntRange(1, 3600)


@click.group()
def cfn() -> None:
    """CloudFormation templates: Amazon ECS's resources made into awsorch's."""


@cfn.command("transform")
@click.argument("template", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; stdout otherwise.")
@click.option("--service-token", envvar="AWSORCH_SERVICE_TOKEN", required=True, help="ARN of the topic or function.")
@click.option("--service-timeout", type=_TIMEOUT, default=3600, show_default=True, help="Seconds for one resource.")
@click.option("--role", envvar="AWSORCH_ROLE", help="ARN of the control plane's role, which takes tasks' roles.")
@click.option("--strict", is_flag=True, help="Fail where something else calls Amazon ECS, instead of warning.")
@click.option("--suffix", default="", help="Behind the logical ids, for a stack that has ECS resources of Amazon's.")
def transform_command(
    template: Path,
    output: Path | None,
    service_token: str,
    service_timeout: int,
    role: str | None,
    strict: bool,
    suffix: str,
) -> None:
    """Write TEMPLATE, YAML or JSON, as JSON with awsorch's custom resources for its ECS resources.

    Logical ids, references, outputs and exports stay as they are. Warnings go to stderr.
    """
    from awsorch.cfn.fragments import TransformError
    from awsorch.cfn.transform import INLINE_BYTES, TransformSettings, written

    settings = TransformSettings(
        service_token=service_token, service_timeout=service_timeout, role=role, strict=strict, suffix=suffix
    )
    try:
        done = _transformed(template, settings)
        text = written(done.template)
    except TransformError as error:
        raise Fault(f"{template}: {error}") from error
    for warning in done.warnings:
        click.echo(f"Warning: {warning}", err=True)
    size = len(text.encode())
    if size > INLINE_BYTES:
        said = f"{size} bytes; more than {INLINE_BYTES} must be deployed from S3 (--s3-bucket)."
        click.echo(f"Warning: the template has {said}", err=True)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")


@cfn.command("macro-zip")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default="awsorch-macro.zip", show_default=True
)
def macro_zip_command(output: Path) -> None:
    """Write the zip file of the Lambda function behind `Transform: Awsorch` (cloudformation/macro.yaml).

    The same version of awsorch writes the same bytes.
    """
    from awsorch.cli.cfn_package import HANDLER, macro_zip

    content = macro_zip()
    output.write_bytes(content)
    click.echo(f"{output}: {len(content)} bytes; its handler is {HANDLER}")


def _transformed(path: Path, settings: TransformSettings) -> Transformed:
    """Raises TransformError, also for what is no template."""
    from awsorch.cfn.fragments import TransformError
    from awsorch.cfn.transform import transform
    from awsorch.local.stacks.documents import read_template
    from awsorch.local.stacks.errors import TemplateError

    try:
        return transform(read_template(path.read_text(encoding="utf-8")), settings)
    except (TemplateError, UnicodeDecodeError) as error:
        raise TransformError(str(error)) from error
