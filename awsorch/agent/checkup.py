"""Whether this machine can do an agent's work: everything that an agent needs is tried, and what fails is explained.

Nothing is changed that an agent's start would not change, and no container is touched. A check never fails by an
exception: what it found is what it says.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

from awsorch.agent.api import ECS, APIError
from awsorch.agent.credentials import CredentialSource, NoCredentialsError, own_credentials, signing_credentials
from awsorch.agent.engine import Engine, EngineError, EngineFacts
from awsorch.agent.identity import InstanceMetadata
from awsorch.agent.known_variables import unused_variables
from awsorch.agent.settings import Settings, known_variables
from awsorch.agent.task_cgroup import CGROUP_ROOT

TIMEOUT = aiohttp.ClientTimeout(total=5)
HEALTH_PATH = "/awsorch/health"
LARGEST_SKEW = 300.0
"""Seconds by which a signature's time may be off before it is refused."""
NOTABLE_SKEW = 5.0
LEAST_ROOM = 512 * 1024 * 1024
CONTROLLERS = ("cpu", "memory", "pids")
_SEE_ENDPOINT = "See whether the endpoint can be reached, and what else answers there."
IPTABLES = ("iptables", "-w", "5", "-t", "nat", "-S", "PREROUTING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, whether it is as it has to be, what was found, and else what mends it."""

    name: str
    ok: bool
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is looked at besides the network. `clock` gives seconds since the epoch."""

    engine: Engine
    cgroups: Path = CGROUP_ROOT
    clock: Callable[[], float] = time.time
    iptables: tuple[str, ...] = IPTABLES


class Checkup:
    """All checks of one machine."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], http: aiohttp.ClientSession, machine: Machine
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._http = http
        self._machine = machine
        self._metadata = InstanceMetadata(http, settings.metadata_endpoint)

    async def run(self) -> list[Check]:
        """Every check, in the order in which they depend on each other."""
        checks = [self._variables(), self._data_folder()]
        checks += await self._engine()
        checks.append(await self._firewall())
        checks.append(self._interfaces())
        region = await self._region()
        checks.append(_region_check(region))
        checks += await self._controller()
        checks += await self._access(region)
        return checks

    def _variables(self) -> Check:
        """Variables without an effect are no failure: official agents pass over them, too."""
        unused = unused_variables(self._environment, known_variables())
        return Check(name="settings", ok=True, found="; ".join(unused) or f"cluster {self._settings.cluster}")

    def _data_folder(self) -> Check:
        folder = Path(self._settings.data_dir or ".")
        if not self._settings.checkpoint:
            return Check(
                name="data folder",
                ok=False,
                found="no state is kept: a restart of the agent loses its tasks",
                mend="Set ECS_DATADIR to a folder such as /var/lib/ecs.",
            )
        existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        room = shutil.disk_usage(existing).free
        if not _may_write(existing):
            mend = f"Run as root, or make {existing} writable for this user."
            return Check(name="data folder", ok=False, found=f"{existing} cannot be written", mend=mend)
        if room < LEAST_ROOM:
            mend = f"Free at least {LEAST_ROOM // 2**20} MiB: the agent starts nothing that it cannot write down."
            return Check(name="data folder", ok=False, found=f"{room // 2**20} MiB are left at {folder}", mend=mend)
        return Check(name="data folder", ok=True, found=f"{folder}, {room // 2**20} MiB left")

    # The engine and the kernel

    async def _engine(self) -> list[Check]:
        try:
            facts = await self._machine.engine.facts()
        except EngineError as error:
            where = self._settings.engine.docker_host
            mend = f"Start Docker (systemctl start docker), see that it listens at {where}, and that this user may ask."
            return [Check(name="docker", ok=False, found=error.text, mend=mend)]
        found = f"{facts.version}, API {facts.api_version}, {facts.cpus} CPUs, {facts.memory} MiB"
        return [Check(name="docker", ok=True, found=found), *self._engine_facts(facts)]

    def _engine_facts(self, facts: EngineFacts) -> Iterator[Check]:
        drivers = set(self._settings.instance.logging_drivers) - {"none", "awsfirelens", *facts.log_drivers}
        if drivers:
            mend = "Take them out of ECS_AVAILABLE_LOGGING_DRIVERS: tasks would be placed here and fail."
            found = f"Docker has no {', '.join(sorted(drivers))}"
            yield Check(name="log drivers", ok=False, found=found, mend=mend)
        else:
            names = ", ".join(self._settings.instance.logging_drivers)
            yield Check(name="log drivers", ok=True, found=names)
        if facts.bridge_address:
            yield Check(name="bridge", ok=True, found=f"containers reach the agent at {facts.bridge_address}")
        else:
            mend = "Let Docker have its default bridge: without it containers find neither metadata nor credentials."
            yield Check(name="bridge", ok=False, found="Docker has no default bridge", mend=mend)
        yield self._cgroups(facts)

    def _cgroups(self, facts: EngineFacts) -> Check:
        root = self._machine.cgroups
        unified = root / "cgroup.controllers"
        try:
            has = unified.read_text().split() if unified.exists() else [each.name for each in root.iterdir()]
        except OSError as error:
            return Check(name="cgroups", ok=False, found=str(error), mend=f"Mount the kernel's cgroups at {root}.")
        version = "2" if unified.exists() else "1"
        missing = [each for each in CONTROLLERS if each not in has]
        if missing:
            mend = "Switch them on at the kernel's command line, such as cgroup_enable=memory."
            found = f"version {version} without {', '.join(missing)}: limits of tasks would not hold"
            return Check(name="cgroups", ok=False, found=found, mend=mend)
        driver = facts.cgroup_driver or "unknown"
        return Check(name="cgroups", ok=True, found=f"version {version}, driver {driver}")

    async def _firewall(self) -> Check:
        if not self._settings.task_roles:
            return Check(name="iptables", ok=True, found="not needed while ECS_ENABLE_TASK_IAM_ROLE is off")
        try:
            process = await asyncio.create_subprocess_exec(
                *self._machine.iptables, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            _, said = await process.communicate()
        except OSError as error:
            mend = "Install iptables: containers are led to their role's credentials by it."
            return Check(name="iptables", ok=False, found=f"{self._machine.iptables[0]}: {error.strerror}", mend=mend)
        if process.returncode:
            mend = "Run as root (the unit does), or switch ECS_ENABLE_TASK_IAM_ROLE off."
            return Check(name="iptables", ok=False, found=said.decode(errors="replace").strip(), mend=mend)
        return Check(name="iptables", ok=True, found="rules can be read and written")

    def _interfaces(self) -> Check:
        """What tasks with interfaces of their own take."""
        if not self._settings.instance.task_interfaces:
            return Check(name="interfaces", ok=True, found="not needed while ECS_ENABLE_TASK_ENI is off")
        missing = [each for each in ("ip", "nsenter") if shutil.which(each) is None]
        if missing:
            mend = "Install iproute2 and util-linux, or switch ECS_ENABLE_TASK_ENI off."
            return Check(name="interfaces", ok=False, found=f"{' and '.join(missing)} cannot be found", mend=mend)
        return Check(name="interfaces", ok=True, found="tasks may have network interfaces of their own")

    # The network

    async def _region(self) -> str:
        if self._settings.region or self._settings.external:
            return self._settings.region
        return _region_of(await self._metadata.get("meta-data/placement/availability-zone") or "")

    async def _controller(self) -> list[Check]:
        """That it answers, and that its clock and ours agree."""
        endpoint = self._settings.backend_host.rstrip("/")
        if not endpoint:
            found = "ECS itself, for ECS_BACKEND_HOST names no controller"
            return [Check(name="endpoint", ok=True, found=found)]
        url = endpoint + HEALTH_PATH
        try:
            async with self._http.get(url, timeout=TIMEOUT, raise_for_status=False) as answer:
                status, date = answer.status, answer.headers.get("Date", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            mend = "Check ECS_BACKEND_HOST, the controller, and what is between: security groups, routes, certificates."
            found = f"no answer from {endpoint}: {error or type(error).__name__}"
            return [Check(name="endpoint", ok=False, found=found, mend=mend)]
        known = "" if status == 200 else f" (HTTP {status}: is it a controller of awsorch?)"
        return [Check(name="endpoint", ok=True, found=f"{endpoint} answers{known}"), self._clock_check(date)]

    def _clock_check(self, date: str) -> Check:
        try:
            skew = self._machine.clock() - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return Check(name="clock", ok=True, found="the controller does not tell its time")
        ahead = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the controller"
        mend = "Let chrony or systemd-timesyncd set the clock (timedatectl set-ntp true)."
        if abs(skew) > LARGEST_SKEW:
            return Check(name="clock", ok=False, found=f"{ahead}: signatures are refused", mend=mend)
        return Check(name="clock", ok=True, found=ahead if abs(skew) > NOTABLE_SKEW else "as the controller's")

    async def _access(self, region: str) -> list[Check]:
        """That there is something to sign with, and that the controller takes it."""
        own = own_credentials(self._environment, self._metadata, self._machine.clock)
        source = signing_credentials(own, self._http, self._settings.backend_host, region or "us-east-1")
        try:
            await own.get()
            key = await source.get()
        except NoCredentialsError as error:
            mend = "Give the instance a role (instance profile), or join with an activation: awsorch-agent join."
            return [Check(name="role", ok=False, found=str(error), mend=mend)]
        role = Check(name="role", ok=True, found=f"signs with {key.access_key_id[:4]}…")
        if not region:
            return [role]
        return [role, await self._call(source, region)]

    async def _call(self, source: CredentialSource, region: str) -> Check:
        settings = self._settings
        endpoint = settings.backend_host or f"https://ecs.{region}.amazonaws.com"
        ecs = ECS(self._http, endpoint, region, source, self._machine.clock)
        try:
            async with asyncio.timeout(TIMEOUT.total):
                await ecs.call("DiscoverPollEndpoint", {"cluster": settings.cluster})
        except (APIError, NoCredentialsError) as error:
            mend = (
                "Let the role make the calls of an agent, such as ecs:DiscoverPollEndpoint; check whose keys these are."
            )
            if isinstance(error, APIError) and not error.code:
                mend = _SEE_ENDPOINT
            return Check(name="access", ok=False, found=str(error), mend=mend)
        except TimeoutError:
            found = f"{endpoint} does not answer in time"
            return Check(name="access", ok=False, found=found, mend=_SEE_ENDPOINT)
        return Check(name="access", ok=True, found=f"may work in cluster {settings.cluster}")


def _region_check(region: str) -> Check:
    if region:
        return Check(name="region", ok=True, found=region)
    mend = "Set AWS_DEFAULT_REGION, or ECS_EXTERNAL=true and AWS_DEFAULT_REGION outside EC2."
    return Check(name="region", ok=False, found="neither a setting nor instance metadata tells it", mend=mend)


def _region_of(zone: str) -> str:
    """us-east-1 of us-east-1a."""
    return zone.rstrip("abcdefghijklmnopqrstuvwxyz") if zone[-1:].isalpha() else zone


def _may_write(folder: Path) -> bool:
    probe = folder / f".awsorch-doctor-{time.monotonic_ns()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True
