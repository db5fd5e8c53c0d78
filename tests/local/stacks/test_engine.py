"""Operations on stacks: order, replacement, turning back, and carrying on after a kill; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from awsorch.local.stacks.errors import StackRefused
from tests.local.stacks.world import StackWorld, queue, request
from tests.support.virtual_time import VirtualTimeLoop, run

Scene = Callable[[StackWorld], Awaitable[None]]
CHAIN = {"A": queue(), "B": queue({"Ref": "A"}), "C": queue({"Fn::GetAtt": ["B", "Arn"]})}


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


def ids(world: StackWorld) -> dict[str, str]:
    (stack,) = world.store.stacks()
    return {name: each.physical_id for name, each in world.store.resources(stack.id).items()}


def test_resources_are_made_in_order_and_deleted_in_reverse(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        outputs = {"Url": {"Value": {"Ref": "C"}, "Export": {"Name": "url"}}}
        stack = await world.create(CHAIN, Outputs=outputs, Tags=[{"Key": "team", "Value": "a"}])
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert stack["Outputs"][0]["OutputValue"] == ids(world)["C"]
        assert stack["Tags"] == [{"Key": "team", "Value": "a"}]
        assert world.cloud.there[ids(world)["B"]]["DelaySeconds"] == ids(world)["A"]
        assert await world.events() == [
            ("shop", "CREATE_IN_PROGRESS"),
            *((name, status) for name in "ABC" for status in ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")),
            ("shop", "CREATE_COMPLETE"),
        ]
        await world.stacks.delete_stack({"StackName": "shop"})
        assert world.cloud.did[3:] == ["DELETE C", "DELETE B", "DELETE A"]
        assert world.cloud.there == {}
        assert (await world.stack())["StackStatus"] == "DELETE_COMPLETE"

    play(scene)


def test_what_does_not_need_each_other_is_made_at_once(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.slow = {"A", "B"}
        await world.create({"A": queue(), "B": queue(), "C": queue(DependsOn=["A", "B"])})
        assert [event for event in await world.events() if event[0] != "shop"][:2] == [
            ("A", "CREATE_IN_PROGRESS"),
            ("B", "CREATE_IN_PROGRESS"),
        ]

    play(scene)


def test_a_failing_resource_takes_everything_back_in_reverse_order(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.failing = {("CREATE", "C")}
        stack = await world.create(CHAIN)
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        assert world.cloud.did == ["CREATE A", "CREATE B", "CREATE C", "DELETE B", "DELETE A"]
        assert world.cloud.there == {}
        assert 'Resource handler returned message: "no create today" (RequestToken: ' in world.reasons()["C"]
        (stack_record,) = world.store.stacks()
        told = [each.reason for each in world.store.events(stack_record.id) if each.status == "ROLLBACK_IN_PROGRESS"]
        assert told == ["The following resource(s) failed to create: [C]. Rollback requested by user."]
        with pytest.raises(StackRefused, match="is in ROLLBACK_COMPLETE state and can not be updated"):
            await world.update(CHAIN)

    play(scene)


def test_what_is_under_way_is_given_up_when_another_fails(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.stuck = {"Slow"}
        world.cloud.failing = {("CREATE", "Bad")}
        await world.create({"Slow": queue(), "Bad": queue()})
        assert world.reasons()["Slow"] == "Resource creation cancelled"
        assert world.cloud.there == {}

    play(scene)


@pytest.mark.parametrize(
    ("on_failure", "status", "left"), [("DO_NOTHING", "CREATE_FAILED", {"A"}), ("DELETE", "DELETE_COMPLETE", set())]
)
def test_on_failure_says_what_becomes_of_it(
    play: Callable[[Scene], None], on_failure: str, status: str, left: set[str]
) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.failing = {("CREATE", "B")}
        stack = await world.create({"A": queue(), "B": queue({"Ref": "A"})}, OnFailure=on_failure)
        assert stack["StackStatus"] == status
        assert world.cloud.names() == left

    play(scene)


@pytest.mark.parametrize(("on_failure", "status"), [("ROLLBACK", "ROLLBACK_COMPLETE"), ("DO_NOTHING", "CREATE_FAILED")])
def test_a_creation_that_takes_longer_than_its_timeout_is_given_up(
    play: Callable[[Scene], None], on_failure: str, status: str
) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.stuck = {"B"}
        template = request({"A": queue(), "B": queue({"Ref": "A"})}, OnFailure=on_failure, TimeoutInMinutes=2)
        creating = asyncio.create_task(world.stacks.create_stack(template))
        await world.cloud.reached.wait()
        creating.cancel()
        await asyncio.sleep(90)
        await world.restart()
        before = asyncio.get_running_loop().time()
        stack = await world.ended()
        assert stack["StackStatus"] == status
        assert 25 < asyncio.get_running_loop().time() - before < 40, "the time before the restart counts"
        assert world.reasons()["B"] == "Resource creation cancelled"
        (record,) = world.store.stacks()
        told = [each.reason for each in world.store.events(record.id) if "timeout" in each.reason]
        assert told[0].startswith("Stack creation time exceeded the specified timeout. ")
        assert stack["TimeoutInMinutes"] == 2

    play(scene)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"OnFailure": "DELETE", "DisableRollback": True}, "either DisableRollback or OnFailure"),
        ({"OnFailure": "PANIC"}, "enum value set"),
        ({"TimeoutInMinutes": 0}, "greater than or equal to 1"),
    ],
)
def test_a_creation_says_how_it_ends_in_one_way(play: Callable[[Scene], None], members: Any, said: str) -> None:
    async def scene(world: StackWorld) -> None:
        with pytest.raises(StackRefused, match=said):
            await world.create({"A": queue()}, **members)
        assert not world.store.stacks()

    play(scene)


def test_an_update_changes_only_what_differs(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create({"A": queue(1), "B": queue(1), "Gone": queue(1)})
        world.cloud.did.clear()
        stack = await world.update({"A": queue("1"), "B": queue(2), "New": queue()})
        assert stack["StackStatus"] == "UPDATE_COMPLETE"
        assert sorted(world.cloud.did) == ["CREATE New", "DELETE Gone", "UPDATE B"]
        with pytest.raises(StackRefused, match=r"No updates are to be performed\."):
            await world.update({"A": queue("1"), "B": queue(2), "New": queue()})

    play(scene)


def test_outputs_alone_are_an_update(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create({"A": queue()}, Outputs={"Id": {"Value": {"Ref": "A"}}})
        with pytest.raises(StackRefused, match="No updates"):
            await world.update({"A": queue()}, Outputs={"Id": {"Value": {"Fn::Sub": "${A}"}}})
        stack = await world.update({"A": queue()}, Outputs={"Id": {"Value": "x"}})
        assert (stack["StackStatus"], stack["Outputs"][0]["OutputValue"]) == ("UPDATE_COMPLETE", "x")
        assert world.cloud.did == ["CREATE A"]

    play(scene)


def test_a_replacement_reaches_its_users_before_the_old_one_goes(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create({"A": queue(name="one"), "B": queue({"Ref": "A"})})
        old = ids(world)["A"]
        world.cloud.did.clear()
        await world.update({"A": queue(name="two"), "B": queue({"Ref": "A"})})
        assert world.cloud.did == ["CREATE A", "UPDATE B", "DELETE A"]
        assert old not in world.cloud.there
        assert world.cloud.there[ids(world)["B"]]["DelaySeconds"] == ids(world)["A"] != old

    play(scene)


def test_turning_back_returns_to_the_old_physical_resource(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        before = {"A": queue(name="one"), "B": queue({"Ref": "A"})}
        await world.create(before)
        old = ids(world)
        world.cloud.did.clear()
        world.cloud.failing = {("CREATE", "New")}
        after = {"A": queue(name="two"), "B": queue({"Ref": "A"}), "New": queue(DependsOn="B")}
        stack = await world.update(after)
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert world.cloud.did == ["CREATE A", "UPDATE B", "CREATE New", "UPDATE B", "DELETE A"]
        assert ids(world) == old
        assert world.cloud.there == {old["A"]: {"QueueName": "one"}, old["B"]: {"DelaySeconds": old["A"]}}
        with pytest.raises(StackRefused, match="No updates"):
            await world.update(before)

    play(scene)


def test_a_failing_way_back_is_continued(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create({"A": queue(1)})
        world.cloud.failing = {("CREATE", "New")}
        world.cloud.breaking = {("CREATE", "New"): ("UPDATE", "A")}
        changed = {"A": queue(2), "New": queue(DependsOn="A")}
        stack = await world.update(changed)
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
        assert stack["StackStatusReason"] == "The following resource(s) failed to update: [A]. "
        world.cloud.failing.clear()
        await world.stacks.continue_update_rollback({"StackName": "shop"})
        assert (await world.stack())["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert world.cloud.there == {ids(world)["A"]: {"DelaySeconds": 1}}

    play(scene)


def test_a_failing_deletion_is_said_and_tried_again(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create(CHAIN)
        world.cloud.failing = {("DELETE", "B")}
        await world.stacks.delete_stack({"StackName": "shop"})
        stack = await world.stack()
        assert (stack["StackStatus"], world.cloud.names()) == ("DELETE_FAILED", {"A", "B"})
        assert stack["StackStatusReason"] == "The following resource(s) failed to delete: [B]. "
        world.cloud.failing.clear()
        await world.stacks.delete_stack({"StackName": "shop"})
        assert world.cloud.there == {}

    play(scene)


def test_policies_keep_resources(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        kept = queue(name="one", DeletionPolicy="Retain", UpdateReplacePolicy="Retain")
        await world.create({"Kept": kept, "Gone": queue()})
        await world.update({"Kept": queue(name="two", DeletionPolicy="Retain"), "Gone": queue()})
        await world.stacks.delete_stack({"StackName": "shop"})
        assert sorted(model.get("QueueName", "") for model in world.cloud.there.values()) == ["one", "two"]
        assert ("Kept", "DELETE_SKIPPED") in await world.events()

    play(scene)


def test_an_update_is_cancelled(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create({"A": queue(1)})
        world.cloud.stuck = {"New"}
        change = request({"A": queue(2), "New": queue(DependsOn="A")}, ChangeSetName="c")
        await world.sets.create(change)
        world.stacks._hold = 1.0
        await world.sets.execute({"StackName": "shop", "ChangeSetName": "c"})
        await world.stacks.cancel_update_stack({"StackName": "shop"})
        assert (await world.ended())["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert list(world.cloud.there.values()) == [{"DelaySeconds": 1}]

    play(scene)


@pytest.mark.parametrize("where", ["lost", "stuck"])
def test_a_creation_is_carried_on_after_a_kill(play: Callable[[Scene], None], where: str) -> None:
    """The answer to one creation is lost, or one is waited for; nothing is made twice, nothing stays behind."""

    async def scene(world: StackWorld) -> None:
        getattr(world.cloud, where).add("B")
        world.stacks._hold = 0.0
        await world.create(CHAIN)
        await world.cloud.reached.wait()
        world.cloud.stuck.clear()
        await world.restart()
        stack = await world.ended()
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert len(world.cloud.there) == 3
        assert set(world.cloud.there) == set(ids(world).values())
        assert world.cloud.did.count("CREATE A") == 1

    play(scene)


def test_turning_back_is_carried_on_after_a_kill(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create({"A": queue(1), "B": queue(name="one")})
        old = ids(world)
        world.cloud.failing = {("CREATE", "New")}
        world.cloud.stuck = {"Slow"}
        world.stacks._hold = 0.0
        await world.update({"A": queue(2), "B": queue(name="two"), "Slow": queue(), "New": queue(DependsOn=["A", "B"])})
        await world.cloud.reached.wait()
        await world.restart()
        assert (await world.ended())["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert world.cloud.there == {old["A"]: {"DelaySeconds": 1}, old["B"]: {"QueueName": "one"}}

    play(scene)


def test_a_deletion_is_carried_on_after_a_kill(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        await world.create(CHAIN)
        world.stacks._hold = 0.0
        await world.stacks.delete_stack({"StackName": "shop"})
        await world.restart()
        assert (await world.ended())["StackStatus"] == "DELETE_COMPLETE"
        assert world.cloud.there == {}

    play(scene)


def test_what_never_settles_fails_after_three_hours(play: Callable[[Scene], None]) -> None:
    async def scene(world: StackWorld) -> None:
        world.cloud.stuck = {"A"}
        stack = await world.create({"A": queue()})
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        assert "Exceeded attempts to wait" in world.reasons()["A"]
        assert "HandlerErrorCode: NotStabilized" in world.reasons()["A"]

    play(scene)
