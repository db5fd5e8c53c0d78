"""Wait conditions and signalled resources: what suffices, what never will, what a restart leaves; in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.mailbox import PREFIX, NotTaken
from awsorch.local.stacks.signals import CONDITION, GROUP, HANDLE, Wanted, heard, seconds_of, wanted_by
from tests.local.stacks.world import StackWorld, queue, request
from tests.support.virtual_time import VirtualTimeLoop, run

Scene = Callable[[StackWorld], Awaitable[None]]


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


def waits(**properties: Any) -> dict[str, Any]:
    """A handle and a condition that waits for it, and what needs the condition."""
    return {
        "Handle": {"Type": HANDLE},
        "Wait": {"Type": CONDITION, "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "600", **properties}},
        "After": queue({"Fn::GetAtt": ["Wait", "Data"]}),
    }


def signalled(count: Any = 1, **more: Any) -> dict[str, Any]:
    return queue(CreationPolicy={"ResourceSignal": {"Count": count, "Timeout": "PT10M"}, **more})


async def begun(world: StackWorld, resources: dict[str, Any], **more: Any) -> asyncio.Task[dict[str, Any]]:
    """The creation of a stack, on the way for five seconds."""
    making = asyncio.create_task(world.create(resources, **more))
    await asyncio.sleep(5)
    return making


def put(world: StackWorld, **signal: Any) -> None:
    """PUT a signal to the handle's URL."""
    put_raw(world, json.dumps({"Status": "SUCCESS", "UniqueId": "1", "Data": "d", "Reason": "r", **signal}).encode())


def put_raw(world: StackWorld, body: bytes) -> None:
    (stack,) = world.store.stacks()
    parts = urlsplit(world.store.resources(stack.id)["Handle"].physical_id)
    assert parts.netloc == "door.bridge"
    world.mailbox.take(parts.path.removeprefix(PREFIX), parse_qs(parts.query)["Signature"][0], body)


def test_a_condition_holds_when_its_handle_was_signalled_so_often(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = await begun(world, waits(Count=2))
        put(world)
        put(world, Data="again")
        await asyncio.sleep(60)
        assert not making.done(), "one who signals twice counts once"
        put(world, UniqueId="2", Data="e")
        assert (await making)["StackStatus"] == "CREATE_COMPLETE"
        (made,) = world.cloud.there.values()
        assert json.loads(made["DelaySeconds"]) == {"1": "d", "2": "e"}

    play(scene)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ({"Status": "FAILURE", "Reason": "no disk"}, "received failed message: 'no disk' for uniqueId: 1"),
        (None, "WaitCondition timed out. Received 0 conditions when expecting 1"),
    ],
)
def test_a_condition_fails(play: Callable[[Scene], None], signal: Any, said: str) -> None:
    async def scene(world: StackWorld) -> None:
        before = asyncio.get_running_loop().time()
        making = await begun(world, waits())
        if signal is not None:
            put(world, **signal)
        assert (await making)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert said in world.reasons()["Wait"]
        assert asyncio.get_running_loop().time() - before < 620

    play(scene)


def test_a_condition_may_wait_longer_than_anything_else(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = await begun(world, waits(Timeout=43200))
        await asyncio.sleep(40000)
        put(world)
        assert (await making)["StackStatus"] == "CREATE_COMPLETE"

    play(scene)


def test_signals_before_a_restart_count(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = await begun(world, {**waits(Count=2), "Ready": signalled(2)})
        put(world)
        await world.stacks.signal_resource(signal_of("Ready", "i-1"))
        making.cancel()
        await world.restart()
        await asyncio.sleep(30)
        put(world, UniqueId="2")
        await world.stacks.signal_resource(signal_of("Ready", "i-2"))
        assert (await world.ended())["StackStatus"] == "CREATE_COMPLETE"

    play(scene)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "an object whose Status"),
        (b"{", "not valid JSON"),
        (b'{"Status": "SUCCESS"}', "UniqueId"),
        (b" " * 4097, "at most 4096 bytes"),
    ],
)
def test_what_is_no_signal_is_refused(play: Callable[[Scene], None], body: bytes, said: str) -> None:
    async def scene(world: StackWorld) -> None:
        making = await begun(world, waits())
        with pytest.raises(NotTaken, match=said):
            put_raw(world, body)
        put(world)
        assert (await making)["StackStatus"] == "CREATE_COMPLETE"
        await world.stacks.delete_stack({"StackName": "shop"})

    play(scene)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"Handle": "http://x"}, "Handle must be the Ref of an AWS::CloudFormation::WaitConditionHandle"),
        ({"Count": 0}, "Count must be an integer of at least 1"),
        ({"Timeout": 43201}, "at most 43200, not 43201"),
    ],
)
def test_what_is_no_condition_is_said(play: Callable[[Scene], None], properties: Any, said: str) -> None:
    async def scene(world: StackWorld) -> None:
        assert (await world.create(waits(**properties)))["StackStatus"] == "ROLLBACK_COMPLETE"
        assert said in world.reasons()["Wait"]

    play(scene)


def signal_of(name: str, id: str, status: str = "SUCCESS") -> dict[str, Any]:
    return {"StackName": "shop", "LogicalResourceId": name, "UniqueId": id, "Status": status}


def test_a_resource_is_made_when_it_was_signalled(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        making = await begun(world, {"Ready": signalled(2), "Plain": queue(), "After": queue({"Ref": "Ready"})})
        signal = world.stacks.signal_resource
        await signal(signal_of("Ready", "i-1"))
        with pytest.raises(StackRefused, match="Signal with ID i-1 for resource Ready already exists"):
            await signal(signal_of("Ready", "i-1"))
        with pytest.raises(StackRefused, match="Resource Plain is in CREATE_COMPLETE state and cannot be signaled"):
            await signal(signal_of("Plain", "i-1"))
        with pytest.raises(StackRefused, match="Resource None does not exist for stack shop"):
            await signal(signal_of("None", "i-1"))
        with pytest.raises(StackRefused, match="Status must be SUCCESS or FAILURE"):
            await signal(signal_of("Ready", "i-2", "MAYBE"))
        assert world.cloud.names() == {"Ready", "Plain"}
        await signal(signal_of("Ready", "i-2"))
        assert (await making)["StackStatus"] == "CREATE_COMPLETE"
        (stack,) = world.store.stacks()
        told = [each.reason for each in world.store.events(stack.id) if "signal" in each.reason]
        assert told == [f"Received SUCCESS signal with UniqueId i-{number}" for number in (2, 1)]
        with pytest.raises(StackRefused, match="is in CREATE_COMPLETE state and cannot be signaled"):
            await signal(signal_of("Ready", "i-3"))

    play(scene)


@pytest.mark.parametrize("status", ["FAILURE", None])
def test_a_resource_that_is_not_signalled_well_fails_and_goes(
    play: Callable[[Scene], None], status: str | None
) -> None:
    async def scene(world: StackWorld) -> None:
        making = await begun(world, {"Ready": signalled(2)})
        await world.stacks.signal_resource(signal_of("Ready", "i-1"))
        if status is not None:
            await world.stacks.signal_resource(signal_of("Ready", "i-1", status))
        assert (await making)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert world.cloud.there == {}
        assert world.reasons()["Ready"] == (
            "Failed to receive 2 resource signal(s) within the specified duration"
            if status is None
            else "Received 1 FAILURE signal(s) out of 2. Unable to satisfy 2 minimum successful signal(s) requirement"
        )

    play(scene)


def test_what_nobody_waits_for_is_not_signalled(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.stuck = {"Plain"}
        making = asyncio.create_task(world.stacks.create_stack(request({"Plain": queue()})))
        await world.cloud.reached.wait()
        with pytest.raises(StackRefused, match="has no CreationPolicy"):
            await world.stacks.signal_resource(signal_of("Plain", "i-1"))
        making.cancel()

    play(scene)


SIGNALS = {"Count": 10, "Timeout": "PT1H"}


@pytest.mark.parametrize(
    ("policy", "model", "wanted"),
    [
        (None, {}, None),
        ({"ResourceSignal": {}}, {}, Wanted(count=1, seconds=300.0)),
        ({"ResourceSignal": {"Count": "3", "Timeout": "PT1M30S"}}, {}, Wanted(count=3, seconds=90.0)),
        (
            {"ResourceSignal": SIGNALS, "AutoScalingCreationPolicy": {"MinSuccessfulInstancesPercent": "75"}},
            {"DesiredCapacity": "4"},
            Wanted(count=8, seconds=3600.0, most_failed=2),
        ),
        (
            {"AutoScalingCreationPolicy": {"MinSuccessfulInstancesPercent": 50}},
            {"DesiredCapacity": "4"},
            Wanted(count=2, seconds=300.0, most_failed=2),
        ),
    ],
)
def test_what_a_policy_asks_for(policy: Any, model: Any, wanted: Wanted | None) -> None:
    body = {"Type": GROUP} | ({"CreationPolicy": policy} if policy is not None else {})
    assert wanted_by(body, model, lambda value: value) == wanted


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"StartFleet": True}, "CreationPolicy StartFleet is not supported"),
        ({"ResourceSignal": {"Timeout": "5 minutes"}}, "such as PT15M, not 5 minutes"),
        ({"ResourceSignal": {"Timeout": "P1D"}}, "at most PT12H"),
        ({"ResourceSignal": {"Count": -1}}, "Count must be an integer of at least 0"),
        ({"AutoScalingCreationPolicy": {"MinSuccessfulInstancesPercent": 101}}, "at most 100, not 101"),
    ],
)
def test_what_is_no_policy_is_said(policy: Any, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        wanted_by({"Type": GROUP, "CreationPolicy": policy}, {"DesiredCapacity": 1}, lambda value: value)


def test_some_may_fail_where_a_share_suffices() -> None:
    wanted = Wanted(count=3, seconds=60.0, most_failed=1)
    letters = {"a": {"Status": "FAILURE"}, "b": {"Status": "SUCCESS"}, "c": {"Status": "SUCCESS"}}
    assert heard(letters, wanted, 0.0) is None
    assert heard({**letters, "d": {"Status": "SUCCESS"}}, wanted, 99.0) == ""
    assert "Received 2 FAILURE signal(s) out of 4" in (heard({**letters, "d": {"Status": "FAILURE"}}, wanted, 0) or "")
    assert seconds_of("PT12H") == 43200.0
