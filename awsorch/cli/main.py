"""The `awsorch` command: the local cloud, and a client of the ECS API for people.

It is a client like any other: it imports no other part of awsorch (but `awsorch.local`, to start and stop the local
cloud, and the pure transform of templates in `awsorch.cfn`) and works against every endpoint that speaks the ECS API.
"""

from __future__ import annotations

from typing import Any

import click

from awsorch.cli.activate import activate
from awsorch.cli.agent import agent
from awsorch.cli.apply import apply
from awsorch.cli.balancers import balancers
from awsorch.cli.capacity import capacity
from awsorch.cli.cfn import cfn
from awsorch.cli.cloud import down, up
from awsorch.cli.definitions import register
from awsorch.cli.deploy import deploy, scale
from awsorch.cli.describe import describe
from awsorch.cli.events import events
from awsorch.cli.exec import exec_command
from awsorch.cli.faults import explain
from awsorch.cli.history import history
from awsorch.cli.install import install, uninstall
from awsorch.cli.instances import instances
from awsorch.cli.logs import logs
from awsorch.cli.plan_capacity import plan
from awsorch.cli.rollback import rollback
from awsorch.cli.run import run
from awsorch.cli.services import services
from awsorch.cli.story import story
from awsorch.cli.tasks import ps, stop
from awsorch.cli.userdata import userdata


class Commands(click.Group):
    """The group of all commands; it turns what the API or the network answered into one line for a person."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except Exception as error:
            fault = explain(error)
            if fault is None:
                raise
            raise fault from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which a newcomer meets them


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="awsorch", message="awsorch %(version)s")
def main() -> None:
    """An open, self-hosted control plane compatible with Amazon ECS.

    `awsorch up` starts a local cloud; the other commands are a client of its API, or of any other ECS endpoint that
    --endpoint or AWS_ENDPOINT_URL names. Ids may be shortened to any unique prefix.
    """


COMMANDS = (
    *(up, down, register, run, ps, describe, logs, exec_command, stop),
    *(apply, services, deploy, rollback, scale, events, history),
    *(instances, capacity, plan, balancers, story),
    *(userdata, activate, agent, cfn, install, uninstall),
)
for command in COMMANDS:
    main.add_command(command)
