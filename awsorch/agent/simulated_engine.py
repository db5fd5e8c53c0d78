"""An engine whose containers are only numbers: they run for so long and end with such a code.

For load tests with thousands of instances, for machines without Docker, and for tests of the agent: it waits
with the event loop's timers only, so a virtual-time loop makes hours pass at once. It keeps the contract of the
real engine, with failures on demand. What a container does, its environment says:

SIMULATED_RUN_SECONDS    how long it runs (default: until it is stopped)
SIMULATED_EXIT_CODE      what it exits with (default 0)
SIMULATED_PRINTS         what it prints at its start, lines with "|" between them
SIMULATED_START_SECONDS  how long a start takes (default 0)
SIMULATED_HEALTH         "healthy" or "unhealthy", at once, or "healthy:5" after five seconds
SIMULATED_COMMAND_EXIT_CODE  what a command in it exits with, once "exit" is typed (default 0)
SIMULATED_STOP           "ignore": the stop signal does nothing, only SIGKILL ends it
"""

import asyncio
import io
import json
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from awsorch.agent.engine import (
    CONTAINER_NAME_LABEL,
    CannotCreateContainerError,
    CannotPullContainerError,
    CannotStartContainerError,
    Connected,
    ContainerFacts,
    CreateArguments,
    EngineError,
    EngineFacts,
    GoneError,
    ImageFacts,
    Occurrence,
    Sink,
    VolumeArguments,
)
from awsorch.agent.simulated_command import SimulatedCommand
from awsorch.agent.simulated_scripts import Scripts
from awsorch.agent.states import Health

SIGTERM_EXIT_CODE = 143
SIGKILL_EXIT_CODE = 137
SIMULATED_MEMORY = 1024 * 1024
"""Bytes that every container uses."""
EVENT_LAG = 0.02
"""Seconds by which an event is later than what it tells of, as with Docker."""

_ids = count(1)
_HEALTH = {"healthy": Health.HEALTHY, "unhealthy": Health.UNHEALTHY}


@dataclass(slots=True)
class _Container:
    id: str
    name: str
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    status: str = "created"
    exit_code: int = 0
    out_of_memory: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    health: Health = Health.UNKNOWN
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedEngine:
    """Containers in memory. `fail_next` makes a call fail; `missing_images` cannot be pulled and do not exist."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        cpus: int = 2,
        memory: int = 3884,
        images: Iterable[str] = (),
        scripts: Scripts | None = None,
    ) -> None:
        self._clock = clock
        self._cpus = cpus
        self._memory = memory
        self._containers: dict[str, _Container] = {}
        self._volumes: dict[str, VolumeArguments] = {}
        self._images = dict.fromkeys(images, clock())
        self._failures: dict[str, list[EngineError]] = {}
        self._scripts = scripts
        self._sink: Sink | None = None
        self._labels: Mapping[str, str] = {}
        self.missing_images: set[str] = set()
        self.bridge_address = "127.0.0.1"
        """Where a simulated container would reach its host."""
        self.starts: list[str] = []
        """The names of the containers in the order in which they were started."""

    # Knobs

    def fail_next(self, call: str, error: EngineError) -> None:
        """The next `call` ("create", "start", "pull" …) raises `error` and does nothing."""
        self._failures.setdefault(call, []).append(error)

    def disconnect(self) -> Callable[[], None]:
        """The event stream is cut; the function that is returned connects it again."""
        sink, self._sink = self._sink, None

        def connect() -> None:
            self._sink = sink
            self._tell(Connected())

        return connect

    def end(self, container: str, exit_code: int, *, out_of_memory: bool = False) -> None:
        """The container's process ends by itself."""
        found = self._get(container)
        if found is not None:
            self._exit(found, exit_code, out_of_memory=out_of_memory)

    def print(self, container: str, text: bytes) -> None:
        """The container's process prints this, a piece of a line or a whole one."""
        found = self._get(container)
        if found is not None:
            at = max(int(self._clock() * 10**9), found.lines[-1][0] + 1 if found.lines else 0)
            found.lines.append((at, text))
            found.changed.set()

    # Containers

    async def create(self, arguments: CreateArguments) -> str:
        self._may_fail("create")
        same = self._get(arguments.name)
        if same is not None:
            if not (arguments.body.get("Labels") or {}).items() <= same.labels.items():
                raise CannotCreateContainerError(
                    f"Error response from daemon: Conflict. The container name {arguments.name} is in use"
                )
            return same.id
        image = arguments.body["Image"]
        if image in self.missing_images:
            raise CannotCreateContainerError(f"Error response from daemon: No such image: {image}", image_missing=True)
        environment = dict(each.split("=", 1) for each in arguments.body.get("Env") or () if "=" in each)
        if self._scripts is not None:
            named = (arguments.body.get("Labels") or {}).get(CONTAINER_NAME_LABEL, arguments.name)
            environment = {**self._scripts.environment(image, named), **environment}
        container = _Container(
            id=f"{next(_ids):064x}",
            name=arguments.name,
            labels=dict(arguments.body.get("Labels") or {}),
            environment=environment,
        )
        self._containers[container.id] = container
        return container.id

    async def start(self, container: str) -> None:
        self._may_fail("start")
        found = self._get(container)
        if found is None:
            raise CannotStartContainerError(f"Error response from daemon: No such container: {container}")
        delay = float(found.environment.get("SIMULATED_START_SECONDS", 0))
        if delay:
            await asyncio.sleep(delay)
        if found.status == "running":
            return
        self.starts.append(found.name)
        found.status, found.started_at, found.finished_at = "running", self._clock(), None
        found.exit_code, found.health = 0, Health.UNKNOWN
        self._happen("start", found)
        self._live(found)

    async def terminate(self, container: str) -> bool:
        self._may_fail("terminate")
        found = self._get(container)
        if found is None or found.status != "running":
            return False
        if found.environment.get("SIMULATED_STOP") != "ignore":
            self._exit(found, SIGTERM_EXIT_CODE)
        return True

    async def kill(self, container: str) -> bool:
        self._may_fail("kill")
        found = self._get(container)
        if found is None or found.status != "running":
            return False
        self._exit(found, SIGKILL_EXIT_CODE)
        return True

    async def remove(self, container: str) -> None:
        self._may_fail("remove")
        found = self._get(container)
        if found is None:
            return
        if found.status == "running":
            self._exit(found, SIGKILL_EXIT_CODE)
        del self._containers[found.id]
        self._happen("destroy", found)

    async def find(self, labels: Mapping[str, str]) -> list[str]:
        self._may_fail("find")
        return [each.id for each in self._containers.values() if labels.items() <= each.labels.items()]

    async def inspect(self, container: str) -> ContainerFacts | None:
        self._may_fail("inspect")
        found = self._get(container)
        if found is None:
            return None
        return ContainerFacts(
            id=found.id,
            name=found.name,
            labels=found.labels,
            status=found.status,
            exit_code=found.exit_code,
            out_of_memory=found.out_of_memory,
            started_at=found.started_at,
            finished_at=found.finished_at,
            health=found.health,
        )

    async def run_command(self, container: str, command: Sequence[str]) -> SimulatedCommand:
        self._may_fail("run_command")
        found = self._get(container)
        if found is None or found.status != "running":
            raise EngineError(f"Container {container} is not running")
        return SimulatedCommand(command, int(found.environment.get("SIMULATED_COMMAND_EXIT_CODE", 0)))

    async def logs(self, container: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
        self._may_fail("logs")
        found = self._get(container)
        if found is None:
            raise GoneError(f"No such container: {container}")
        read = 0
        while True:
            is_over = found.status not in ("running", "created")
            while read < len(found.lines):
                at, text = found.lines[read]
                read += 1
                if at > after:
                    yield at, text
            if is_over:
                return
            found.changed.clear()
            await found.changed.wait()

    # Images and volumes

    async def pull(self, image: str, credentials: Mapping[str, str] | None) -> None:
        self._may_fail("pull")
        if image in self.missing_images:
            raise CannotPullContainerError(f"Error response from daemon: manifest for {image} not found")
        self._images[image] = self._clock()

    async def inspect_image(self, image: str) -> ImageFacts | None:
        return ImageFacts(id=image, names=(image,)) if image in self._images else None

    async def list_images(self) -> list[ImageFacts]:
        self._may_fail("list_images")
        return [ImageFacts(id=name, names=(name,), created_at=at) for name, at in self._images.items()]

    async def load_image(self, archive: bytes) -> None:
        self._may_fail("load_image")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            manifest = files.extractfile("manifest.json")
            for each in json.load(manifest) if manifest is not None else ():
                self._images |= dict.fromkeys(each["RepoTags"], self._clock())

    async def remove_image(self, image: str) -> None:
        self._may_fail("remove_image")
        self._images.pop(image, None)

    async def create_volume(self, arguments: VolumeArguments) -> None:
        self._may_fail("create_volume")
        self._volumes.setdefault(arguments.name, arguments)

    async def has_volume(self, name: str) -> bool:
        return name in self._volumes

    async def remove_volume(self, name: str) -> None:
        self._volumes.pop(name, None)

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        self._may_fail("describe")
        found = self._get(container)
        if found is None:
            return None
        return {
            "Id": found.id,
            "Name": f"/{found.name}",
            "Config": {"Labels": dict(found.labels), "Env": [f"{k}={v}" for k, v in found.environment.items()]},
            "State": {"Status": found.status},
        }

    async def stats(self, container: str) -> Mapping[str, Any] | None:
        self._may_fail("stats")
        found = self._get(container)
        if found is None or found.started_at is None or found.status != "running":
            return None
        lived = self._clock() - found.started_at
        read = datetime.fromtimestamp(self._clock(), UTC).replace(tzinfo=None)
        return {
            "id": found.id,
            "name": f"/{found.name}",
            "read": f"{read.isoformat(timespec='microseconds')}Z",
            "cpu_stats": {"cpu_usage": {"total_usage": int(lived * 1e9 / 10)}, "online_cpus": self._cpus},
            "memory_stats": {"usage": SIMULATED_MEMORY, "limit": self._memory * SIMULATED_MEMORY, "stats": {}},
            "networks": {"eth0": {"rx_bytes": int(lived * 1000), "tx_bytes": int(lived * 100)}},
        }

    # The engine

    async def facts(self) -> EngineFacts:
        return EngineFacts(
            version="20.10.24",
            api_version="1.41",
            cpus=self._cpus,
            memory=self._memory,
            log_drivers=("json-file", "none"),
            volume_plugins=("local",),
            bridge_address=self.bridge_address,
        )

    async def ping(self) -> None:
        self._may_fail("ping")

    def watch(self, labels: Mapping[str, str], sink: Sink) -> None:
        self._labels, self._sink = dict(labels), sink
        self._tell(Connected())

    async def close(self) -> None:
        self._sink = None

    # What containers do

    def _get(self, container: str) -> _Container | None:
        found = self._containers.get(container)
        if found is None:
            found = next((each for each in self._containers.values() if each.name == container), None)
        return found

    def _live(self, container: _Container) -> None:
        loop, says = asyncio.get_running_loop(), container.environment
        for line in filter(None, says.get("SIMULATED_PRINTS", "").split("|")):
            self.print(container.id, f"{line}\n".encode())
        seconds = says.get("SIMULATED_RUN_SECONDS")
        if seconds is not None:
            code = int(says.get("SIMULATED_EXIT_CODE", 0))
            container.timers.append(loop.call_later(float(seconds), self._exit, container, code))
        health, _, delay = says.get("SIMULATED_HEALTH", "").partition(":")
        if health in _HEALTH:
            container.timers.append(loop.call_later(float(delay or 0), self._set_health, container, _HEALTH[health]))

    def _set_health(self, container: _Container, health: Health) -> None:
        container.health = health
        self._happen("health", container)

    def _exit(self, container: _Container, exit_code: int, *, out_of_memory: bool = False) -> None:
        if container.status != "running":
            return
        for timer in container.timers:
            timer.cancel()
        container.timers.clear()
        container.status, container.exit_code, container.finished_at = "exited", exit_code, self._clock()
        container.out_of_memory = out_of_memory
        container.changed.set()
        if out_of_memory:
            self._happen("oom", container)
        self._happen("die", container)

    def _happen(self, what: str, container: _Container) -> None:
        if self._labels.items() <= container.labels.items():
            self._tell(
                Occurrence(
                    what=what,
                    id=container.id,
                    labels=container.labels,
                    at=self._clock() + EVENT_LAG,
                    exit_code=container.exit_code if what == "die" else None,
                    health=container.health,
                )
            )

    def _tell(self, what: Occurrence | Connected) -> None:
        if self._sink is not None:
            asyncio.get_running_loop().call_soon(self._sink, what)

    def _may_fail(self, call: str) -> None:
        waiting = self._failures.get(call)
        if waiting:
            raise waiting.pop(0)
