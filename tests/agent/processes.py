"""The agent as a real process, and a door to the engine that can be shut, for tests against Docker."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.agent.backend import Backend

DOCKER_SOCKET = "/var/run/docker.sock"


class AgentProcess:
    """One agent on a state folder; start it as often as you like."""

    def __init__(self, backend: Backend, folder: Path, instance_arn: str, **environment: str) -> None:
        self._backend = backend
        self._folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "ECS_BACKEND_HOST": backend.url,
            "ECS_CLUSTER": "c1",
            "ECS_EXTERNAL": "true",
            "ECS_DATADIR": str(folder),
            "ECS_CONTAINER_STOP_TIMEOUT": "1s",
            "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "ECS_LOGLEVEL": "warn",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWSORCH_INTROSPECTION_PORT": "0",
            "AWSORCH_TASK_ENDPOINT_PORT": "0",
            "AWSORCH_INSTANCE_CPU": "65536",
            **({"DOCKER_HOST": os.environ["DOCKER_HOST"]} if "DOCKER_HOST" in os.environ else {}),
            **environment,
        }
        backend.next_instance_arn = instance_arn
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def launch(self) -> None:
        """Start it, and do not wait for anything."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "awsorch.agent", env=self.environment
        )

    async def start(self) -> None:
        """Start it and wait until it is connected."""
        connections = len(self._backend.control_queries)
        await self.launch()
        await self._backend.connected(connections + 1)

    async def kill(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> int:
        """Stop it as an operator does; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self._process.wait()

    async def ended(self) -> int:
        assert self._process is not None
        return await self._process.wait()


class EngineDoor:
    """A socket in front of the engine's: it can hang, and it can be shut like a daemon that is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = f"unix://{path}"
        self.open = asyncio.Event()
        self.open.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "EngineDoor":
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._connect, str(self.path))

    async def shut(self) -> None:
        """Nobody listens, and all connections are cut."""
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)
        for writer in list(self._transports):
            writer.transport.abort()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        inner: asyncio.StreamWriter | None = None
        try:
            engine_reader, inner = await asyncio.open_unix_connection(_engine_socket())
            self._transports |= {writer, inner}
            await asyncio.wait(
                (
                    asyncio.ensure_future(self._copy(reader, inner)),
                    asyncio.ensure_future(self._copy(engine_reader, writer)),
                ),
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            pass  # shut
        finally:
            self._connections.discard(task)
            for each in (writer, inner):
                if each is not None:
                    self._transports.discard(each)
                    each.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass


def _engine_socket() -> str:
    return os.environ.get("DOCKER_HOST", f"unix://{DOCKER_SOCKET}").removeprefix("unix://")


Scenario = Callable[[Backend, AgentProcess], Awaitable[None]]


def play(folder: Path, instance_arn: str, scenario: Scenario, **environment: str) -> None:
    """Run a scenario with a back end and an agent process, which is killed at the end."""

    async def whole() -> None:
        async with Backend() as backend:
            agent = AgentProcess(backend, folder, instance_arn, **environment)
            try:
                await scenario(backend, agent)
            finally:
                await agent.kill()

    asyncio.run(whole())
