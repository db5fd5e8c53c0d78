"""An engine with resources in memory: what was done in which order, and knobs for what fails, takes long, or is cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awsorch.cfn.contract import (
    Action,
    CallRefused,
    Progress,
    Properties,
    Request,
    done,
    failed,
    same,
    waiting,
)
from awsorch.local.lambda_runner import FunctionFailed
from awsorch.local.stacks.change_sets import ChangeSets
from awsorch.local.stacks.custom import CustomResources
from awsorch.local.stacks.engine import StackEngine
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.macros import MacroResources, StackMacros
from awsorch.local.stacks.mailbox import Mailbox
from awsorch.local.stacks.nested import NestedStacks
from awsorch.local.stacks.operations import StackOperations
from awsorch.local.stacks.preparation import Preparation
from awsorch.local.stacks.provided import Provided
from awsorch.local.stacks.readings import Readings
from awsorch.local.stacks.schemas import Schemas
from awsorch.local.stacks.signals import WaitConditions
from awsorch.local.stacks.store import StackStore
from awsorch.local.stacks.surroundings import Surveyor

TYPE = "AWS::SQS::Queue"


@dataclass
class FakeCloud:
    """Implements Provider and AwsCalls. `QueueName` is the property that needs a replacement. `failing`: (action,
    logical id) that are refused; `stuck`: logical ids that never settle; `lost`: logical ids whose creation is carried
    out and whose caller is killed before it hears of it.
    """

    breaking: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """What fails from then on, by the step that brings it about."""
    there: dict[str, Properties] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    failing: set[tuple[str, str]] = field(default_factory=set)
    refused: list[Properties] = field(default_factory=list)
    """Models that nothing can have."""
    slow: set[str] = field(default_factory=set)
    """Logical ids that take a second."""
    stuck: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    parameters: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    operations: dict[str, Any] = field(default_factory=dict)
    published: list[dict[str, Any]] = field(default_factory=list)
    """Messages of SNS topics."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        changed = not same(previous.get("QueueName"), model.get("QueueName"))
        return frozenset({"QueueName"} if changed else ())

    async def step(self, request: Request) -> Progress:
        name = request.logical_id
        if not request.callback:
            self.did.append(f"{request.action.value} {name}")
        step = (request.action.value, name)
        if step in self.breaking:
            self.failing.add(self.breaking[step])
        if step in self.failing or (request.action is not Action.DELETE and request.model in self.refused):
            return failed(f"no {request.action.value.lower()} today", physical_id=request.physical_id)
        if request.action is Action.DELETE:
            self.there.pop(request.physical_id, None)
            return done(request.physical_id)
        id = request.physical_id or f"{name}-{request.token[:6]}"
        self.there[id] = request.model
        if name in self.lost:
            self.lost.discard(name)
            self.reached.set()
            await asyncio.Event().wait()
        if name in self.slow and not request.callback:
            return waiting(id, 1.0, settling=True)
        if name in self.stuck:
            self.reached.set()
            return waiting(id, 1.0, settling=True)
        return done(id, Arn=f"arn:{id}")

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        if service == "sns":
            self.published.append(json.loads(members["Message"]))
            return {"MessageId": "1"}
        if service == "s3":
            return {"Body": Body(self.objects[members["Key"]])}
        if service == "cloudformation":
            try:
                return await self.operations[operation](members)
            except StackRefused as error:
                said = error.error
                raise CallRefused(service=service, operation=operation, code=said.code, message=said.message) from None
        name = members["Name"]
        if name not in self.parameters:
            raise CallRefused(service=service, operation=operation, code="ParameterNotFound", message="")
        return {"Parameter": {"Value": self.parameters[name]}}

    def names(self) -> set[str]:
        """The logical ids of what is there."""
        return {id.partition("-")[0] for id in self.there}


@dataclass
class FakeFunctions:
    """Implements custom.Functions. `invoked`: (ARN, event); `failing`: why every invocation fails."""

    invoked: list[tuple[str, Any]] = field(default_factory=list)
    failing: str = ""

    async def invoke(self, arn: str, event: Any) -> Any:
        """A macro's function: it gives every queue a delay of 9."""
        self.invoked.append((arn, event))
        if self.failing:
            raise FunctionFailed(self.failing)
        for resource in event["fragment"]["Resources"].values():
            resource.setdefault("Properties", {})["DelaySeconds"] = 9
        return {"requestId": event["requestId"], "status": "success", "fragment": event["fragment"]}

    def begin(self, arn: str, event: Mapping[str, Any], failed: Callable[[str], None]) -> None:
        self.invoked.append((arn, event))
        if self.failing:
            failed(self.failing)


@dataclass
class Body:
    """An object's content as aiobotocore gives it."""

    text: str

    async def read(self) -> bytes:
        return self.text.encode()


class StackWorld:
    """The API over that cloud. `restart` is what a killed controller does."""

    def __init__(self, path: Path, cloud: FakeCloud | None = None) -> None:
        self.cloud = cloud or FakeCloud()
        self.functions = FakeFunctions()
        self._path = path / "stacks.db"
        self._open()

    def _open(self) -> None:
        clock = asyncio.get_running_loop().time
        self.store = StackStore(self._path)
        surveyor = Surveyor(self.store, self.cloud, "us-east-1", "123456789012")
        self.mailbox = Mailbox(self._path.with_name("letters.db"), clock)
        doors = ("http://door.bridge", "http://door.here")
        custom = CustomResources(self.cloud, self.mailbox, self.functions, clock, doors=doors)
        providers = Provided(
            (
                self.cloud,
                NestedStacks(self.cloud),
                custom,
                WaitConditions(self.mailbox, clock, doors[0]),
                MacroResources(self.store, Schemas()),
            )
        )
        self.engine = StackEngine(
            store=self.store,
            providers=providers,
            calls=self.cloud,
            surveyor=surveyor,
            mailbox=self.mailbox,
            clock=clock,
        )
        preparation = Preparation(self.cloud, Schemas(), providers, region="us-east-1", account_id="123456789012")
        preparation.macros = StackMacros(self.store, self.functions)
        self.stacks = StackOperations(self.engine, preparation, clock, 1e9)
        self.sets = ChangeSets(self.engine, self.stacks, preparation, clock)
        self.reads = Readings(self.engine, preparation)

    def nest(self, templates: Mapping[str, str]) -> None:
        """Let stacks be resources; these are the templates in S3."""
        self.cloud.objects = dict(templates)
        self.cloud.operations = {
            "ContinueUpdateRollback": self.stacks.continue_update_rollback,
            "CreateStack": self.stacks.create_stack,
            "DeleteStack": self.stacks.delete_stack,
            "DescribeStacks": self.reads.describe_stacks,
            "UpdateStack": self.stacks.update_stack,
        }

    async def restart(self) -> None:
        """End at once, and start again from what is written down."""
        await self.engine.close()
        self._shut()
        self._open()
        self.engine.start()

    async def create(self, resources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """CreateStack, and the stack when that has ended."""
        await self.stacks.create_stack(request(resources, **more))
        return await self.stack()

    async def update(self, resources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """UpdateStack, and the stack when that has ended."""
        await self.stacks.update_stack(request(resources, **more))
        return await self.stack()

    async def ended(self) -> dict[str, Any]:
        """The stack, when nothing is under way any more."""
        (stack,) = self.store.stacks()
        await self.engine.wait(stack.id, 1e9)
        return await self.stack()

    async def stack(self) -> dict[str, Any]:
        (stack,) = self.store.stacks()
        return dict((await self.reads.describe_stacks({"StackName": stack.id}))["Stacks"][0])

    async def events(self) -> list[tuple[str, str]]:
        """(logical id, status), oldest first."""
        (stack,) = self.store.stacks()
        events = self.store.events(stack.id)[::-1]
        return [(each.logical_id, each.status) for each in events if each.reason != "Resource creation Initiated"]

    def reasons(self) -> dict[str, str]:
        """Logical id to the last reason of a failure."""
        (stack,) = self.store.stacks()
        events = self.store.events(stack.id)[::-1]
        return {each.logical_id: each.reason for each in events if each.status.endswith("_FAILED")}

    async def close(self) -> None:
        await self.engine.close()
        self._shut()

    def _shut(self) -> None:
        self.store.close()
        self.mailbox.close()


def request(resources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A request with a template of these resources; `more` are sections of it, or members of the request."""
    members = {name: more.pop(name) for name in list(more) if name in _MEMBERS}
    return {"StackName": "shop", "TemplateBody": json.dumps({"Resources": resources, **more}), **members}


_MEMBERS = (
    "OnFailure",
    "DisableRollback",
    "Parameters",
    "Tags",
    "StackName",
    "ChangeSetName",
    "ChangeSetType",
    "TimeoutInMinutes",
    "StackPolicyBody",
    "StackPolicyDuringUpdateBody",
)


def queue(delay: Any = None, *, name: Any = None, **more: Any) -> dict[str, Any]:
    """A resource."""
    properties = {"DelaySeconds": delay, "QueueName": name}
    return {"Type": TYPE, "Properties": {key: each for key, each in properties.items() if each is not None}, **more}
