"""`awsorch install` and `awsorch uninstall`: awsorch in an AWS account, by the stacks of cloudformation/."""

from __future__ import annotations

import hashlib
import re
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from awsorch.cli.aws_account import Account, account_options, parse_parameters
from awsorch.cli.cfn_package import macro_zip
from awsorch.cli.faults import Fault
from awsorch.cli.stack_deploy import CAPABILITIES, Stacks, Template, Wanted, show_changes
from awsorch.cli.stack_files import Uploads, default_bucket

STACK = "awsorch"
MACRO_ZIP = "awsorch-macro.zip"
PARTS = ("network.yaml", "controller.yaml", "macro.yaml", "fleet.yaml")
_WHEEL = re.compile(r"awsorch-[0-9][0-9A-Za-z.!+_]*-py3-none-any\.whl")

_name = click.option("--stack-name", default=STACK, show_default=True, metavar="NAME")
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_bucket = click.option("--s3-bucket", metavar="NAME", help="[default: awsorch-<account>-<region>, made if need be]")


@click.command("install")
@_name
@_bucket
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    callback=parse_parameters,
    help="A parameter of awsorch.yaml: Controllers=3. May be repeated; others stay as they are.",
)
@click.option(
    "--wheel",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Install this wheel of awsorch, and offer it to agents. [default: what the parameter Package says]",
)
@_yes
@account_options
def install(
    account: Account,
    stack_name: str,
    s3_bucket: str | None,
    parameters: dict[str, str],
    wheel: Path | None,
    yes: bool,
) -> None:
    """Install awsorch in an AWS account, or upgrade it there.

    Puts the templates into a bucket, shows what would change, asks, deploys and waits. An upgrade replaces controllers
    one by one; instances and tasks stay as they are.
    """
    uploads = Uploads(account, s3_bucket or default_bucket(account), STACK)
    stacks = Stacks(account.client("cloudformation"))
    click.echo(f"awsorch in {account}")
    if uploads.make_bucket():
        click.echo(f"made bucket {uploads.bucket}")
    given = {**uploaded(uploads), **(offered(uploads, wheel) if wheel is not None else {}), **parameters}
    wanted = Wanted(
        name=stack_name,
        template=Template(text=template("awsorch.yaml")),
        parameters=given,
        capabilities=CAPABILITIES,
    )
    show_outputs(brought_about(stacks, wanted, yes=yes))


def brought_about(stacks: Stacks, wanted: Wanted, *, yes: bool) -> dict[str, Any]:
    """Show what would change, ask, and see it through; answers the stack."""
    made = stacks.prepare(wanted, f"install-{secrets.token_hex(4)}")
    if made is None:
        click.echo("Nothing changes.")
        return stacks.find(wanted.name) or {}
    change_set, changes = made
    show_changes(changes)
    if not yes and not click.confirm("Go on?"):
        stacks.drop(change_set, wanted.name)
        raise Fault("nothing was changed")
    return stacks.execute(change_set, wanted.name)


@click.command("uninstall")
@_name
@_yes
@account_options
def uninstall(account: Account, stack_name: str, yes: bool) -> None:
    """Delete the stacks that `awsorch install` made, and wait until they are gone.

    The database leaves a snapshot, the controllers a log group; the bucket with the templates stays.
    """
    stacks = Stacks(account.client("cloudformation"))
    found = stacks.find(stack_name)
    if found is None:
        raise Fault(f"there is no stack {stack_name} in {account}")
    parameters = {each["ParameterKey"]: each.get("ParameterValue") for each in found.get("Parameters", [])}
    if parameters.get("DatabaseDeletionProtection") == "true":
        raise Fault(
            "the database is protected: run `awsorch install --parameter DatabaseDeletionProtection=false` first"
        )
    question = f"Delete {stack_name} in {account}? Its clusters, instances and all their tasks end."
    if not yes and not click.confirm(question):
        raise Fault("nothing was deleted")
    stacks.delete(stack_name)
    click.echo(f"{stack_name} is gone.")


def template(name: str) -> str:
    """One of the templates of cloudformation/."""
    return files("awsorch").joinpath("install", "cloudformation", name).read_text(encoding="utf-8")


def uploaded(uploads: Uploads) -> dict[str, str]:
    """Put the templates and the macro's code into the bucket; the parameters that say where they are."""
    folder, _ = uploads.put_all({name: template(name).encode() for name in PARTS})
    code, _ = uploads.put_all({MACRO_ZIP: macro_zip()})
    return {
        "Templates": uploads.url(folder.rstrip("/")),
        "CodeBucket": uploads.bucket,
        "CodeKey": f"{code}{MACRO_ZIP}",
    }


def offered(uploads: Uploads, wheel: Path) -> dict[str, str]:
    """Put a wheel into the bucket; the parameters with which controllers and instances install it."""
    if not _WHEEL.fullmatch(wheel.name):
        raise Fault(f"{wheel.name} is no wheel of awsorch such as awsorch-1.2.0-py3-none-any.whl")
    content = wheel.read_bytes()
    folder, _ = uploads.put_all({wheel.name: content})
    location = f"s3://{uploads.bucket}/{folder}{wheel.name}"
    return {"Package": location, "AgentPackage": f"{location}#sha256={hashlib.sha256(content).hexdigest()}"}


def show_outputs(stack: dict[str, Any]) -> None:
    """What a stack says of itself, and what to do with it."""
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    for name, value in sorted(outputs.items()):
        click.echo(f"{name:15} {value}")
    if "Endpoint" in outputs:
        click.echo(f"\nFrom within the VPC:\n  export AWS_ENDPOINT_URL_ECS={outputs['Endpoint']}")
        click.echo(f"  aws secretsmanager get-secret-value --secret-id {outputs['AdminKey']}  # its access key")
