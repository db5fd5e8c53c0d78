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
from typing import Any, cast
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
        self._port = port
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
        async with session.post(f"http://127.0.0.1:{self._port}", data=body, headers=headers) as response:
            arn = (await response.json(content_type=None))["containerInstance"]["containerInstanceArn"]
        query = {"clusterArn": "default", "containerInstanceArn": arn, "agentVersion": "1.0.0", "seqNum": 1}
        loop = asyncio.get_running_loop()
        delay = 0.25
        while True:
            line = _Line(self, arn, f"/acs/ws?{urlencode(query)}")
            try:
                await loop.create_connection(lambda line=line: line, "127.0.0.1", self._port)
                if await line.upgraded:
                    connected.set()
                    delay = 0.25
                await line.lost
            except OSError:
                pass
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))
            delay = min(delay * 1.5, 2.0)


class _Line(asyncio.Protocol):
    """One control connection, by hand: a websocket library would cost the client more than all this costs the server.
    Frames to the server are masked with zeros, which changes nothing in them."""

    def __init__(self, agents: SinkAgents, arn: str, path: str) -> None:
        loop = asyncio.get_running_loop()
        self.upgraded: asyncio.Future[bool] = loop.create_future()
        self.lost: asyncio.Future[bool] = loop.create_future()
        self._is_up = False
        self._agents, self._arn, self._path = agents, arn, path
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._agents.connected -= self._is_up
        for waited_for in (self.upgraded, self.lost):
            if not waited_for.done():
                waited_for.set_result(False)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.upgraded.done():
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._received = rest
            self._is_up = head.startswith(b"HTTP/1.1 101")
            self._agents.connected += self._is_up
            self.upgraded.set_result(self._is_up)
        while (frame := self._take_frame()) is not None:
            opcode, payload = frame
            if opcode == 1:
                self._acknowledge(json.loads(payload))
            elif opcode == 8:
                self._transport.close()

    def _take_frame(self) -> tuple[int, bytes] | None:
        data = self._received
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(data) < at:
                return None
            size = int.from_bytes(data[2:at], "big")
        if len(data) < at + size:
            return None
        self._received = data[at + size :]
        return data[0] & 15, data[at : at + size]

    def _acknowledge(self, envelope: Any) -> None:
        message = envelope["message"]
        if envelope["type"] == "HeartbeatMessage":
            answer = {"type": "HeartbeatAckRequest", "message": {"messageId": message["messageId"]}}
        elif envelope["type"] in ("PayloadMessage", "TaskManifestMessage"):
            self._agents.received += len(message.get("tasks", ()))
            ids = {"cluster": "default", "containerInstance": self._arn, "messageId": message["messageId"]}
            answer = {"type": "AckRequest", "message": ids}
        else:
            return
        body = json.dumps(answer).encode()
        size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
        self._transport.write(b"\x81" + size + b"\0\0\0\0" + body)


def process_cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    members = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(members[11]) + int(members[12])) / os.sysconf("SC_CLK_TCK")


def process_memory(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
