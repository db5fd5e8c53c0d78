"""A supervisor with a simulated engine in virtual time, that can be killed at any commit and started again."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from awsorch.agent.cloudwatch_logs import CloudWatchLogs
from awsorch.agent.credentials import FixedCredentials
from awsorch.agent.ebs import Volumes
from awsorch.agent.engine import CreateArguments
from awsorch.agent.environment import Placement
from awsorch.agent.host import Host
from awsorch.agent.images import ImageStock
from awsorch.agent.inputs import TaskInputs
from awsorch.agent.ports import Ports, always_free
from awsorch.agent.registry_access import RegistryAccess
from awsorch.agent.reports import Reports
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.settings import EngineSettings, InstanceSettings, LimitSettings, Settings
from awsorch.agent.simulated_engine import SimulatedEngine
from awsorch.agent.state_file import Batch, Saved, SavedReport, StateFile, StateFileError, Store
from awsorch.agent.supervisor import Supervisor
from awsorch.agent.surroundings import Surroundings
from awsorch.agent.task_limits import TaskLimits
from awsorch.agent.task_networks import TaskNetworks
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials
from tests.agent.fake_services import FakeServices
from tests.agent.tasks import stop
from tests.support import virtual_time

PLACE = Placement(
    instance_arn="arn:aws:ecs:us-east-1:123456789012:container-instance/c1/1", cluster="c1", region="us-east-1"
)

INSTANCE = FixedCredentials(Credentials(access_key_id="INSTANCE", secret_access_key="s"))


class WatchedEngine(SimulatedEngine):
    """A simulated engine that remembers what it was asked: ``created`` {name: body}, ``logins`` [(image, login)]."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.created: dict[str, Mapping[str, Any]] = {}
        self.logins: list[tuple[str, Mapping[str, str] | None]] = []

    async def create(self, arguments: CreateArguments) -> str:
        self.created[arguments.name] = arguments.body
        return await super().create(arguments)

    async def pull(self, image: str, credentials: Mapping[str, str] | None) -> None:
        self.logins.append((image, credentials))
        await super().pull(image, credentials)


class MortalStore:
    """A state file that breaks at a given save: before it is stored, or just after."""

    def __init__(self, inner: Store, *, dies_at: int | None = None, after: bool = False) -> None:
        self._inner = inner
        self._dies_at = dies_at
        self._after = after
        self.saves = 0
        self.dead = asyncio.Event()
        self.full = False

    def load(self) -> Saved:
        return self._inner.load()

    def save(self, batch: Batch) -> None:
        if self.full:
            raise StateFileError("database or disk is full")
        self.saves += 1
        if self.saves == self._dies_at:
            if self._after:
                self._inner.save(batch)
            self.dead.set()
        if self.dead.is_set():
            raise StateFileError("the agent is dead")
        self._inner.save(batch)

    def close(self) -> None:
        self._inner.close()


class World:
    """One host. The engine outlives the agents; `reports` is what the controller has accepted."""

    def __init__(self, folder: Path, loop: virtual_time.VirtualTimeLoop) -> None:
        self.engine = WatchedEngine(clock=loop.clock)
        self.services = FakeServices()
        self.place = PLACE
        self.reports: list[dict[str, Any]] = []
        self.outage = False
        self.settings = Settings(
            cluster="c1",
            engine=EngineSettings(stop_timeout=30.0, cleanup_wait=600.0, report_delay=1.0),
            instance=InstanceSettings(),
        )
        self.cpu, self.memory = 2048, 4096
        self._path = folder / "agent.db"
        self._loop = loop
        self._suffixes = itertools.count()
        self._changed = asyncio.Condition()
        self.store: MortalStore
        self.supervisor: Supervisor
        self.roles: RoleCredentialsStore
        self.tasks: dict[str, Any] = {}
        self.around: Surroundings

    async def start(self, *, dies_at: int | None = None, after: bool = False) -> None:
        """A new agent on this host; it dies at its `dies_at`-th save."""
        self.store = MortalStore(StateFile(self._path), dies_at=dies_at, after=after)
        self._reports = Reports(self._take)
        self.tasks = {}
        self.roles = RoleCredentialsStore(self.tasks, self._loop.clock)
        images = ImageStock(self.engine, self.settings.engine, self._loop.clock, set(), lambda _: None)
        self.around = Surroundings(
            settings=self.settings,
            place=self.place,
            clock=self._loop.clock,
            suffix=lambda: f"{next(self._suffixes):04x}",
            engine=self.engine,
            images=images,
            inputs=TaskInputs(self.services, self.roles, PLACE.region),
            networks=TaskNetworks(self.engine),
            volumes=Volumes(folder=str(self._path.parent / "ebs")),
            limits=TaskLimits(LimitSettings(), ""),
            cloudwatch=CloudWatchLogs(self.services, self.roles, INSTANCE),
            registries=RegistryAccess(self.services, self.roles, INSTANCE, self._loop.clock),
            store=self.store,
            host=Host(self.cpu, self.memory, frozenset({(22, "tcp")})),
            ports=Ports("0.0.0.0", (32768, 32800), always_free),
            tasks=self.tasks,
        )
        self.supervisor = Supervisor(self.around, self._reports, self)
        await self.supervisor.recover(self.store.load())

    async def kill(self) -> None:
        """The agent is gone at once; nothing that it still had in mind happens.

        What the controller has just accepted may not be noted yet, and is then told again.
        """
        self.store.dead.set()
        self.supervisor._closed = True
        await self.supervisor.close()
        await self._reports.close()
        self.store.close()

    def health_changed(self) -> None:
        """The telemetry's part is not played here."""

    tasks_changed = health_changed

    async def _take(self, report: SavedReport) -> None:
        if self.outage:
            raise ConnectionError("no controller")
        self.reports.append(json.loads(report.body))
        async with self._changed:
            self._changed.notify_all()

    async def run(self, *tasks: acs.Task) -> bool:
        return await self.supervisor.accept(tasks)

    async def stop(self, *tasks: acs.Task) -> bool:
        return await self.supervisor.accept([stop(each) for each in tasks])

    def statuses(self, task: acs.Task) -> list[str]:
        """What the controller heard, without what it heard twice in a row."""
        told = [each["status"] for each in self.reports if each["task"] == task.arn]
        return [status for index, status in enumerate(told) if index == 0 or status != told[index - 1]]

    async def reported(self, task: acs.Task, status: str) -> dict[str, Any]:
        """Wait for the report that the task has this status (for ever, which virtual time notices)."""
        async with self._changed:
            while True:
                for each in self.reports:
                    if each["task"] == task.arn and each["status"] == status:
                        return each
                await self._changed.wait()

    def container(self, task: acs.Task, name: str = "app") -> dict[str, Any]:
        """A container as all reports of its task together make it."""
        known: dict[str, Any] = {}
        for report in self.reports:
            for each in report["containers"]:
                if report["task"] == task.arn and each["containerName"] == name:
                    known.update(each)
        return known


def play(folder: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    """Play a scenario in a fresh world, in virtual time. The agent is killed at the end."""

    async def whole(loop: virtual_time.VirtualTimeLoop) -> None:
        world = World(folder, loop)
        await scenario(world)
        await world.kill()

    virtual_time.run(whole)
