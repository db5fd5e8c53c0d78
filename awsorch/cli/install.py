"""`awsorch install` and `awsorch uninstall`: awsorch in an AWS account, by the stacks of cloudformation/."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from awsorch.cli.cfn_deploy import tell_event
from awsorch.cli.cfn_options import Account, pairs, with_account
from awsorch.cli.cfn_package import macro_zip
from awsorch.cli.cfn_stack import StackDeployment, values_of
from awsorch.cli.faults import Fault
from awsorch.cli.printing import BAD, BUSY, GOOD
from awsorch.cli.stack_files import Uploads
from awsorch.local.stacks.documents import read_template

STACK = "awsorch"
MACRO_ZIP = "awsorch-macro.zip"
PARTS = ("network.yaml", "controller.yaml", "macro.yaml", "fleet.yaml")
_WHEEL = re.compile(r"awsorch-[0-9][0-9A-Za-z.!+_]*-py3-none-any\.whl")

_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")

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
    help="A parameter of awsorch.yaml: Controllers=3. May be repeated; others stay as they are.",
)
@click.option(
    "--wheel",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Install this wheel of awsorch, and offer it to agents. [default: what the parameter Package says]",
)
@_yes
@with_account
def install(
    account: Account,
    stack_name: str,
    s3_bucket: str | None,
    parameters: tuple[str, ...],
    wheel: Path | None,
    yes: bool,
) -> None:
    """Install awsorch in an AWS account, or upgrade it there.

    Puts the templates into a bucket, shows what would change, asks, deploys and waits. An upgrade replaces controllers
    one by one; instances and tasks stay as they are.
    """
    given = pairs(parameters, "--parameter")
    place, number, region = place_of(account)
    click.echo(f"awsorch in {place}")
    uploads = Uploads(account, s3_bucket or f"awsorch-{number}-{region}", STACK)
    if uploads.make_bucket():
        click.echo(f"made bucket {uploads.bucket}")
    given = {**uploaded(uploads), **(offered(uploads, wheel) if wheel is not None else {}), **given}
    show_outputs(brought_about(StackDeployment(account.client("cloudformation"), stack_name), given, yes=yes))


def brought_about(deployment: StackDeployment, given: Mapping[str, str], *, yes: bool) -> Mapping[str, Any]:
    """Show what would change, ask, and see it through; answers the stack."""
    body = template("awsorch.yaml")
    found = deployment.find()
    change_set = deployment.prepare(
        {
            "TemplateBody": body,
            "Capabilities": _CAPABILITIES,
            "ChangeSetType": "CREATE" if found is None else "UPDATE",
            "Parameters": parameters_of(body, given, values_of(found).keys()),
        }
    )
    if change_set is None:
        click.echo("Nothing changes.")
        return found or {}
    show_changes(change_set["Changes"])
    if not yes and not click.confirm("Go on?"):
        deployment.drop(change_set)
        raise Fault("nothing was changed")
    return deployment.execute(change_set, tell_event, disable_rollback=False)


@click.command("uninstall")
@_name
@_yes
@with_account
def uninstall(account: Account, stack_name: str, yes: bool) -> None:
    """Delete the stacks that `awsorch install` made, and wait until they are gone.

    The database leaves a snapshot, the controllers a log group; the bucket with the templates stays.
    """
    deployment = StackDeployment(account.client("cloudformation"), stack_name)
    place, _, _ = place_of(account)
    found = deployment.find()
    if found is None:
        raise Fault(f"there is no stack {stack_name} in {place}")
    if values_of(found).get("DatabaseDeletionProtection") == "true":
        raise Fault(
            "the database is protected: run `awsorch install --parameter DatabaseDeletionProtection=false` first"
        )
    question = f"Delete {stack_name} in {place}? Its clusters, instances and all their tasks end."
    if not yes and not click.confirm(question):
        raise Fault("nothing was deleted")
    deployment.delete(found, tell_event)
    click.echo(f"{stack_name} is gone.")


def place_of(account: Account) -> tuple[str, str, str]:
    """Account and region in words, and each by itself."""
    pseudo = account.pseudo()
    number, region = pseudo["AWS::AccountId"], pseudo["AWS::Region"]
    return f"account {number}, {region}", number, region


def parameters_of(body: str, given: Mapping[str, str], before: Collection[str]) -> list[dict[str, Any]]:
    """What CreateChangeSet is told: what is not given keeps its value. Raises Fault for what the template has not."""
    names = set(read_template(body)["Parameters"])
    unknown = sorted(given.keys() - names)
    if unknown:
        raise Fault(f"the template has no parameter {', '.join(unknown)}; it has {', '.join(sorted(names))}")
    values: list[dict[str, Any]] = [{"ParameterKey": name, "ParameterValue": text} for name, text in given.items()]
    kept = sorted((names & set(before)) - given.keys())
    return values + [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]


def show_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """What a change set would do, a line a resource."""
    for change in changes:
        resource = change["ResourceChange"]
        replaces = resource.get("Replacement") in ("True", "Conditional")
        action = "Replace" if resource["Action"] == "Modify" and replaces else resource["Action"]
        colour = BAD if action in ("Remove", "Replace") else BUSY if action == "Modify" else GOOD
        shown = click.style(action.ljust(8), fg=colour.removeprefix("bold "))
        click.echo(f"  {shown} {resource['LogicalResourceId']}  {resource['ResourceType']}")


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


def show_outputs(stack: Mapping[str, Any]) -> None:
    """What a stack says of itself, and what to do with it."""
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    for name, value in sorted(outputs.items()):
        click.echo(f"{name:15} {value}")
    if "Endpoint" in outputs:
        click.echo(f"\nFrom within the VPC:\n  export AWS_ENDPOINT_URL_ECS={outputs['Endpoint']}")
        click.echo(f"  aws secretsmanager get-secret-value --secret-id {outputs['AdminKey']}  # its access key")
