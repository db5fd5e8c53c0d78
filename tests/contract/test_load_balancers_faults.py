"""What those who call load balancers do when calls fail, hang, or come too fast: in virtual time, on the fake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from awsorch.adapters.alarms import CloudWatchAlarms
from awsorch.adapters.aws import FIRST_PAUSE_S, LONGEST_PAUSE_S, SLOTS, AwsError, Turns
from awsorch.adapters.load_balancers import BATCH, FACTS_LIFE_S, ElasticLoadBalancing
from awsorch.core.commands import SyncTargets, WatchAlarms
from awsorch.core.events import Event
from awsorch.core.events_services import TargetsFailed, TargetsSeen
from awsorch.engine.ports import LoadBalancerFailure
from tests.support.fake_aws import FakeAws, FakeGroup
from tests.support.virtual_time import VirtualTimeLoop, run

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1"
OTHER = GROUP.replace("web", "other")
THROTTLED = AwsError("Throttling", "Rate exceeded", refused=True)
DENIED = AwsError("AccessDenied", "not authorized to perform: elasticloadbalancing:RegisterTargets", refused=True)


@dataclass(slots=True)
class Stage:
    """The adapter, the fake behind it, and what was posted: (when, event)."""

    aws: FakeAws
    group: FakeGroup
    adapter: ElasticLoadBalancing
    posted: list[tuple[float, Event]] = field(default_factory=list)

    def sync(self, revision: int = 1, group: str = GROUP, **targets: Any) -> None:
        self.adapter.sync_targets("default", SyncTargets(group=group, revision=revision, **targets))

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.posted]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def play(scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def body(loop: VirtualTimeLoop) -> None:
        aws = FakeAws()
        group = aws.add_group(GROUP)
        aws.add_group(OTHER)
        stage = Stage(aws, group, None)  # type: ignore[arg-type]
        stage.adapter = ElasticLoadBalancing(aws, lambda _, event: stage.posted.append((loop.time(), event)))
        await scene(stage)
        await stage.adapter.close()

    run(body)


def targets(count: int) -> tuple[tuple[str, int], ...]:
    return tuple((f"i-{n:03d}", 8000) for n in range(count))


def fails(operation: str, error: AwsError) -> Callable[[str], AwsError | None]:
    return lambda asked: error if asked == operation else None


def test_commands_of_one_group_follow_each_other_and_the_newest_waits() -> None:
    async def scene(stage: Stage) -> None:
        stage.aws.delay = lambda operation: 1.0
        for revision in range(1, 6):
            stage.sync(revision, register=targets(revision))
            await asyncio.sleep(0.1)
        await asyncio.sleep(60)
        assert [event.revision for event in stage.events if isinstance(event, TargetsSeen)] == [1, 5]
        assert len(stage.aws.called("register_targets")) == 2
        assert stage.group.registered == set(targets(5))

    play(scene)


def test_groups_go_side_by_side_but_not_all_at_once() -> None:
    async def scene(stage: Stage) -> None:
        stage.aws.delay = lambda operation: 1.0
        names = [GROUP.replace("web", f"web-{n}") for n in range(3 * SLOTS)]
        for name in names:
            stage.aws.add_group(name)
            stage.sync(group=name)
        await asyncio.sleep(60)
        times = [at for at, _ in stage.posted]
        assert times == [1.0] * SLOTS + [2.0] * SLOTS + [3.0] * SLOTS

    play(scene)


def test_many_targets_go_in_batches() -> None:
    async def scene(stage: Stage) -> None:
        stage.sync(register=targets(250))
        await asyncio.sleep(1)
        assert sorted(len(call["Targets"]) for call in stage.aws.called("register_targets")) == [50, BATCH, BATCH]
        assert stage.group.registered == set(targets(250))

    play(scene)


def test_after_a_refusal_everyone_waits_longer_each_time_until_there_is_an_answer() -> None:
    async def scene(stage: Stage) -> None:
        stage.aws.fault = lambda operation: THROTTLED
        for _ in range(8):
            stage.sync(register=targets(1))
            await asyncio.sleep(2 * LONGEST_PAUSE_S)
        failed = stage.events[0]
        assert isinstance(failed, TargetsFailed)
        assert (failed.action, failed.code, failed.throttled, failed.gone) == ("register", "Throttling", True, False)
        stage.posted.clear()
        start = asyncio.get_running_loop().time()
        stage.sync(register=targets(1))
        await asyncio.sleep(0.1)
        stage.sync(register=targets(1), group=OTHER)
        stage.aws.fault = lambda operation: None
        await asyncio.sleep(60)
        assert [round(at - start, 3) for at, _ in stage.posted] == [0.0, LONGEST_PAUSE_S]
        assert stage.kinds() == ["TargetsFailed", "TargetsSeen"]

    play(scene)


def test_the_first_pause_is_short_and_ends_with_an_answer() -> None:
    async def body(loop: VirtualTimeLoop) -> None:
        turns = Turns()
        pauses = []
        for outcome in (THROTTLED, THROTTLED, None, None, THROTTLED):
            before = loop.time()
            try:
                async with turns.one():
                    pauses.append(loop.time() - before)
                    if outcome is not None:
                        raise outcome
            except AwsError:
                continue
        assert pauses == [0.0, FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 0.0, 0.0]

    run(body)


def test_a_bad_target_keeps_no_other_out_and_is_named() -> None:
    async def scene(stage: Stage) -> None:
        stage.aws.bad_targets = {"i-007"}
        stage.group.register([("i-900", 80)], 0.0)
        stage.sync(register=targets(40), deregister=(("i-900", 80),))
        await asyncio.sleep(1)
        seen, failed = stage.events
        good = set(targets(40)) - {("i-007", 8000)}
        assert stage.group.registered == good
        assert isinstance(seen, TargetsSeen)
        assert (seen.registered, seen.deregistered) == (good, {("i-900", 80)})
        assert isinstance(failed, TargetsFailed)
        assert (failed.action, failed.code, failed.gone, failed.throttled) == (
            "register",
            "InvalidTarget",
            False,
            False,
        )
        assert "'i-007'" in failed.message

    play(scene)


def test_what_may_not_be_registered_does_not_keep_others_from_leaving() -> None:
    async def scene(stage: Stage) -> None:
        stage.group.register(targets(1), 0.0)
        stage.aws.fault = fails("register_targets", DENIED)
        stage.sync(register=targets(2)[1:], deregister=targets(1))
        await asyncio.sleep(1)
        seen, failed = stage.events
        assert isinstance(seen, TargetsSeen)
        assert (seen.registered, seen.deregistered) == (set(), set(targets(1)))
        assert isinstance(failed, TargetsFailed)
        assert failed.message == DENIED.message
        assert len(stage.aws.called("register_targets")) == 1, "a refusal for all is not asked again one by one"

    play(scene)


@pytest.mark.parametrize(
    ("operation", "action"),
    [("register_targets", "register"), ("deregister_targets", "deregister"), ("describe_target_health", "describe")],
)
def test_a_lost_answer_is_a_failure_and_the_same_again_is_harmless(operation: str, action: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.group.register(targets(1), 0.0)
        stage.aws.loses = lambda asked: asked == operation
        command = {"register": targets(3)[1:], "deregister": targets(1)}
        stage.sync(**command)
        await asyncio.sleep(1)
        (failed,) = stage.events
        assert isinstance(failed, TargetsFailed)
        assert (failed.action, failed.code, failed.gone) == (action, "ReadTimeoutError", False)
        stage.aws.loses = lambda asked: False
        stage.sync(**command)
        await asyncio.sleep(1)
        seen = stage.events[-1]
        assert isinstance(seen, TargetsSeen)
        states = {target.target_id: target.state for target in seen.targets}
        assert states == {"i-000": "draining", "i-001": "initial", "i-002": "initial"}

    play(scene)


def test_a_group_that_vanishes_half_way_is_gone() -> None:
    async def scene(stage: Stage) -> None:
        stage.aws.delay = lambda operation: 1.0
        stage.sync(register=targets(1))
        await asyncio.sleep(1.2)
        del stage.aws.groups[GROUP]
        await asyncio.sleep(5)
        (failed,) = stage.events
        assert isinstance(failed, TargetsFailed)
        assert (failed.action, failed.gone) == ("describe", True)

    play(scene)


def test_a_bug_ends_one_command_and_not_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        describe, stage.aws._describe_target_health = stage.aws._describe_target_health, None  # type: ignore
        stage.sync()
        await asyncio.sleep(1)
        assert not stage.posted
        stage.aws._describe_target_health = describe  # type: ignore[method-assign]
        stage.sync()
        await asyncio.sleep(1)
        assert stage.kinds() == ["TargetsSeen"]

    with caplog.at_level(logging.ERROR):
        play(scene)
    assert "a planner will ask again" in caplog.text


def test_closing_leaves_nothing_running() -> None:
    async def scene(stage: Stage) -> None:
        stage.aws.delay = lambda operation: 100.0
        stage.sync(register=targets(1))
        stage.sync(group=OTHER)
        await asyncio.sleep(1)
        await stage.adapter.close()
        assert len(asyncio.all_tasks()) == 1
        assert not stage.posted

    play(scene)


def test_facts_are_asked_for_again_after_a_few_seconds() -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(3):
            found = await stage.adapter.describe_groups([GROUP, OTHER])
            assert set(found) == {GROUP, OTHER}
        assert len(stage.aws.called("describe_target_groups")) == 2
        stage.group.listeners = ()
        await asyncio.sleep(FACTS_LIFE_S)
        found = await stage.adapter.describe_groups([GROUP])
        assert found[GROUP].load_balancer_arns == ()
        stage.aws.fault = lambda operation: DENIED
        await asyncio.sleep(FACTS_LIFE_S)
        with pytest.raises(LoadBalancerFailure, match="not authorized"):
            await stage.adapter.describe_groups([GROUP])

    play(scene)


def test_alarms_that_cannot_be_seen_are_logged_and_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    async def body(loop: VirtualTimeLoop) -> None:
        aws, posted = FakeAws(), list[Event]()
        aws.alarms = {f"alarm-{n}": "ALARM" for n in range(150)}
        alarms = CloudWatchAlarms(aws, lambda _, event: posted.append(event))
        command = WatchAlarms(service="web", deployment="1", names=tuple(aws.alarms))
        aws.fault = lambda operation: DENIED
        alarms.watch_alarms("default", command)
        await asyncio.sleep(1)
        assert not posted
        aws.fault = lambda operation: None
        alarms.watch_alarms("default", command)
        await asyncio.sleep(1)
        (seen,) = posted
        assert seen.on == tuple(aws.alarms)  # type: ignore[attr-defined]
        await alarms.close()

    with caplog.at_level(logging.WARNING):
        run(body)
    assert "the alarms of service web could not be seen: AccessDenied" in caplog.text
