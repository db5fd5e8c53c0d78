"""`awsorch agent`: what is done about the agent of this very machine; the agent's own program does it."""

from __future__ import annotations

import subprocess
import sys

import click


@click.group()
def agent() -> None:
    """The agent of this machine."""


@agent.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """Check whether an agent can work on this machine, and say what to mend.

    Looks at Docker, cgroups, iptables, the clock, the endpoint and the role as the agent would find them with the
    settings here. Exit code 1 where something fails.
    """
    command = [sys.executable, "-m", "awsorch.agent", "doctor", *(["--json"] if as_json else [])]
    sys.exit(subprocess.run(command, check=False).returncode)
