"""A worker in virtual time: a queue, a store, resources and answers in memory, with knobs for what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from awsorch.adapters.queue_reader import QueueReader
from awsorch.cfn.contract import Action, Progress, Properties, Request, done, failed, same, waiting
from awsorch.custom_resources.answers import NotTaken
from awsorch.custom_resources.intake import CustomResources, Intake
from awsorch.custom_resources.journal import PARTITION, Journal
from awsorch.custom_resources.messages import Trust
from awsorch.custom_resources.worker import CustomResourceWorker
from awsorch.store.memory import MemoryStore
from tests.support.fake_fleet import FakeFleet, FakeQueue
from tests.support.virtual_time import VirtualTimeLoop, run

TYPE = "AWS::ECS::Service"
ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:awsorch-cfn"
STACK = f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/shop/0a1b"
URL = "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/arn%3Aaws/x?Signature=a%2Fb"
QUEUE = "https://sqs/q"


@dataclass
class FakeResources:
    """Implements Provider. A resource takes `steps` steps; `Name` is the property that needs another one. `failing` are
    actions that are refused at their last step, with that code; `passing` is how many steps meet a fault that passes;
    `stuck` never settles."""

    there: dict[str, Properties] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    steps: int = 3
    failing: dict[str, str] = field(default_factory=dict)
    passing: int = 0
    stuck: bool = False
    retried: int = 0

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return frozenset() if same(previous.get("Name"), model.get("Name")) else frozenset({"Name"})

    async def step(self, request: Request) -> Progress:
        self.retried += request.retried
        await asyncio.sleep(0.1)
        if self.passing:
            self.passing -= 1
            return failed("not now", "Throttling", request.physical_id)
        id = request.physical_id or f"{request.model.get('Name', 'x')}-{request.token[:8]}"
        if request.action is Action.DELETE:
            self.there.pop(id, None)
        else:
            self.there[id] = request.model
        turn = int(request.callback.get("turn", 0)) + 1
        if self.stuck or turn < self.steps:
            return waiting(id, 0.5, turn=turn)
        self.did.append(f"{request.action.value} {id}")
        if request.action.value in self.failing:
            return failed("no more today", self.failing[request.action.value], id)
        return done(id, Arn=f"arn:{id}")


@dataclass
class FakeResponses:
    """Implements Responses. `refusals` are raised first; `answers` are what was taken."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[NotTaken] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def put(self, url: str, body: bytes) -> None:
        self.urls.append(url)
        await asyncio.sleep(0.1)
        if self.refusals:
            raise self.refusals.pop(0)
        async with self.came:
            self.answers.append(json.loads(body))
            self.came.notify_all()

    async def after(self, count: int) -> dict[str, Any]:
        """The last of so many answers, when they are there."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.answers) >= count)
        return self.answers[count - 1]


class World:
    """One controller's worker after the other, on the same store and queue."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.store = MemoryStore()
        self.aws = FakeFleet()
        self.queue = self.aws.queues[QUEUE] = FakeQueue()
        self.resources = FakeResources()
        self.responses = FakeResponses()
        self.journal = Journal(self.store)
        self.roles: tuple[str, ...] = ()
        self._running: CustomResources | None = None

    async def start(self) -> None:
        """A controller starts."""
        lease = await self.store.take_lease(PARTITION, "controller", "", self.loop.clock(), 1e9)
        self.journal = Journal(self.store)
        await self.journal.open(lease.epoch)
        worker = CustomResourceWorker(self.journal, self.resources, self.responses, self.loop.clock, self.roles)
        intake = Intake(Trust(topic=TOPIC, hosts=frozenset({"door:4566"})), worker, self.loop.clock)
        self._running = CustomResources(worker, QueueReader(self.aws, QUEUE, "custom resources", intake.take))
        self._running.start()

    async def kill(self) -> None:
        """It ends at once: nothing is written any more."""
        assert self._running is not None
        await self._running.close()

    def send(self, kind: str, model: Mapping[str, Any], id: str, **more: Any) -> None:
        """CloudFormation asks; `id` is the request's, `at` when it was sent, `outer` members of the envelope."""
        at, outer = more.pop("at", self.loop.clock()), more.pop("outer", {})
        stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        envelope = {"Type": "Notification", "TopicArn": TOPIC, "Timestamp": stamp}
        envelope["Message"] = json.dumps(an_event(kind, model, id, **more))
        self.queue.send(json.dumps(envelope | outer))


def an_event(kind: str, model: Mapping[str, Any], id: str, **more: Any) -> dict[str, Any]:
    """A request as CloudFormation writes it; `previous` is the old model."""
    previous = more.pop("previous", {})
    event = {
        "RequestType": kind,
        "ServiceToken": TOPIC,
        "ResponseURL": URL,
        "StackId": STACK,
        "RequestId": id,
        "LogicalResourceId": "Web",
        "ResourceType": "Custom::AwsorchEcsService",
        "ResourceProperties": {"ServiceToken": TOPIC, "AwsorchType": TYPE, "Model": model},
    }
    if kind == "Update":
        event["OldResourceProperties"] = {"ServiceToken": TOPIC, "AwsorchType": TYPE, "Model": previous}
    return event | more


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    """A scene with a controller that has started."""

    async def staged(loop: VirtualTimeLoop) -> None:
        world = World(loop)
        await world.start()
        try:
            await scene(world)
        finally:
            await world.kill()

    run(staged)
