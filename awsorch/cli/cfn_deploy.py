"""`awsorch cfn deploy` and `awsorch cfn package`: as of `aws cloudformation`, with the transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from awsorch.cli.cfn_options import TEMPLATE_FILE, Account, Lists, connecting, packaged, pairs, transforming, warn
from awsorch.cli.cfn_stack import DeploymentFailed, StackDeployment, values_of
from awsorch.cli.faults import Fault

if TYPE_CHECKING:
    from awsorch.cfn.transform import TransformSettings
    from awsorch.cli.cfn_options import Bucket

_FILE = click.option("--template-file", type=TEMPLATE_FILE, required=True, help="The template, YAML or JSON.")


@click.command("package")
@_FILE
@click.option("--output-template-file", type=click.Path(dir_okay=False, path_type=Path), help="stdout otherwise.")
@transforming
@connecting
def package_command(
    template_file: Path,
    output_template_file: Path | None,
    settings: TransformSettings,
    account: Account,
    bucket: Bucket,
) -> None:
    """Write a template for awsorch whose nested stacks' templates are in S3, transformed as well.

    Nested templates may be files, by paths beside the template's, or objects of S3. Code of Lambda functions is
    uploaded by `aws cloudformation package`, whose output this command takes.
    """
    text = packaged(account, template_file, settings, bucket, {})
    if output_template_file is None:
        click.echo(text)
    else:
        output_template_file.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


@click.command("deploy", cls=Lists)
@_FILE
@click.option("--stack-name", required=True, help="The stack; made where there is none of this name.")
@click.option("--parameter-overrides", multiple=True, metavar="KEY=VALUE …", help="Others keep their values.")
@click.option("--capabilities", multiple=True, metavar="NAME …", help="What the template may do, as CAPABILITY_IAM.")
@click.option("--tags", multiple=True, metavar="KEY=VALUE …", help="Tags of the stack and its resources.")
@click.option("--role-arn", help="The role that CloudFormation assumes.")
@click.option("--notification-arns", multiple=True, metavar="ARN …", help="Topics that are told of the stack's events.")
@click.option(
    "--execute-changeset/--no-execute-changeset", "executes", default=True, help="Or only make the change set."
)
@click.option("--fail-on-empty-changeset/--no-fail-on-empty-changeset", "needs_changes", help="Where nothing changes.")
@click.option("--disable-rollback/--no-disable-rollback", help="Keep what was made when something fails.")
@transforming
@connecting
def deploy_command(
    template_file: Path,
    stack_name: str,
    parameter_overrides: Sequence[str],
    settings: TransformSettings,
    account: Account,
    bucket: Bucket,
    executes: bool,
    needs_changes: bool,
    disable_rollback: bool,
    **more: Any,
) -> None:
    """Deploy a template of Amazon ECS to awsorch, as `aws cloudformation deploy` deploys it to Amazon ECS.

    Templates of nested stacks are transformed and go to S3 first. Events are printed as they come. Exit codes: 0, also
    where nothing changes; 255 where the deployment failed, with the resource that failed first.
    """
    given = pairs(parameter_overrides, "--parameter-overrides")
    deployment = StackDeployment(account.client("cloudformation"), stack_name)
    stack = deployment.find()
    text = packaged(account, template_file, settings, bucket, values_of(stack) | given)
    request = _placed(text, account, bucket) | _request(more) | _of_stack(stack, text, given)
    change_set = deployment.prepare(request)
    if change_set is None:
        nothing = f"No changes to deploy. Stack {stack_name} is up to date"
        if needs_changes:
            raise DeploymentFailed(nothing)
        click.echo(nothing)
        return
    if not executes:
        click.echo(f"The change set is there: {change_set['ChangeSetId']}")
        return
    made = deployment.execute(change_set, tell_event, disable_rollback=disable_rollback)
    _show(made)


def _show(stack: Mapping[str, Any]) -> None:
    click.echo(f"{stack['StackName']} is in {stack['StackStatus']}")
    for output in stack.get("Outputs", ()):
        click.echo(f"  {output['OutputKey']} = {output['OutputValue']}")


def _placed(text: str, account: Account, bucket: Bucket) -> dict[str, Any]:
    """The template in the call, or in S3 where there is a bucket; larger ones need one."""
    from awsorch.cfn.fragments import TransformError
    from awsorch.cfn.transform import INLINE_BYTES
    from awsorch.cli.cfn_store import TemplateStore

    size = len(text.encode())
    if not bucket[0] and size <= INLINE_BYTES:
        return {"TemplateBody": text}
    if not bucket[0]:
        raise Fault(f"the template has {size} bytes; more than {INLINE_BYTES} must come from S3: give --s3-bucket.")
    try:
        return {"TemplateURL": TemplateStore(account.client("s3"), *bucket).write(text)}
    except TransformError as error:
        raise Fault(str(error)) from error


def _request(more: Mapping[str, Any]) -> dict[str, Any]:
    """What is given is said; what is not stays as it is on an update."""
    tags = pairs(more["tags"], "--tags")
    return {
        "Capabilities": list(more["capabilities"]),
        **({"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}),
        **({"RoleARN": more["role_arn"]} if more["role_arn"] else {}),
        **({"NotificationARNs": list(more["notification_arns"])} if more["notification_arns"] else {}),
    }


def _of_stack(stack: Mapping[str, Any] | None, text: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What depends on whether the stack is there: which type of change set, and which parameters keep their values."""
    from awsorch.local.stacks.documents import read_template

    declared = read_template(text).get("Parameters") or {}
    kept = [name for name in declared if name not in given and name in values_of(stack)]
    values = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items() if name in declared]
    unknown = [name for name in given if name not in declared]
    warn([f"the template has no parameter {name}." for name in unknown])
    return {
        "ChangeSetType": "UPDATE" if stack is not None else "CREATE",
        "Parameters": values + [{"ParameterKey": name, "UsePreviousValue": True} for name in kept],
    }


def tell_event(event: Mapping[str, Any]) -> None:
    """Print what has happened to a resource."""
    at = event["Timestamp"].astimezone().strftime("%H:%M:%S")
    reason = f"  {event['ResourceStatusReason']}" if event.get("ResourceStatusReason") else ""
    click.echo(f"{at}  {event['ResourceStatus']}  {event['ResourceType']}  {event['LogicalResourceId']}{reason}")
