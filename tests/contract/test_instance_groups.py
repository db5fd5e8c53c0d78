"""One suite for those who carry out what is decided of Auto Scaling groups: on the fake and on moto; and what they do
when calls fail, hang, or come too fast, on the fake in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from awsorch.adapters.aws import FIRST_PAUSE_S, AwsError
from awsorch.adapters.group_reader import HOOK, HOOK_LIFE_S, GroupReader
from awsorch.adapters.instance_groups import TAG, AutoScalingGroups
from awsorch.core.commands import EndMachines, HoldMachines, ProtectMachines, SetGroupSize, WatchGroup
from awsorch.core.events_capacity import GroupFailed, GroupSeen
from awsorch.engine.ports import AutoScalingGroup, CloudFailure
from tests.contract.fleets import FakeOutside, Outside, Posts, Recorder, run_with

THROTTLED = AwsError("Throttling", "Rate exceeded")
#: moto has no bounds for sizes, no activities, and no lifecycle actions.
IS_STRICT = pytest.mark.parametrize("fleet", ["fake"], indirect=True)
Make = Callable[[], Outside]


class Free:
    """Prices, all the same."""

    def price_of(self, instance_type: str, *, spot: bool) -> float:
        return 0.01 if spot else 0.04


@dataclass(slots=True)
class Stage:
    """The adapter, what is behind it, one group, and what was posted."""

    outside: Outside
    aws: Recorder
    adapter: AutoScalingGroups
    posts: Posts
    group: str = "none"

    def watch(self, *, hook: bool = False) -> None:
        self.adapter.watch_group("default", WatchGroup(provider="cp", group=self.group, hook=hook))

    def resize(self, size: int) -> None:
        self.adapter.set_group_size("default", SetGroupSize(provider="cp", group=self.group, size=size))

    def end(self, *machines: str) -> None:
        self.adapter.end_machines("default", EndMachines(provider="cp", group=self.group, machines=machines))

    def protect(self, *machines: str, protected: bool) -> None:
        command = ProtectMachines(provider="cp", group=self.group, machines=machines, protected=protected)
        self.adapter.protect_machines("default", command)

    def hold(self, *machines: str, release: bool) -> None:
        command = HoldMachines(provider="cp", group=self.group, machines=machines, release=release)
        self.adapter.hold_machines("default", command)

    async def seen(self, act: Callable[[], object]) -> GroupSeen:
        """What is seen after ``act``."""
        event = await self.posts.next(act)
        assert isinstance(event, GroupSeen), event
        return event

    async def grown(self, count: int) -> GroupSeen:
        """Once so many instances are in service."""
        found: GroupSeen = await self.posts.until(self.watch, lambda seen: in_service(seen) == count)
        return found


def in_service(seen: GroupSeen) -> int:
    return sum(machine.state == "InService" for machine in seen.machines)


def play(make: Make, scene: Callable[[Stage], Awaitable[None]], **group: int) -> None:
    async def staged(outside: Outside) -> None:
        aws, posts = Recorder(outside.calls), Posts()
        adapter = AutoScalingGroups(aws, posts.post, GroupReader(aws, Free()))
        await scene(Stage(outside, aws, adapter, posts, outside.make_group(**group)))
        await adapter.close()

    run_with(make, staged)


def test_a_group_is_seen_as_it_is(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        seen = await stage.grown(2)
        assert (seen.provider, seen.minimum, seen.maximum, seen.desired) == ("cp", 1, 4, 2)
        assert seen.zones == stage.outside.subnets()
        (offer,) = seen.offers
        assert (offer.instance_type, offer.cpu, offer.memory, offer.architecture) == (
            "t3.medium",
            2048,
            3883,
            "x86_64",
        )
        assert (offer.spot, offer.price) == (False, 0.04)
        assert {machine.instance_type for machine in seen.machines} == {"t3.medium"}
        assert {machine.zone for machine in seen.machines} <= set(seen.zones)
        assert seen.problem is None
        assert set(stage.posts.clusters) == {"default"}

    play(fleet, scene, minimum=1, maximum=4, desired=2)


def test_tag_and_hook_are_written_where_they_are_not_as_they_should_be(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        assert (await stage.seen(lambda: stage.watch(hook=True))).hooked
        assert TAG in stage.outside.tags_of_group(stage.group)
        stage.aws.operations.clear()
        assert (await stage.seen(lambda: stage.watch(hook=True))).hooked
        assert not {"create_or_update_tags", "put_lifecycle_hook"} & set(stage.aws.operations)
        assert not (await stage.seen(stage.watch)).hooked
        assert "delete_lifecycle_hook" in stage.aws.operations

    play(fleet, scene)


def test_a_group_grows_and_the_same_size_again_is_no_other(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(2):
            assert (await stage.seen(lambda: stage.resize(3))).desired == 3
        assert len((await stage.grown(3)).machines) == 3

    play(fleet, scene)


def test_what_is_ended_is_replaced_by_nothing_and_ended_once(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        victim, *others = sorted(machine.id for machine in (await stage.grown(3)).machines)
        for _ in range(2):
            seen = await stage.posts.until(
                lambda: stage.end(victim, "i-0123456789abcdef0"),
                lambda event: victim not in {machine.id for machine in event.machines},
            )
            assert seen.desired == 2
        assert sorted(machine.id for machine in seen.machines) == others

    play(fleet, scene, desired=3)


def test_a_group_at_its_minimum_loses_nothing(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        (only,) = (await stage.grown(1)).machines
        failed = await stage.posts.next(lambda: stage.end(only.id))
        assert isinstance(failed, GroupFailed)
        assert (failed.operation, failed.code, failed.refused) == ("EndMachines", "ValidationError", True)
        assert in_service(await stage.seen(stage.watch)) == 1

    play(fleet, scene, minimum=1, desired=1)


def test_protection_comes_and_goes(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        one, two = sorted(machine.id for machine in (await stage.grown(2)).machines)
        seen = await stage.seen(lambda: stage.protect(one, two, protected=True))
        assert all(machine.protected for machine in seen.machines)
        seen = await stage.seen(lambda: stage.protect(one, protected=False))
        assert {machine.id: machine.protected for machine in seen.machines} == {one: False, two: True}

    play(fleet, scene, desired=2)


def test_a_group_that_does_not_exist(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        found = await stage.adapter.find_group(stage.group)
        assert found == AutoScalingGroup(arn=found.arn if found else "", name=stage.group)
        assert found is not None
        assert await stage.adapter.find_group(found.arn) == found
        for name in ("none", found.arn.replace(stage.group, "none"), found.arn.replace("us-east-1", "us-east-9")):
            assert await stage.adapter.find_group(name) is None
        stage.group = "none"
        for act, operation in ((stage.watch, "WatchGroup"), (lambda: stage.resize(1), "SetGroupSize")):
            failed = await stage.posts.next(act)
            assert isinstance(failed, GroupFailed)
            assert (failed.operation, failed.code, failed.refused) == (operation, "ValidationError", True)
            assert failed.message

    play(fleet, scene)


@IS_STRICT
@pytest.mark.parametrize("size", [6, 0])
def test_a_size_beyond_the_bounds_is_refused(fleet: Make, size: int) -> None:
    async def scene(stage: Stage) -> None:
        failed = await stage.posts.next(lambda: stage.resize(size))
        assert isinstance(failed, GroupFailed)
        assert (failed.operation, failed.refused) == ("SetGroupSize", True)
        assert f"New SetDesiredCapacity value {size} is" in failed.message
        assert (await stage.seen(stage.watch)).desired == 1

    play(fleet, scene, minimum=1, desired=1)


@IS_STRICT
def test_a_launch_that_fails_is_a_problem_until_one_works(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        ec2 = fake(stage).ec2
        ec2.none_left = {("t3.medium", zone) for zone in ec2.subnets}
        stage.resize(1)
        failed = await stage.posts.until(stage.watch, lambda event: event.problem is not None)
        assert failed.problem.code == "InsufficientInstanceCapacity"
        assert "sufficient t3.medium capacity" in failed.problem.message
        again = await stage.seen(stage.watch)
        assert again.problem == failed.problem
        ec2.none_left.clear()
        assert (await stage.grown(1)).problem is None

    play(fleet, scene)


@IS_STRICT
def test_what_failed_before_nothing_was_missing_is_no_problem_any_more(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        ec2 = fake(stage).ec2
        ec2.none_left = {("t3.medium", zone) for zone in ec2.subnets}
        stage.resize(1)
        await stage.posts.until(stage.watch, lambda event: event.problem is not None)
        await stage.seen(lambda: stage.resize(0))
        await asyncio.sleep(60)
        assert (await stage.seen(lambda: stage.resize(1))).problem is None
        later = await stage.posts.until(stage.watch, lambda event: event.problem is not None)
        assert later.problem.code == "InsufficientInstanceCapacity"
        await stage.seen(lambda: stage.resize(0))
        anew = AutoScalingGroups(stage.aws, stage.posts.post, GroupReader(stage.aws, Free()))
        stage.adapter = anew
        await stage.seen(stage.watch)
        assert (await stage.seen(lambda: stage.resize(1))).problem is None
        await anew.close()

    play(fleet, scene)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more", "VcpuLimitExceeded"),
        ("Client.InternalError: Client error on launch", "Client.InternalError"),
        ("The image id '[ami-1]' does not exist. Launching EC2 instance failed.", "InvalidAMIID.NotFound"),
        ("You are not authorized to perform this operation. Encoded message: x", "UnauthorizedOperation"),
        ("Not enough (AddressLimitExceeded). Launching EC2 instance failed.", "AddressLimitExceeded"),
        ("Your requested instance type (t4g.nano) is not supported in your requested zone", "Unsupported"),
        ("There is no Spot capacity available that matches your request.", "InsufficientInstanceCapacity"),
        ("Something else.", "LaunchFailed"),
    ],
)
def test_what_activities_say_in_words_has_a_code(message: str, code: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.seen(stage.watch)
        group = fake(stage).scaling.groups[stage.group]
        launch = {"Description": "Launching a new EC2 instance"}
        group.activities += [
            {"ActivityId": "a-1", "StatusCode": "Failed", "StatusMessage": message, **launch},
            {"ActivityId": "a-2", "StatusCode": "Cancelled", **launch},
            {"ActivityId": "a-3", "StatusCode": "Successful", "Description": "Terminating EC2 instance: i-1"},
        ]
        seen = await stage.seen(lambda: stage.resize(1))
        assert seen.problem is not None
        assert (seen.problem.activity, seen.problem.code, seen.problem.message) == ("a-1", code, message)

    play(FakeOutside, scene)


@IS_STRICT
def test_what_waits_in_the_hook_waits_on_or_goes(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        (only,) = (await stage.grown(1)).machines
        await stage.seen(lambda: stage.watch(hook=True))
        seen = await stage.seen(lambda: stage.end(only.id))
        assert ([machine.state for machine in seen.machines], seen.desired) == (["Terminating:Wait"], 0)
        for _ in range(2):
            await asyncio.sleep(3000)
            await stage.seen(lambda: stage.hold(only.id, release=False))
        assert fake(stage).ec2.instances[only.id].is_up
        await stage.seen(lambda: stage.hold(only.id, release=True))
        await stage.seen(lambda: stage.hold(only.id, release=True))
        await asyncio.sleep(10)
        assert not (await stage.seen(stage.watch)).machines

    play(fleet, scene, desired=1)


@IS_STRICT
def test_several_types_in_the_order_of_preference(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        group = fake(stage).scaling.add("mixed", types=("m6g.large", "m5.xlarge"), spot=True)
        stage.group = group.arn
        seen = await stage.seen(stage.watch)
        assert [(o.instance_type, o.cpu, o.architecture, o.spot, o.price) for o in seen.offers] == [
            ("m6g.large", 2048, "arm64", True, 0.01),
            ("m5.xlarge", 4096, "x86_64", True, 0.01),
        ]

    play(fleet, scene)


# --- faults ----------------------------------------------------------------------------------------------------------


def fake(stage: Stage) -> Any:
    assert isinstance(stage.outside, FakeOutside)
    return stage.outside.fleet


def fails(operation: str, error: AwsError) -> Callable[[str], AwsError | None]:
    return lambda asked: error if asked == operation else None


def test_a_lost_answer_is_a_failure_and_the_same_again_is_harmless() -> None:
    async def scene(stage: Stage) -> None:
        await stage.grown(2)
        fake(stage).loses = lambda asked: asked in ("set_desired_capacity", "terminate_instance_in_auto_scaling_group")
        failed = await stage.posts.next(lambda: stage.resize(3))
        assert isinstance(failed, GroupFailed)
        assert (failed.operation, failed.code, failed.refused) == ("SetGroupSize", "ReadTimeoutError", False)
        one, two, _ = (machine.id for machine in (await stage.grown(3)).machines)
        for _ in range(2):
            await stage.posts.next(lambda: stage.end(one, two))
        fake(stage).loses = lambda asked: False
        seen = await stage.seen(lambda: stage.end(one, two))
        assert (seen.desired, in_service(seen)) == (1, 1)

    play(FakeOutside, scene, desired=2)


def test_newer_commands_of_a_kind_take_the_place_of_those_that_wait() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 1.0
        for size in (1, 2, 3, 4):
            stage.resize(size)
            await asyncio.sleep(0.1)
        await asyncio.sleep(60)
        sizes = [call["DesiredCapacity"] for call in fake(stage).called("set_desired_capacity")]
        assert sizes == [1, 4]
        assert len(stage.posts.events) == 1, "who waits behind another looks for both"

    play(FakeOutside, scene)


def test_groups_go_side_by_side() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 1.0
        loop = asyncio.get_running_loop()
        before = loop.time()
        for name in (stage.group, stage.outside.make_group(), stage.outside.make_group()):
            stage.group = name
            stage.resize(0)
        await stage.posts.after(1)
        took = loop.time() - before
        await stage.posts.after(3)
        assert loop.time() - before == took

    play(FakeOutside, scene)


def test_after_throttling_all_groups_wait() -> None:
    async def scene(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        fake(stage).fault = fails("set_desired_capacity", THROTTLED)
        failed = await stage.posts.next(lambda: stage.resize(1))
        assert isinstance(failed, GroupFailed)
        assert (failed.code, failed.refused) == ("Throttling", False)
        before = loop.time()
        stage.group = stage.outside.make_group()
        await stage.seen(stage.watch)
        assert loop.time() - before == pytest.approx(FIRST_PAUSE_S)

    play(FakeOutside, scene)


def test_a_group_that_is_busy_has_not_refused() -> None:
    async def scene(stage: Stage) -> None:
        busy = AwsError("ScalingActivityInProgress", "Scaling activity is in progress", refused=True)
        fake(stage).fault = fails("set_desired_capacity", busy)
        failed = await stage.posts.next(lambda: stage.resize(1))
        assert isinstance(failed, GroupFailed)
        assert (failed.code, failed.refused) == ("ScalingActivityInProgress", False)

    play(FakeOutside, scene)


@pytest.mark.parametrize("operation", ["create_or_update_tags", "put_lifecycle_hook", "describe_lifecycle_hooks"])
def test_a_group_that_may_not_be_written_to_is_seen_and_that_is_said_once(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> None:
        denied = AwsError("AccessDenied", "not authorized", refused=True)
        fake(stage).loses = lambda _: False
        fake(stage).fault = fails(operation, denied)
        first = await stage.seen(lambda: stage.watch(hook=True))
        again = await stage.seen(lambda: stage.watch(hook=True))
        assert first.hooked == again.hooked == (operation == "create_or_update_tags")
        assert caplog.text.count("AccessDenied: not authorized") == 1

    play(FakeOutside, scene)


def test_what_cannot_be_asked_for_is_not_said_to_be_missing() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).fault = fails("describe_auto_scaling_groups", AwsError("AccessDenied", "not authorized"))
        with pytest.raises(CloudFailure, match="AccessDenied: not authorized"):
            await stage.adapter.find_group(stage.group)

    play(FakeOutside, scene)


def test_a_hook_that_somebody_takes_away_is_put_back() -> None:
    async def scene(stage: Stage) -> None:
        group = fake(stage).scaling.groups[stage.group]
        assert (await stage.seen(lambda: stage.watch(hook=True))).hooked
        assert list(group.hooks) == [HOOK]
        group.hooks.clear()
        await asyncio.sleep(HOOK_LIFE_S)
        assert (await stage.seen(lambda: stage.watch(hook=True))).hooked
        assert list(group.hooks) == [HOOK]

    play(FakeOutside, scene)


@pytest.mark.parametrize("hook", [True, False])
def test_a_lost_answer_about_the_hook_keeps_nobody_from_seeing_the_group(hook: bool) -> None:
    async def scene(stage: Stage) -> None:
        await stage.seen(lambda: stage.watch(hook=not hook))
        fake(stage).loses = lambda asked: asked in ("put_lifecycle_hook", "delete_lifecycle_hook")
        assert isinstance(await stage.posts.next(lambda: stage.watch(hook=hook)), GroupFailed)
        assert (await stage.seen(lambda: stage.watch(hook=hook))).hooked == hook

    play(FakeOutside, scene)


def test_a_bug_ends_one_command_and_not_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        group = fake(stage).scaling.groups[stage.group]
        fake(stage).scaling.groups[stage.group] = None
        stage.watch()
        await asyncio.sleep(1)
        assert not stage.posts.events
        fake(stage).scaling.groups[stage.group] = group
        await stage.seen(stage.watch)

    with caplog.at_level(logging.ERROR):
        play(FakeOutside, scene)
    assert "a planner will ask again" in caplog.text


def test_closing_leaves_nothing_running() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).delay = lambda operation: 100.0
        stage.watch()
        await asyncio.sleep(1)
        await stage.adapter.close()
        assert len(asyncio.all_tasks()) == 1
        assert not stage.posts.events

    play(FakeOutside, scene)
