"""The gateway served for real in one event loop, with a controller over a memory store, and an agent's end to talk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from awsorch.core.arn import Scope
from awsorch.core.events import CreateCluster, NewTask, OpenGate, RegisterInstance, RunTasks, TaskTemplate
from awsorch.core.model import Resources, Task
from awsorch.core.resources import demand_of
from awsorch.engine.controller import Controller
from awsorch.engine.outbox import Outbox
from awsorch.gateway.admission import SignatureVerifier
from awsorch.gateway.server import Gateway
from awsorch.gateway.task_credentials import TaskCredentials
from awsorch.store.memory import MemoryStore
from awsorch.wire import acs, tcs
from tests.support.builders import a_definition

SCOPE = Scope(region="us-east-1", account="123456789012")
DEADLINE_S = 10.0


class Door:
    """A served gateway. `instance` is a registered container instance of the cluster "default"."""

    def __init__(
        self, store: MemoryStore, verifier: SignatureVerifier | None, credentials: TaskCredentials | None = None
    ) -> None:
        self.store = store
        outbox = Outbox()
        self.controller = Controller(store, outbox.send, time.time)
        self.gateway = Gateway(
            self.controller, scope=SCOPE, verifier=verifier, clock=time.time, credentials=credentials
        )
        outbox.connect(agents=self.gateway)
        self.url = ""
        self.client: aiohttp.ClientSession
        self._runner: web.AppRunner
        self._made = 0

    @property
    def partition(self) -> Any:
        return self.controller.clusters["default"]

    def task(self, task_id: str) -> Task:
        task: Task = self.partition.state.tasks[task_id]
        return task

    async def start(self) -> None:
        await self.controller.start()
        if "default" not in self.controller.clusters:
            await self.controller.registry.submit(
                CreateCluster(name="default", arn=SCOPE.cluster("default"), settings={})
            )
            await (await self.controller.open_cluster("default")).submit(OpenGate())
        await self.gateway.start()
        application = web.Application()
        application.router.add_get("/acs/ws", self.gateway.serve_acs)
        application.router.add_get("/tcs/ws", self.gateway.serve_tcs)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.client = aiohttp.ClientSession()

    async def stop(self) -> None:
        await self.client.close()
        await self.gateway.close()
        await self._runner.cleanup()
        await self.controller.stop()

    async def register(self) -> Any:
        self._made += 1
        instance_id = f"{self._made:032x}"
        return await self.partition.submit(
            RegisterInstance(
                instance_id=instance_id,
                arn=SCOPE.container_instance("default", instance_id),
                resources=Resources(cpu=4096, memory=8192),
                attributes={},
            )
        )

    async def run_task(self, **members: Any) -> Task:
        """Run one task of the "web" definition; members are the template's."""
        self._made += 1
        definition = members.pop("definition", a_definition(cpu=16, memory=16))
        template = TaskTemplate(
            definition=definition,
            demand=demand_of(definition.definition, {}),
            group="family:web",
            overrides={},
            **members,
        )
        containers = tuple(f"c{n}" for n, _ in enumerate(definition.definition["containerDefinitions"]))
        new = NewTask(id=f"{self._made:032x}", container_ids=containers)
        placed = await self.partition.submit(RunTasks(ids=(new,), template=template))
        assert placed.tasks, placed
        task: Task = placed.tasks[0]
        return task

    def acs_url(self, arn: str, **query: str) -> str:
        given = {"agentVersion": "1.105.1", "agentHash": "a8b3e7d3", "clusterArn": "default", "seqNum": "1"}
        given |= {"containerInstanceArn": arn, "dockerVersion": "DockerVersion: 20.10.24"} | query
        return f"{self.url}/acs/ws?{urlencode(given)}"

    def tcs_url(self, arn: str) -> str:
        return f"{self.url}/tcs/ws?{urlencode({'cluster': 'default', 'containerInstance': arn})}"

    @asynccontextmanager
    async def agent(self, arn: str, **query: str) -> AsyncIterator[Agent]:
        """A connected agent that has seen its first manifest."""
        async with self.client.ws_connect(self.acs_url(arn, **query)) as ws:
            agent = Agent(ws)
            agent.manifest = await agent.next(acs.TaskManifestMessage)
            yield agent


class Agent:
    """An agent's end of a control connection."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.manifest: acs.TaskManifestMessage = acs.TaskManifestMessage()

    async def next(self, kind: Any) -> Any:
        """The next message, which must be of this kind."""
        text = await asyncio.wait_for(self.ws.receive_str(), DEADLINE_S)
        message = acs.decode_acs(text)
        assert isinstance(message, kind), message
        return message

    async def say(self, message: acs.ACSMessage) -> None:
        await self.ws.send_str(acs.encode_acs(message))

    async def ack(self, message: Any) -> None:
        await self.say(
            acs.AckRequest(
                cluster=message.cluster_arn,
                container_instance=message.container_instance_arn,
                message_id=message.message_id,
            )
        )


async def publish(ws: aiohttp.ClientWebSocketResponse, message: tcs.TCSMessage) -> tcs.TCSMessage | None:
    """Send a publication as the official agent frames it; the answer."""
    await ws.send_str(tcs.encode_tcs(message, {"Host": "h", "X-Amz-Date": "20300101T000000Z"}))
    return tcs.decode_tcs(await asyncio.wait_for(ws.receive_str(), DEADLINE_S))


async def until(condition: Any) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  (any condition, not one that somebody signals)
            await asyncio.sleep(0)


@asynccontextmanager
async def served(
    store: MemoryStore | None = None,
    verifier: SignatureVerifier | None = None,
    credentials: TaskCredentials | None = None,
) -> AsyncIterator[Door]:
    """A served gateway, stopped at the end."""
    door = Door(store or MemoryStore(), verifier, credentials)
    await door.start()
    try:
        yield door
    finally:
        await door.stop()
