"""`awsorch cfn`: templates of Amazon ECS for CloudFormation in an AWS account, with their ECS resources in awsorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from awsorch.cli.cfn_deploy import deploy_command, package_command
from awsorch.cli.cfn_options import TEMPLATE_FILE, transforming, warn
from awsorch.cli.cfn_proxy import proxy_command
from awsorch.cli.faults import Fault

if TYPE_CHECKING:
    from awsorch.cfn.transform import TransformSettings


@click.group()
def cfn() -> None:
    """CloudFormation templates: Amazon ECS's resources made into awsorch's."""


@cfn.command("transform")
@click.argument("template", type=TEMPLATE_FILE)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; stdout otherwise.")
@transforming
def transform_command(template: Path, output: Path | None, settings: TransformSettings) -> None:
    """Write TEMPLATE, YAML or JSON, as JSON with awsorch's custom resources for its ECS resources.

    Logical ids, references, outputs and exports stay as they are. Warnings go to stderr.
    """
    from awsorch.cfn.fragments import TransformError
    from awsorch.cfn.transform import INLINE_BYTES, transform, written
    from awsorch.cli.cfn_nested import read

    try:
        done = transform(read(template.read_text(encoding="utf-8")), settings)
        text = written(done.template)
    except (TransformError, UnicodeDecodeError) as error:
        raise Fault(f"{template}: {error}") from error
    warn(done.warnings)
    size = len(text.encode())
    if size > INLINE_BYTES:
        said = f"{size} bytes; more than {INLINE_BYTES} must be deployed from S3 (--s3-bucket)."
        warn([f"the template has {said}"])
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


for command in (deploy_command, package_command, proxy_command):
    cfn.add_command(command)
