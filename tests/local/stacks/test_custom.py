"""Custom resources: what is sent, what answers do, and what becomes of none, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from awsorch.local.stacks.mailbox import PREFIX, NotTaken
from tests.local.stacks.world import StackWorld, queue, request
from tests.support.virtual_time import VirtualTimeLoop, run

Scene = Callable[[StackWorld], Awaitable[None]]
TOPIC = "arn:aws:sns:us-east-1:123456789012:makers"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:make"


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scene], None]:
    """Plays a scene in a fresh world."""

    def play(scene: Scene) -> None:
        async def whole(_: VirtualTimeLoop) -> None:
            world = StackWorld(tmp_path)
            try:
                await scene(world)
            finally:
                await world.close()

        run(whole)

    return play


def custom(token: str = TOPIC, **properties: Any) -> dict[str, Any]:
    return {"Type": "Custom::Thing", "Properties": {"ServiceToken": token, **properties}}


async def asked(world: StackWorld, count: int) -> dict[str, Any]:
    """The request number `count`, when it has come."""
    async with asyncio.timeout(1e6):
        while True:
            sent = [*world.cloud.published, *(event for _, event in world.functions.invoked)]
            if len(sent) >= count:
                return sent[count - 1]
            await asyncio.sleep(0.1)


def put(world: StackWorld, event: dict[str, Any], **answer: Any) -> None:
    """PUT an answer to a request's URL."""
    known = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    id = event.get("PhysicalResourceId", "thing-1")
    body = {"Status": "SUCCESS", "PhysicalResourceId": id, **known, **answer}
    put_raw(world, event, json.dumps(body).encode())


def put_raw(world: StackWorld, event: dict[str, Any], body: bytes) -> None:
    parts = urlsplit(event["ResponseURL"])
    world.mailbox.take(parts.path.removeprefix(PREFIX), parse_qs(parts.query)["Signature"][0], body)


async def created(world: StackWorld, resources: dict[str, Any], **answer: Any) -> dict[str, Any]:
    """A stack with one custom resource, whose answer is this."""
    making = asyncio.create_task(world.create(resources))
    put(world, await asked(world, 1), **answer)
    return await making


def test_it_is_made_changed_and_removed_by_whoever_listens(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        properties = {"Size": 3, "Deep": {"On": True, "List": [1, 2.5]}}
        reader = queue({"Fn::GetAtt": ["Thing", "Url"]}, name={"Ref": "Thing"})
        stack = await created(world, {"Thing": custom(**properties), "Reader": reader}, Data={"Url": "http://x"})
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        (made,) = world.cloud.there.values()
        assert made == {"DelaySeconds": "http://x", "QueueName": "thing-1"}
        event = world.cloud.published[0]
        assert event.pop("ResponseURL").startswith("http://door.bridge/awsorch/stacks/letters/answer-")
        told = {"ServiceToken": TOPIC, "Size": "3", "Deep": {"On": "true", "List": ["1", "2.5"]}}
        assert event == {
            "RequestType": "Create",
            "ServiceToken": TOPIC,
            "StackId": stack["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": "Thing",
            "ResourceType": "Custom::Thing",
            "ResourceProperties": told,
        }
        changing = asyncio.create_task(world.update({"Thing": custom(Size=4), "Reader": reader}))
        event = await asked(world, 2)
        assert (event["RequestType"], event["PhysicalResourceId"]) == ("Update", "thing-1")
        assert event["OldResourceProperties"] == told
        assert event["ResourceProperties"] == {"ServiceToken": TOPIC, "Size": "4"}
        put(world, event, Data={"Url": "http://y"})
        assert (await changing)["StackStatus"] == "UPDATE_COMPLETE"
        (made,) = world.cloud.there.values()
        assert made["DelaySeconds"] == "http://y"
        removing = asyncio.create_task(world.stacks.delete_stack({"StackName": "shop"}))
        event = await asked(world, 3)
        assert (event["RequestType"], event["PhysicalResourceId"]) == ("Delete", "thing-1")
        put(world, event)
        await removing
        assert (await world.stack())["StackStatus"] == "DELETE_COMPLETE"
        assert len({each["RequestId"] for each in world.cloud.published}) == 3

    play(scene)


def test_another_physical_id_replaces_and_the_old_one_is_deleted_at_last(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await created(world, {"Thing": custom(Size=1)})
        resources = {"Thing": custom(Size=2), "After": queue({"Ref": "Thing"})}
        changing = asyncio.create_task(world.update(resources))
        put(world, await asked(world, 2), PhysicalResourceId="thing-2")
        event = await asked(world, 3)
        assert world.cloud.did == ["CREATE After"], "the clean-up comes last"
        assert (event["RequestType"], event["PhysicalResourceId"]) == ("Delete", "thing-1")
        assert event["ResourceProperties"]["Size"] == "1"
        put(world, event)
        assert (await changing)["StackStatus"] == "UPDATE_COMPLETE"
        (stack,) = world.store.stacks()
        assert world.store.resources(stack.id)["Thing"].physical_id == "thing-2"
        assert world.store.retired(stack.id) == []

    play(scene)


def test_a_replacement_is_taken_back(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await created(world, {"Thing": custom(Size=1)})
        world.cloud.failing = {("CREATE", "After")}
        resources = {"Thing": custom(Size=2), "After": queue({"Ref": "Thing"})}
        changing = asyncio.create_task(world.update(resources))
        put(world, await asked(world, 2), PhysicalResourceId="thing-2")
        event = await asked(world, 3)
        assert (event["RequestType"], event["PhysicalResourceId"]) == ("Delete", "thing-2")
        put(world, event)
        assert (await changing)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        (stack,) = world.store.stacks()
        assert world.store.resources(stack.id)["Thing"].physical_id == "thing-1"

    play(scene)


def test_a_failure_says_why_and_is_asked_to_go(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = asyncio.create_task(world.create({"Thing": custom()}))
        event = await asked(world, 1)
        put(world, event, Status="FAILED", Reason="no room", PhysicalResourceId="half")
        gone = await asked(world, 2)
        assert (gone["RequestType"], gone["PhysicalResourceId"]) == ("Delete", "half")
        put(world, gone)
        assert (await making)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert world.reasons()["Thing"] == (
            "Received response status [FAILED] from custom resource. Message returned: no room "
            f"(RequestId: {event['RequestId']})"
        )

    play(scene)


def test_no_answer_in_time_fails(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        started = asyncio.get_running_loop().time()
        making = asyncio.create_task(world.create({"Thing": custom(ServiceTimeout="600")}))
        event = await asked(world, 2)
        assert 600 <= asyncio.get_running_loop().time() - started < 620
        assert event["RequestType"] == "Delete"
        assert event["PhysicalResourceId"].startswith("shop-Thing-"), "whatever was made is asked to go"
        put(world, event)
        assert (await making)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert "did not receive a response from your Custom Resource" in world.reasons()["Thing"]

    play(scene)


def test_what_is_waited_for_is_waited_for_after_a_restart(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = asyncio.create_task(world.stacks.create_stack(request({"Thing": custom()})))
        event = await asked(world, 1)
        await asyncio.sleep(5)
        making.cancel()
        await world.restart()
        await asyncio.sleep(5)
        put(world, event)
        assert (await world.ended())["StackStatus"] == "CREATE_COMPLETE"
        assert len(world.cloud.published) == 1, "what was published is not published again"

    play(scene)


def test_a_function_that_a_restart_has_ended_runs_again(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = asyncio.create_task(world.stacks.create_stack(request({"Thing": custom(FUNCTION)})))
        event = await asked(world, 1)
        assert event["ResponseURL"].startswith("http://door.here/")
        making.cancel()
        await asyncio.sleep(5)
        await world.restart()
        again = await asked(world, 2)
        assert again == event
        put(world, again)
        assert (await world.ended())["StackStatus"] == "CREATE_COMPLETE"
        assert len(world.functions.invoked) == 2

    play(scene)


def test_a_function_that_fails_fails_the_resource_at_once(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        world.functions.failing = "The function make failed: [KeyError] 'x'"
        stack = await world.create({"Thing": custom(FUNCTION)})
        assert stack["StackStatus"] == "ROLLBACK_FAILED"
        assert "Message returned: The function make failed: [KeyError] 'x'" in world.reasons()["Thing"]

    play(scene)


def test_answers_are_read_once_and_by_the_right_request_only(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = asyncio.create_task(world.create({"Thing": custom()}))
        event = await asked(world, 1)
        for member in ("RequestId", "StackId", "LogicalResourceId"):
            with pytest.raises(NotTaken, match=f"{member} is not that of the request"):
                put(world, event, **{member: "other"})
        with pytest.raises(NotTaken, match="signature"):
            put(world, {**event, "ResponseURL": event["ResponseURL"][:-1]})
        with pytest.raises(NotTaken, match="SUCCESS or FAILED"):
            put(world, event, Status="MAYBE")
        put(world, event, PhysicalResourceId="first")
        put(world, event, Status="FAILED", Reason="changed my mind")
        assert (await making)["StackStatus"] == "CREATE_COMPLETE"
        (stack,) = world.store.stacks()
        assert world.store.resources(stack.id)["Thing"].physical_id == "first"

    play(scene)


@pytest.mark.parametrize(
    ("body", "refused", "said"),
    [
        (b"{" + b" " * 4096, 413, "Response object is too long."),
        (b"no json", 400, "Response is not valid JSON"),
    ],
)
def test_an_answer_that_cant_be_read_fails_the_resource(
    play: Callable[[Scene], None], body: bytes, refused: int, said: str
) -> None:
    async def scene(world: StackWorld) -> None:
        making = asyncio.create_task(world.create({"Thing": custom()}, OnFailure="DO_NOTHING"))
        event = await asked(world, 1)
        with pytest.raises(NotTaken) as refusal:
            put_raw(world, event, body)
        assert refusal.value.status == refused
        assert (await making)["StackStatus"] == "CREATE_FAILED"
        assert said in world.reasons()["Thing"]

    play(scene)


def test_what_an_answer_hides_is_not_in_events(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        reader = queue({"Fn::Sub": "key=${Thing.Key}"})
        await created(world, {"Thing": custom(), "Reader": reader}, Data={"Key": 'se"cret'}, NoEcho=True)
        (stack,) = world.store.stacks()
        shown = [each.properties for each in world.store.events(stack.id) if each.logical_id == "Reader"]
        assert set(shown) == {'{"DelaySeconds": "key=****"}'}
        (made,) = world.cloud.there.values()
        assert made["DelaySeconds"] == 'key=se"cret'

    play(scene)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"token": "http://x"}, "must be the ARN of an SNS topic or a Lambda function, not 'http://x'"),
        ({"ServiceTimeout": 3601}, "must be an integer from 1 to 3600, not 3601"),
        ({"ServiceTimeout": "soon"}, "not soon"),
    ],
)
def test_what_cant_be_asked_is_said(play: Callable[[Scene], None], properties: Any, said: str) -> None:
    async def scene(world: StackWorld) -> None:
        stack = await world.create({"Thing": custom(**properties)})
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        assert said in world.reasons()["Thing"]
        assert world.cloud.published == []

    play(scene)
