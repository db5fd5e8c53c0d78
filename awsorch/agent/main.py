"""The program: settings from the environment, one agent (or a simulated fleet), signals, exit codes.

Exit codes are the official agent's: 0 stopped as asked, 1 failed (start it again), 5 it can never work as it is
configured (do not start it again).
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

from awsorch.agent import AGENT_VERSION
from awsorch.agent.agent import Agent, Parts
from awsorch.agent.api import APIError, TerminalError
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.identity import NoIdentityError
from awsorch.agent.session import refuse_with_body
from awsorch.agent.settings import SettingError, Settings, load
from awsorch.agent.state_file import StateFileError

LOG = logging.getLogger(__name__)

STOPPED, FAILED, TERMINAL = 0, 1, 5
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "crit": "CRITICAL"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m awsorch.agent", description=__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=AGENT_VERSION)
    parser.add_argument(
        "--simulated",
        metavar="FILE",
        type=Path,
        help="run simulated agents in this process: a JSON list with one object of settings for each",
    )
    options = parser.parse_args(arguments)
    try:
        settings = load(os.environ)
        _set_up_logging(settings)
        if options.simulated is not None:
            from awsorch.agent.fleet import read_fleet, run_fleet  # real agents do not need it

            return asyncio.run(_until_signalled(run_fleet(read_fleet(options.simulated, os.environ))))
        return asyncio.run(_until_signalled(_run_agent(settings, os.environ)))
    except (SettingError, TerminalError) as error:
        LOG.critical("%s", error)
        return TERMINAL
    except (APIError, StateFileError, NoCredentialsError, NoIdentityError, OSError) as error:
        LOG.critical("%s", error)
        return FAILED


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


async def _run_agent(settings: Settings, environment: Mapping[str, str]) -> None:
    from awsorch.agent.docker_engine import DockerEngine  # a fleet does not pay for the SDK
    from awsorch.agent.ports import host_probe
    from awsorch.agent.usage import KernelUsage

    parts = Parts(
        engine=DockerEngine(settings.engine),
        usage=KernelUsage(),
        probe=host_probe(settings.instance.port_bind_address),
        clock=time.time,
    )
    async with aiohttp.ClientSession(raise_for_status=refuse_with_body) as http:
        await Agent(settings, environment, http, parts).run()
