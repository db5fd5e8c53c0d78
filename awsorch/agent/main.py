"""The program: settings from the environment, one agent (or a simulated fleet), signals, exit codes.

Exit codes are the official agent's: 0 stopped as asked, 1 failed (start it again), 5 it can never work as it is
configured (do not start it again), 42 start it again, as another release.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from awsorch.agent import AGENT_VERSION, RELEASE
from awsorch.agent.agent import Agent, Parts
from awsorch.agent.api import APIError, TerminalError
from awsorch.agent.config_files import PATH_VARIABLE, with_config_file
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.external import IdentityFileError, join, read_identity, settings_of
from awsorch.agent.identity import NoIdentityError
from awsorch.agent.known_variables import unused_variables
from awsorch.agent.session import open_http
from awsorch.agent.settings import SettingError, Settings, known_variables, load
from awsorch.agent.state_file import StateFileError
from awsorch.agent.update_folder import UpdateFolder, folder_of, hand_over
from awsorch.agent.updates import UpdatePerformed

LOG = logging.getLogger(__name__)

STOPPED, FAILED, TERMINAL, UPDATED = 0, 1, 5, 42
DATA_FOLDER = "/var/lib/ecs"
UNKNOWN_KEY = "UnrecognizedClientException"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "crit": "CRITICAL"}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    releases: UpdateFolder | None = None
    try:
        if hasattr(options, "json"):
            return _examine(as_json=options.json)
        environment, unknown = with_config_file({**os.environ, **_environment_of(options)})
        settings = load(environment)
        _set_up_logging(settings)
        for line in unknown + unused_variables(environment, {*known_variables(), PATH_VARIABLE}):
            LOG.warning("%s", line)
        if options.simulated is not None:
            from awsorch.agent.fleet import read_fleet, run_fleet  # real agents do not need it

            return asyncio.run(_until_signalled(run_fleet(read_fleet(options.simulated, os.environ))))
        releases = folder_of(settings, os.environ)
        if releases is not None:
            hand_over(releases, sys.argv[1:] if arguments is None else arguments, os.environ)
        return asyncio.run(_until_signalled(_run(settings, environment, only_join=getattr(options, "no_start", False))))
    except UpdatePerformed:
        LOG.info("this release ends, to start again as another; containers go on")
        return UPDATED
    except (SettingError, TerminalError) as error:
        LOG.critical("%s", error)
        # A release on trial is not the last word: it is to be tried again, and given up for the one before it.
        return FAILED if releases is not None and releases.is_on_trial() else TERMINAL
    except (APIError, StateFileError, IdentityFileError, NoCredentialsError, NoIdentityError, OSError) as error:
        LOG.critical("%s", error)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="awsorch-agent", description=__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"awsorch {RELEASE} (as ECS agent {AGENT_VERSION})")
    parser.add_argument(
        "--simulated",
        metavar="FILE",
        type=Path,
        help="run simulated agents in this process: a JSON list with one object of settings for each",
    )
    commands = parser.add_subparsers(metavar="[join|doctor]")
    doctor = commands.add_parser(
        "doctor",
        help="check whether an agent can work on this machine, and say what to mend",
        description="Check Docker, cgroups, iptables, the clock, the endpoint and the role, as the agent would find "
        "them with the settings here. Exit code 1 where something fails.",
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    join = commands.add_parser(
        "join",
        help="make this machine an external instance of a cluster, by an activation from `awsorch activate`",
        description="Make this machine an external instance of a cluster, then run its agent. Once it has joined, the "
        "agent needs nothing but its data folder.",
    )
    join.add_argument("--endpoint", required=True, metavar="URL", help="where the controller listens")
    join.add_argument("--activation-id", required=True, metavar="ID")
    join.add_argument("--activation-code", required=True, metavar="CODE")
    join.add_argument(
        "--data-folder", type=Path, metavar="DIR", help=f"where its state is kept [ECS_DATADIR, else {DATA_FOLDER}]"
    )
    join.add_argument("--no-start", action="store_true", help="only join: a service runs the agent")
    return parser


def _examine(*, as_json: bool) -> int:
    from awsorch.agent import checkup_command  # an agent at work does not need it

    checks = asyncio.run(checkup_command.examine(os.environ))
    print(checkup_command.as_json(checks) if as_json else checkup_command.as_text(checks))
    return STOPPED if all(each.ok for each in checks) else FAILED


def _environment_of(options: argparse.Namespace) -> dict[str, str]:
    """What `join` was told, as the variables that say the same."""
    if not hasattr(options, "endpoint"):
        return {}
    return {
        "ECS_BACKEND_HOST": options.endpoint,
        "ECS_DATADIR": str(options.data_folder or os.environ.get("ECS_DATADIR") or DATA_FOLDER),
        "AWSORCH_ACTIVATION_ID": options.activation_id,
        "AWSORCH_ACTIVATION_CODE": options.activation_code,
    }


def _set_up_logging(settings: Settings) -> None:
    level = _LEVELS.get(settings.log_level.lower(), "INFO")
    if settings.log_file:
        logging.basicConfig(level=level, format=LOG_FORMAT, filename=settings.log_file)
    else:
        logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr)
    for noisy in ("urllib3", "docker", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


async def _until_signalled(work: Coroutine[Any, Any, None]) -> int:
    """Run `work` until it ends or SIGTERM or SIGINT comes. Errors of `work` are raised."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        LOG.info("stopped; containers go on")
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    return STOPPED


async def _run(settings: Settings, environment: Mapping[str, str], *, only_join: bool) -> None:
    """An external instance joins if it has not yet by this activation; then, as any other, its agent runs."""
    identity = read_identity(Path(settings.data_dir)) if settings.data_dir else None
    if settings.activation_id and (identity is None or identity.activation_id != settings.activation_id):
        async with aiohttp.ClientSession() as http:
            identity = await join(http, settings)
    if only_join:
        return
    if identity is None:
        await _run_agent(settings, environment)
        return
    environment = settings_of(identity, environment)
    try:
        await _run_agent(load(environment), environment)
    except APIError as error:
        if error.code != UNKNOWN_KEY:
            raise
        raise TerminalError(
            f"{error} The key of {identity.managed_instance_id} is good no more: it was revoked, or this machine's "
            "identity joined again somewhere else. Join with a new activation."
        ) from error


async def _run_agent(settings: Settings, environment: Mapping[str, str]) -> None:
    from awsorch.agent.docker_engine import DockerEngine  # a fleet does not pay for the SDK
    from awsorch.agent.kernel_stats import KernelStats
    from awsorch.agent.ports import host_probe
    from awsorch.agent.usage import KernelUsage

    parts = Parts(
        engine=DockerEngine(settings.engine),
        usage=KernelUsage(),
        probe=host_probe(settings.instance.port_bind_address),
        clock=time.time,
        stats=KernelStats(),
    )
    async with open_http() as http:
        await Agent(settings, environment, http, parts).run()
