"""Docker Engine behind the port, through the low-level client of the Docker SDK.

Calls run in small thread pools (starts and pulls must not hold up stops); everything that happens to containers
arrives on one event stream. Nothing is polled and nothing is inspected that an event has told already.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from docker import APIClient
from docker.errors import APIError, NotFound

from awsorch.agent.docker_errors import engine_errors, words
from awsorch.agent.docker_events import EventStream, label_filter
from awsorch.agent.docker_exec import MARK, DockerCommand, create_command
from awsorch.agent.docker_facts import NEVER, bridge_address, container_facts, one_sample
from awsorch.agent.docker_images import DockerImages
from awsorch.agent.docker_logs import LogReader
from awsorch.agent.engine import (
    CannotCreateContainerError,
    CannotCreateVolumeError,
    CannotInspectContainerError,
    CannotStartContainerError,
    CannotStopContainerError,
    ContainerFacts,
    CreateArguments,
    EngineError,
    EngineFacts,
    ImageFacts,
    Sink,
    VolumeArguments,
)
from awsorch.agent.settings import EngineSettings
from awsorch.agent.task_cgroup import claim_cgroup

T = TypeVar("T")

LOG = logging.getLogger(__name__)

STARTERS = 8
"""Creates and starts in flight: the engine is bound by CPU, more threads than this gain nothing."""
MEASURERS = 4
"""Statistics that are waited for: the engine takes up to a second for each."""
QUICK_TIMEOUT = 30.0
COMMANDS = 256
"""Threads for commands in containers: each that runs keeps one, and needs another for what is typed."""
HALF_MADE_PAUSE = 0.1
"""Between two looks at a container that a former life of the agent asked for, and that is being made. Seconds."""
MEBIBYTE = 1024 * 1024


class _Client(APIClient):
    """The SDK's client, with its time limit for pulls too: the SDK's own waits for ever for one that stalls."""

    def _set_request_timeout(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**kwargs, "timeout": kwargs.get("timeout") or self.timeout}


class DockerEngine:
    """One connection pool, four thread pools and one event stream for an instance's Docker Engine."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._images = DockerImages(settings)
        self._clients: dict[float | None, APIClient] = {}
        self._version = ""
        self._cgroup_parent = ""
        self._lock = threading.Lock()
        self._starters = ThreadPoolExecutor(STARTERS, thread_name_prefix="start")
        self._quick = ThreadPoolExecutor(2, thread_name_prefix="engine")
        self._measurers = ThreadPoolExecutor(MEASURERS, thread_name_prefix="stats")
        self._pullers = ThreadPoolExecutor(3, thread_name_prefix="pull")
        self._commands = ThreadPoolExecutor(COMMANDS, thread_name_prefix="exec")
        self._stream: EventStream | None = None
        self._log_reader = LogReader(settings.docker_host)

    # Containers

    async def create(self, arguments: CreateArguments) -> str:
        body = self._in_cgroup(self._images.for_engine(arguments.body))

        def call(client: APIClient) -> str:
            give_up_at = time.monotonic() + self._settings.create_timeout
            while True:
                try:
                    created = client.create_container_from_config(body, arguments.name)  # type: ignore[no-untyped-call]
                    return str(created["Id"])
                except APIError as error:
                    same = self._same_container(client, arguments) if error.status_code == 409 else ""
                    if same is None and time.monotonic() < give_up_at:
                        time.sleep(HALF_MADE_PAUSE)
                    elif same:
                        return same
                    else:
                        missing = error.status_code == 404 and "image" in str(error.explanation).lower()
                        raise CannotCreateContainerError(words(error), image_missing=missing) from error

        return await self._run(self._starters, self._settings.create_timeout, "created", call)

    def _in_cgroup(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the body says of the parent cgroup goes first."""
        ours = {"CgroupParent": self._cgroup_parent} if self._cgroup_parent else {}
        return {**body, "HostConfig": {**ours, **(body.get("HostConfig") or {})}}

    @staticmethod
    def _same_container(client: APIClient, arguments: CreateArguments) -> str | None:
        """The id of the container that holds the name, if an earlier try of ours made it; empty for another's. None:
        the engine has given the name away, but is still at making the container, or has just removed it."""
        try:
            found = client.inspect_container(arguments.name)
        except NotFound:
            return None
        is_ours = (arguments.body.get("Labels") or {}).items() <= (found["Config"]["Labels"] or {}).items()
        return str(found["Id"]) if is_ours else ""

    async def start(self, container: str) -> None:
        def call(client: APIClient) -> None:
            try:
                client.start(container)
            except APIError as error:
                raise CannotStartContainerError(words(error)) from error

        await self._run(self._starters, self._settings.start_timeout, "started", call)

    async def terminate(self, container: str) -> bool:
        def call(client: APIClient) -> bool:
            try:
                signal = client.inspect_container(container)["Config"].get("StopSignal") or "SIGTERM"
                client.kill(container, signal)
            except APIError as error:
                return self._not_running(error)
            return True

        return await self._run(self._quick, QUICK_TIMEOUT, "stopped", call)

    async def kill(self, container: str) -> bool:
        def call(client: APIClient) -> bool:
            try:
                client.kill(container, "SIGKILL")
            except APIError as error:
                return self._not_running(error)
            return True

        return await self._run(self._quick, QUICK_TIMEOUT, "stopped", call)

    @staticmethod
    def _not_running(error: APIError) -> bool:
        if error.status_code in (404, 409):
            return False
        raise CannotStopContainerError(words(error)) from error

    async def remove(self, container: str) -> None:
        def call(client: APIClient) -> None:
            try:
                client.remove_container(container, v=True, force=True)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise EngineError(words(error)) from error

        await self._run(self._quick, QUICK_TIMEOUT, "removed", call)

    async def find(self, labels: Mapping[str, str]) -> list[str]:
        def call(client: APIClient) -> list[str]:
            found = client.containers(all=True, filters={"label": label_filter(labels)})
            return [str(each["Id"]) for each in found]

        return await self._run(self._quick, QUICK_TIMEOUT, "listed", call)

    async def inspect(self, container: str) -> ContainerFacts | None:
        return await self._look_up(container, container_facts)

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        return await self._look_up(container, dict)

    async def _look_up(self, container: str, read: Callable[[Mapping[str, Any]], T]) -> T | None:
        def call(client: APIClient) -> T | None:
            try:
                return read(client.inspect_container(container))
            except NotFound:
                return None
            except APIError as error:
                raise CannotInspectContainerError(words(error)) from error

        return await self._run(self._quick, QUICK_TIMEOUT, "inspected", call)

    async def run_command(self, container: str, command: Sequence[str]) -> DockerCommand:
        mark = f"{MARK}={uuid.uuid4().hex}"

        def call(client: APIClient) -> str:
            try:
                return create_command(client, container, command, mark)
            except APIError as error:
                raise EngineError(words(error)) from error

        exec_id = await self._run(self._quick, QUICK_TIMEOUT, "run", call)
        running = DockerCommand(self._client(QUICK_TIMEOUT), self._commands, exec_id, mark, container)
        await running.start()
        return running

    def logs(self, container: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
        return self._log_reader.read(container, after)

    async def stats(self, container: str) -> Mapping[str, Any] | None:
        def call(client: APIClient) -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] = client.stats(container, stream=False, **one_sample(client))
            except NotFound:
                return None
            except APIError as error:
                raise EngineError(words(error)) from error
            return None if found["read"].startswith(NEVER) else found

        return await self._run(self._measurers, QUICK_TIMEOUT, "measured", call)

    # Images

    async def pull(self, image: str, credentials: Mapping[str, str] | None) -> None:
        def call(client: APIClient) -> None:
            self._images.pull(client, image, credentials)

        await self._run(self._pullers, self._settings.pull_inactivity_timeout, "pulled", call)

    async def inspect_image(self, image: str) -> ImageFacts | None:
        return await self._run(
            self._quick, QUICK_TIMEOUT, "inspected", lambda client: self._images.inspect(client, image)
        )

    async def list_images(self) -> list[ImageFacts]:
        return await self._run(self._quick, QUICK_TIMEOUT, "listed", self._images.listed)

    async def load_image(self, archive: bytes) -> None:
        def call(client: APIClient) -> None:
            self._images.load(client, archive)

        await self._run(self._starters, self._settings.create_timeout, "loaded", call)

    async def remove_image(self, image: str) -> None:
        await self._run(self._quick, QUICK_TIMEOUT, "removed", lambda client: self._images.remove(client, image))

    # Volumes

    async def create_volume(self, arguments: VolumeArguments) -> None:
        def call(client: APIClient) -> None:
            try:
                client.create_volume(
                    name=arguments.name,
                    driver=arguments.driver or None,
                    driver_opts=dict(arguments.options) or None,
                    labels=dict(arguments.labels) or None,
                )
            except APIError as error:
                raise CannotCreateVolumeError(words(error)) from error

        await self._run(self._starters, self._settings.create_timeout, "created", call)

    async def has_volume(self, name: str) -> bool:
        def call(client: APIClient) -> bool:
            try:
                client.inspect_volume(name)
            except NotFound:
                return False
            return True

        return await self._run(self._quick, QUICK_TIMEOUT, "inspected", call)

    async def remove_volume(self, name: str) -> None:
        def call(client: APIClient) -> None:
            try:
                client.remove_volume(name)
            except NotFound:
                pass
            except APIError as error:
                raise EngineError(words(error)) from error

        await self._run(self._quick, QUICK_TIMEOUT, "removed", call)

    # The engine

    async def facts(self) -> EngineFacts:
        def call(client: APIClient) -> EngineFacts:
            info = client.info()
            # Any other engine, a remote or rootless one, has cgroups that are not this machine's or not for us.
            self._cgroup_parent = self._settings.limits.parent
            if not self._cgroup_parent and self._settings.docker_host == EngineSettings().docker_host:
                self._cgroup_parent = claim_cgroup(info.get("CgroupDriver", ""), info["NCPU"])
            plugins = info.get("Plugins") or {}
            return EngineFacts(
                version=info["ServerVersion"],
                api_version=self._version,
                cpus=info["NCPU"],
                memory=info["MemTotal"] // MEBIBYTE,
                log_drivers=tuple(plugins.get("Log") or ()),
                volume_plugins=tuple(plugins.get("Volume") or ()),
                cgroup_driver=info.get("CgroupDriver", ""),
                cgroup_version=str(info.get("CgroupVersion", "1")),
                bridge_address=bridge_address(client),
                cgroup_parent=self._cgroup_parent,
            )

        return await self._run(self._quick, QUICK_TIMEOUT, "described", call)

    async def ping(self) -> None:
        await self._run(self._quick, QUICK_TIMEOUT, "reached", lambda client: client.ping())

    def watch(self, labels: Mapping[str, str], sink: Sink) -> None:
        self._stream = EventStream(lambda: self._client(None), labels, sink)
        self._stream.start()

    async def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        await self._log_reader.close()
        for pool in (self._starters, self._quick, self._measurers, self._pullers, self._commands):
            pool.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    async def _run(self, pool: ThreadPoolExecutor, timeout: float, state: str, call: Callable[[APIClient], T]) -> T:
        def work() -> T:
            with engine_errors(state, timeout):
                return call(self._client(timeout))

        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def _client(self, timeout: float | None) -> APIClient:
        """A client whose calls end after `timeout` seconds (the SDK has one limit for each client)."""
        with self._lock:
            client = self._clients.get(timeout)
            if client is None:
                client = self._clients[timeout] = _Client(
                    base_url=self._settings.docker_host,
                    version=self._version or "auto",
                    timeout=timeout,  # type: ignore[arg-type]  # None is what requests takes for no limit
                    max_pool_size=STARTERS,
                )
                # Proxies are not for a local socket, and requests would look for them again for every call.
                client.trust_env = not self._settings.docker_host.startswith("unix://")
                self._version = str(client.api_version)
            return client
