"""`awsorch up` and `awsorch down`: the local cloud on this machine.

The only commands that are no client of the API: what they start and stop is `awsorch.local`, imported when they run, so
that the others work where the extra `local` is not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from awsorch.cli.faults import Fault
from awsorch.cli.session import data_folder

if TYPE_CHECKING:
    from awsorch.local.up import Ready

DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the cloud keeps its data. [default: $AWSORCH_DATA, else ~/.awsorch]",
)


@click.command("up")
@click.option(
    "--instances", type=click.IntRange(min=0), default=2, show_default=True, metavar="N", help="How many instances."
)
@click.option(
    "--instance-type", default="t3.medium", show_default=True, metavar="TYPE", help="Their EC2 instance type."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=4566, show_default=True, help="Port of the door on 127.0.0.1."
)
@DATA
@click.option(
    "--engine",
    type=click.Choice(["docker", "simulated"]),
    default="docker",
    show_default=True,
    help="What runs the containers.",
)
@click.option("--detach", "-d", is_flag=True, help="Return when it is ready; `awsorch down` stops it.")
def up(instances: int, instance_type: str, port: int, data: Path | None, engine: str, detach: bool) -> None:
    """Start a cloud on this machine: the ECS API, the rest of AWS beside it, and instances that run containers.

    Runs in the foreground until Ctrl-C. Started again on the same data it carries on with the tasks that still run.
    """
    from awsorch.local import up as local

    options = local.Options(
        data=data or data_folder(), port=port, instances=instances, instance_type=instance_type, engine=engine
    )
    try:
        if detach:
            show_ready(local.start_detached(options))
        else:
            local.run(options, on_ready=show_ready)
    except (OSError, RuntimeError) as error:
        raise Fault(str(error)) from None


@click.command("down")
@DATA
def down(data: Path | None) -> None:
    """Stop the local cloud and its containers' agents, properly; its data stays for the next `awsorch up`."""
    from awsorch.local import up as local

    folder = data or data_folder()
    try:
        if not local.stop(folder):
            raise Fault(f"no local cloud runs on {folder}")
    except (OSError, RuntimeError) as error:
        raise Fault(str(error)) from None


def show_ready(ready: Ready) -> None:
    """Say where the cloud listens and what a client has to export."""
    click.echo(f"awsorch is up at {ready.endpoint}. For clients:")
    for name, value in ready.environment.items():
        click.echo(f"  export {name}={value}")
