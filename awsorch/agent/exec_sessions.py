"""Commands in containers: the agent comes for a session at the controller, runs the command, and carries what is said.

The command runs as root and with a terminal, as in ECS. When the session ends, so does what is left of the command.
Source: ECS developer guide, "Monitor Amazon ECS containers with ECS Exec".
"""

import asyncio
import logging
import shlex
from collections.abc import Mapping

import aiohttp

from awsorch.agent.api import ECS
from awsorch.agent.assignment import Assignment
from awsorch.agent.engine import Commands, EngineError, RunningCommand
from awsorch.agent.session import HANDSHAKE_TIMEOUT, HandshakeRefusedError
from awsorch.agent.states import Status
from awsorch.wire import acs
from awsorch.wire.errors import WireError
from awsorch.wire.exec_frames import Data, End, Size, Terminate, decode_said, encode_said

LOG = logging.getLogger(__name__)

MOST = 100
"""Sessions at once."""


class ExecSessions:
    """The sessions of one instance's containers."""

    def __init__(
        self, http: aiohttp.ClientSession, ecs: ECS, engine: Commands, tasks: Mapping[str, Assignment]
    ) -> None:
        self._http = http
        self._ecs = ecs
        self._engine = engine
        self._tasks = tasks
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, message: acs.AwsorchExecuteCommandMessage, base: str) -> None:
        """Come for a session; `base` is the URL of the controller that told of it."""
        if len(self._under_way) >= MOST:
            LOG.warning("session %s is not taken: there are %d", message.session_id, MOST)
            return
        task = asyncio.create_task(self._hold(message, base))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """End them all: the agent stops."""
        under_way = list(self._under_way)
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _hold(self, message: acs.AwsorchExecuteCommandMessage, base: str) -> None:
        url = base + message.path
        try:
            headers = await self._ecs.websocket_headers(url)
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                socket = await self._http.ws_connect(url, headers=headers, max_msg_size=1024 * 1024)
        except (aiohttp.ClientError, HandshakeRefusedError, TimeoutError, OSError) as error:
            LOG.warning("session %s cannot be come for: %s", message.session_id, error)
            return
        async with socket:
            end = await self._run(message, socket)
            if not socket.closed:
                await _send(socket, encode_said(end))

    async def _run(self, message: acs.AwsorchExecuteCommandMessage, socket: aiohttp.ClientWebSocketResponse) -> End:
        container = self._find(message.task_arn, message.container_name)
        if container is None:
            return End(None, f"The container {message.container_name} does not run here.\n")
        try:
            words = shlex.split(message.command)
        except ValueError as error:
            return End(None, f"The command can't be read: {error}.\n")
        if not words:
            return End(None, "The command names no program.\n")
        try:
            running = await self._engine.run_command(container, words)
        except EngineError as error:
            return End(None, f"{error.text}\n")
        LOG.info("session %s: a command runs in %s", message.session_id, container[:12])
        listening = asyncio.create_task(_listen(socket, running))
        try:
            async for printed in running.output():
                await _send(socket, encode_said(Data(printed)))
            return await _end_of(running)
        except EngineError as error:
            return End(None, f"{error.text}\n")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await asyncio.shield(running.end())

    def _find(self, task_arn: str, name: str) -> str | None:
        assignment = self._tasks.get(task_arn)
        state = assignment.state.containers.get(name) if assignment is not None else None
        return state.docker_id if state is not None and state.known is Status.RUNNING else None


async def _listen(socket: aiohttp.ClientWebSocketResponse, running: RunningCommand) -> None:
    """What the client types, until the session ends; then the command ends, too."""
    try:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            try:
                said = decode_said(message.data)
            except WireError:
                continue
            match said:
                case Data(data):
                    await running.type(data)
                case Size(columns, rows):
                    await running.resize(columns, rows)
                case Terminate():
                    break
    except EngineError as error:
        LOG.info("what was typed did not reach the command: %s", error)
    await running.end()


async def _end_of(running: RunningCommand) -> End:
    code = await running.exit_code()
    return End(code) if code is not None else End(None, "The command was ended.\n")


async def _send(socket: aiohttp.ClientWebSocketResponse, message: bytes) -> None:
    try:
        await socket.send_bytes(message)
    except (ConnectionError, aiohttp.ClientError, RuntimeError):
        return  # the client has gone: the listener ends the command
