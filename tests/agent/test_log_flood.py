"""Containers that print without end, on the real Docker Engine: with awslogs, shipped by the agent and by the engine.

Nobody else is held up, and the agent stays small; a program waits for its lines, or loses some, as its mode says.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.tasks import a_task, stop
from tests.agent.test_docker_agent import shell
from tests.e2e.private_engine import PrivateEngine

pytestmark = pytest.mark.docker

LINES = 20_000
MESSAGE_LIMIT = 50
RESIDENT_LIMIT_MIB = 120
"""An agent at rest takes half of it."""
SLOW_SECONDS = 0.5
FLOOD = f"yes {'flood' * 12}"
ONE_LINE = "tr '\\0' x < /dev/zero"
NUMBERS = f"seq 1 {LINES}"


class Logs:
    """CloudWatch Logs, as far as streams are written: what came by stream, and streams that are slow to take more."""

    def __init__(self) -> None:
        self.messages: defaultdict[str, list[str]] = defaultdict(list)
        self.changed = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if request.headers["X-Amz-Target"].endswith(".PutLogEvents"):
            stream = asked["logStreamName"]
            if stream.startswith("slow"):
                await asyncio.sleep(SLOW_SECONDS)
            self.messages[stream] += [each["message"][:MESSAGE_LIMIT] for each in asked["logEvents"]]
            async with self.changed:
                self.changed.notify_all()
        return web.json_response({"nextSequenceToken": "1"})

    async def has(self, stream: str, last: str) -> list[str]:
        """All messages of a stream, once its last one is there."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: self.messages[stream][-1:] == [last])
        return self.messages[stream]


@asynccontextmanager
async def logs_at(listener: socket.socket) -> AsyncIterator[Logs]:
    logs = Logs()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/", logs.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield logs
    finally:
        await runner.cleanup()


def url_of(listener: socket.socket) -> str:
    return "http://{}:{}".format(*listener.getsockname())


def prints(image: str, script: str, stream: str, **options: str) -> acs.Task:
    config = {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream": stream, **options}
    return a_task(shell(image, script, host_config={"LogConfig": {"Type": "awslogs", "Config": config}}))


def resident_mib(agent: AgentProcess) -> float:
    status = Path(f"/proc/{agent.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


async def ended(backend: Backend, task: acs.Task) -> dict[str, Any]:
    report: dict[str, Any] = (await backend.reported(task.arn, "STOPPED"))["containers"][-1]
    return report


async def others_go_on(backend: Backend, logs: Logs, image: str) -> None:
    """While others flood, a task starts, prints and ends, and another stops when it shall."""
    server = a_task(shell(image, "trap 'exit 9' TERM; sleep 600 & wait"))
    job = prints(image, "echo one; echo two; exit 3", "quiet")
    await backend.send_tasks(job, server)
    await backend.reported(server.arn, "RUNNING")
    assert (await ended(backend, job))["exitCode"] == 3
    assert await logs.has("quiet", "two") == ["one", "two"]
    await backend.send_tasks(stop(server))
    assert (await ended(backend, server))["exitCode"] == 9


def test_floods_that_the_agent_ships(tmp_path: Path, image: str, instance_arn: str) -> None:
    """The engine keeps what the agent has not read yet, so no program waits, whatever its mode."""

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        agent.environment["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] = url_of(listener)
        async with logs_at(listener) as logs:
            await agent.start()
            floods = [
                prints(image, FLOOD, "slow-lines", mode="blocking"),
                prints(image, ONE_LINE, "slow-line", mode="non-blocking"),
            ]
            await backend.send_tasks(*floods)
            for task in floods:
                await backend.reported(task.arn, "RUNNING")
            numbers = prints(image, NUMBERS, "numbers")
            await backend.send_tasks(numbers)
            await others_go_on(backend, logs, image)
            assert (await ended(backend, numbers))["exitCode"] == 0
            assert await logs.has("numbers", str(LINES)) == [str(each) for each in range(1, LINES + 1)]
            await backend.send_tasks(*(stop(task) for task in floods))
            for task in floods:
                assert (await ended(backend, task))["exitCode"] == 137
            assert all(logs.messages[stream] for stream in ("slow-lines", "slow-line"))
            assert resident_mib(agent) < RESIDENT_LIMIT_MIB

    play(tmp_path, instance_arn, scenario, AWSORCH_AWSLOGS_BY_AGENT="true")


def test_floods_that_the_engine_ships(tmp_path: Path, instance_arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that may not lose a line waits; one that may not wait loses some; neither is in anybody's way."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")  # the engine's own
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    async def scenario(backend: Backend, agent: AgentProcess, engine: PrivateEngine) -> None:
        listener = engine.listener()
        agent.environment["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] = url_of(listener)
        async with logs_at(listener) as logs:
            await agent.start()
            waits = prints(engine.image, NUMBERS, "slow-blocking", mode="blocking")
            loses = prints(
                engine.image, NUMBERS, "slow-non-blocking", **{"mode": "non-blocking", "max-buffer-size": "16k"}
            )
            floods = prints(engine.image, FLOOD, "slow-lines")
            await backend.send_tasks(waits, loses, floods)
            await backend.reported(floods.arn, "RUNNING")
            await others_go_on(backend, logs, engine.image)
            for task in (waits, loses):
                assert (await ended(backend, task))["exitCode"] == 0
            assert await logs.has("slow-blocking", str(LINES)) == [str(each) for each in range(1, LINES + 1)]
            assert 0 < len(logs.messages["slow-non-blocking"]) < LINES
            await backend.send_tasks(stop(floods))
            assert (await ended(backend, floods))["exitCode"] == 137
            assert resident_mib(agent) < RESIDENT_LIMIT_MIB

    with PrivateEngine(live_restore=False) as engine:
        play(
            tmp_path,
            instance_arn,
            lambda backend, agent: scenario(backend, agent, engine),
            DOCKER_HOST=engine.host,
        )
