"""`awsorch up` and `awsorch down`: the local cloud on this machine.

The only commands that are no client of the API: what they start and stop is `awsorch.local`, imported when they run, so
that the others work where the extra `local` is not installed.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from awsorch.cli.faults import Fault
from awsorch.cli.session import DEFAULT_REGION, data_folder

if TYPE_CHECKING:
    from awsorch.local.up import Ready

ACCESS_KEYS = "AWSORCH_ACCESS_KEYS"
HOSTS = click.Choice(["loopback", "netns"])
ENGINES = click.Choice(["docker", "simulated"])
COUNT = click.IntRange(min=0)
PORT = click.IntRange(0, 65535)
DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the cloud keeps its data. [default: $AWSORCH_DATA, else ~/.awsorch]",
)


@click.command("up")
@click.option("--instances", type=COUNT, default=2, show_default=True, metavar="N", help="How many instances.")
@click.option("--instance-type", default="t3.medium", show_default=True, metavar="TYPE", help="Their EC2 type.")
@click.option("--engine", type=ENGINES, default="docker", show_default=True, help="What runs the containers.")
@click.option(
    "--hosts",
    type=HOSTS,
    default="loopback",
    show_default=True,
    help="netns: each instance has a network and a Docker Engine of its own (Linux, root).",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where the door listens.")
@click.option("--port", type=PORT, default=4566, show_default=True, metavar="N", help="Its port; 0 takes a free one.")
@click.option("--region", default=DEFAULT_REGION, show_default=True, metavar="NAME", help="The region that it plays.")
@click.option("--aws", metavar="URL", help="LocalStack or the like beside moto: data and messages are left to it.")
@click.option("--leave", multiple=True, metavar="SERVICE", help="Leave this one, too, to --aws: iam, say. May repeat.")
@click.option("--registry", metavar="HOST:PORT", help="A registry that has the images of ECR, by their paths.")
@click.option(
    "--inert",
    multiple=True,
    metavar="TYPE",
    help="A CloudFormation type that stacks may have and that is not there: nothing is made for it. Once a type.",
)
@DATA
@click.option("--detach", "-d", is_flag=True, help="Return when it is ready; `awsorch down` stops it.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as JSON.")
def up(data: Path | None, detach: bool, as_json: bool, **choices: Any) -> None:
    """Start a cloud on this machine: the ECS API, the rest of AWS beside it, and instances that run containers.

    Runs in the foreground until Ctrl-C. Started again on the same data it carries on with the tasks that still run.
    With AWSORCH_ACCESS_KEYS, a JSON object of access key ids and secrets, every request's signature is verified;
    without, the door listens on loopback addresses only.
    """
    from awsorch.local import up as local

    def tell(ready: Ready) -> None:
        show_ready(ready, as_json)

    options = local.Options(data=data or data_folder(), access_keys=read_access_keys(), **choices)
    try:
        if detach:
            tell(local.start_detached(options))
        else:
            local.run(options, on_ready=tell)
    except (local.CannotStart, OSError) as error:
        raise Fault(str(error)) from None


@click.command("down")
@DATA
@click.option("--remove", is_flag=True, help="Remove the containers of its tasks as well.")
def down(data: Path | None, remove: bool) -> None:
    """Stop the local cloud, properly. Its data stays for the next `awsorch up`, and containers run on meanwhile."""
    from awsorch.local import up as local

    folder = data or data_folder()
    try:
        if not local.stop(folder, remove=remove):
            click.echo(f"no local cloud runs on {folder}")
    except OSError as error:
        raise Fault(str(error)) from None


def read_access_keys() -> dict[str, str]:
    """The access keys that the environment names; none when it names none."""
    text = os.environ.get(ACCESS_KEYS, "")
    try:
        keys = json.loads(text or "{}")
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not all(isinstance(one, str) for one in keys.values()):
        raise Fault(f'{ACCESS_KEYS} is not a JSON object of ids and secrets, such as {{"AKIAEXAMPLE": "secret"}}')
    return keys


def show_ready(ready: Ready, as_json: bool) -> None:
    """Say where the cloud listens and what a client has to export."""
    if as_json:
        click.echo(json.dumps(asdict(ready), indent=2))
        return
    click.echo(f"awsorch is up at {ready.endpoint} with {len(ready.instances)} instances. For other AWS clients:")
    for name, value in ready.environment.items():
        click.echo(f"  export {name}={value}")
