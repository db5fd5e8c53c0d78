"""Many simulated agents in one process, each with settings of its own: a fleet to try a control plane on.

They share one HTTP client. Each is as small as it can be: no files, no threads, and no telemetry while it is idle.
"""

import asyncio
import json
import logging
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from awsorch.agent.agent import Agent, Parts
from awsorch.agent.api import APIError
from awsorch.agent.identity import NoIdentityError
from awsorch.agent.ports import always_free
from awsorch.agent.session import open_http
from awsorch.agent.settings import SettingError, Settings, load
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.simulated_scripts import VARIABLE, scripts_at
from awsorch.agent.usage import NoUsage

LOG = logging.getLogger(__name__)

REGISTRATIONS_AT_ONCE = 50
RETRY_DELAY = 5.0
CPU_UNITS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One agent of the fleet: its settings, and the environment that its credentials are taken from."""

    settings: Settings
    environment: Mapping[str, str]


def read_fleet(path: Path, environment: Mapping[str, str]) -> list[Member]:
    """The fleet in a JSON file: a list of objects, each with the variables in which an agent differs.

    Raises SettingError for a file that is not like that.
    """
    try:
        listed = json.loads(path.read_text())
    except ValueError as error:
        raise SettingError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise SettingError(f"{path} must be a JSON list of objects, each with an agent's environment variables")
    common = {"AWSORCH_INTROSPECTION_PORT": "0", **environment}
    members = []
    for overrides in listed:
        own = {**common, **{name: str(value) for name, value in overrides.items()}}
        members.append(Member(settings=load(own), environment=own))
    return members


async def run_fleet(members: Sequence[Member]) -> None:
    """Runs all agents until cancelled; one that fails is started again after a while."""
    _allow_many_files()
    slots = asyncio.Semaphore(REGISTRATIONS_AT_ONCE)
    async with (
        open_http(limit=0, probing=False) as http,
        asyncio.TaskGroup() as group,
    ):
        for member in members:
            group.create_task(_run_member(member, http, slots))


async def _run_member(member: Member, http: aiohttp.ClientSession, slots: asyncio.Semaphore) -> None:
    while True:
        try:
            await _run_once(member, http, slots)
        except (APIError, NoIdentityError, OSError) as error:
            LOG.warning("a simulated agent failed: %s", error)
        await asyncio.sleep(RETRY_DELAY)


async def _run_once(member: Member, http: aiohttp.ClientSession, slots: asyncio.Semaphore) -> None:
    """Registers when it is its turn, so that thousands do not come at the same moment."""
    instance = member.settings.instance
    scripts = member.environment.get(VARIABLE)
    engine = SimulatedEngine(
        cpus=max((instance.cpu or 2 * CPU_UNITS) // CPU_UNITS, 1),
        memory=instance.memory or 3884,
        scripts=scripts_at(Path(scripts)) if scripts else None,
    )
    parts = Parts(
        engine=engine,
        usage=NoUsage(),
        probe=always_free,
        clock=time.time,
        telemetry_when_idle=False,
        cleans_images=False,
        serves_containers=False,
    )
    agent = Agent(member.settings, member.environment, http, parts)
    async with slots:
        running = asyncio.create_task(agent.run())
        registered = asyncio.create_task(agent.registered.wait())
        try:
            await asyncio.wait((running, registered), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            running.cancel()
            raise
        finally:
            registered.cancel()
    try:
        await running
    finally:
        running.cancel()


def _allow_many_files() -> None:
    """Each agent has a connection: take as many as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
