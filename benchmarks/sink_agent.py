"""What several benchmarks need: processes that end with the run, and agents that take everything and do nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

TARGET = "AmazonEC2ContainerServiceV20141113."
#: So many agents register at a time.
BATCH = 200
CAPABILITIES = ("docker-remote-api.1.18", "docker-remote-api.1.21", "logging-driver.json-file")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, limit: float = 30.0) -> None:
    """Until somebody listens on it."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


@contextmanager
def running(command: list[str], env: Mapping[str, str] | None = None, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended at the end."""
    process = subprocess.Popen(command, env={**os.environ, **(env or {})}, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class SinkAgents:
    """Registers ``count`` container instances and keeps their control connections, acknowledging every payload."""

    def __init__(self, port: int, *, count: int, cpu: int = 2048, memory: int = 3900) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._count, self._cpu, self._memory = count, cpu, memory
        self.received = 0
        self.connected = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SinkAgents:
        self._thread.start()
        if not self._ready.wait(300):
            raise TimeoutError("the agents did not connect")
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._connect_all())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass

    async def _connect_all(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            connected = [asyncio.Event() for _ in range(self._count)]
            for first in range(0, self._count, BATCH):
                batch = connected[first : first + BATCH]
                for event in batch:
                    group.create_task(self._agent(session, event))
                for event in batch:
                    await event.wait()
            self._ready.set()

    async def _agent(self, session: aiohttp.ClientSession, connected: asyncio.Event) -> None:
        resources = [
            {"name": "CPU", "type": "INTEGER", "integerValue": self._cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": self._memory},
        ]
        attributes = [{"name": f"com.amazonaws.ecs.capability.{name}"} for name in CAPABILITIES]
        headers = {
            "X-Amz-Target": TARGET + "RegisterContainerInstance",
            "Content-Type": "application/x-amz-json-1.1",
        }
        body = json.dumps({"cluster": "default", "totalResources": resources, "attributes": attributes})
        async with session.post(self._url, data=body, headers=headers) as response:
            arn = (await response.json(content_type=None))["containerInstance"]["containerInstanceArn"]
        query = urlencode({"clusterArn": "default", "containerInstanceArn": arn, "agentVersion": "1.0.0", "seqNum": 1})
        delay = 0.25
        while True:
            try:
                url = f"{self._url}/acs/ws?{query}"
                async with session.ws_connect(url, compress=0, max_msg_size=0) as socket_:
                    self.connected += 1
                    connected.set()
                    delay = 0.25
                    try:
                        async for frame in socket_:
                            await self._acknowledge(socket_, json.loads(frame.data), arn)
                    finally:
                        self.connected -= 1
            except aiohttp.ClientError:
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                delay = min(delay * 1.5, 2.0)

    async def _acknowledge(self, socket_: Any, envelope: Any, arn: str) -> None:
        message = envelope["message"]
        if envelope["type"] == "HeartbeatMessage":
            answer = {"type": "HeartbeatAckRequest", "message": {"messageId": message["messageId"]}}
        elif envelope["type"] in ("PayloadMessage", "TaskManifestMessage"):
            self.received += len(message.get("tasks", ()))
            ids = {"cluster": "default", "containerInstance": arn, "messageId": message["messageId"]}
            answer = {"type": "AckRequest", "message": ids}
        else:
            return
        await socket_.send_str(json.dumps(answer))


def process_cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    members = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(members[11]) + int(members[12])) / os.sysconf("SC_CLK_TCK")


def process_memory(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
