"""One suite for those who read EC2's notices from a queue: on the fake and on moto."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from awsorch.adapters.aws import AwsError
from awsorch.adapters.notices import Notices
from awsorch.adapters.queue_reader import LONGEST_PAUSE_S
from awsorch.core.events_capacity import MachineNotice
from tests.contract.fleets import FakeOutside, Outside, Posts, Recorder, run_with
from tests.support.fake_fleet import HIDDEN_S, FakeQueue

MACHINE = "i-0123456789abcdef0"
CLUSTERS = ("default", "other")
Make = Callable[[], Outside]


@dataclass(slots=True)
class Stage:
    """The reader, its queue, and what was posted."""

    outside: Outside
    aws: Recorder
    queue: str
    posts: Posts
    notices: Notices

    def tell(self, detail_type: str, **detail: Any) -> None:
        body = {"id": "e-1", "detail-type": detail_type, "source": "aws.ec2", "detail": detail}
        self.outside.send(self.queue, json.dumps(body))

    async def told(self, detail_type: str, **detail: Any) -> tuple[str, str]:
        """(machine, kind) of what every cluster gets."""
        before = len(self.posts.events)
        self.tell(detail_type, **detail)
        await self.posts.after(before + len(CLUSTERS))
        assert tuple(self.posts.clusters[before:]) == CLUSTERS
        one, other = self.posts.events[before:]
        assert isinstance(one, MachineNotice)
        assert one == other
        return one.machine, one.kind


def play(make: Make, scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def staged(outside: Outside) -> None:
        aws, posts, queue = Recorder(outside.calls), Posts(), outside.make_queue()
        notices = Notices(aws, queue, posts.post, lambda: CLUSTERS)
        notices.start()
        await scene(Stage(outside, aws, queue, posts, notices))
        await notices.close()

    run_with(make, staged)


def test_every_cluster_is_told_what_ec2_says(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        assert await stage.told(
            "EC2 Spot Instance Interruption Warning", **{"instance-id": MACHINE, "instance-action": "terminate"}
        ) == (MACHINE, "interruption")
        assert await stage.told("EC2 Instance Rebalance Recommendation", **{"instance-id": MACHINE}) == (
            MACHINE,
            "rebalance",
        )
        for state, kind in (("stopping", "stopped"), ("shutting-down", "terminated"), ("terminated", "terminated")):
            said = await stage.told(
                "EC2 Instance State-change Notification", **{"instance-id": MACHINE, "state": state}
            )
            assert said == (MACHINE, kind)
        for detail_type, kind in (
            ("EC2 Instance-terminate Lifecycle Action", "leaving"),
            ("EC2 Instance Terminate Successful", "terminated"),
        ):
            assert await stage.told(detail_type, EC2InstanceId=MACHINE) == (MACHINE, kind)

    play(fleet, scene)


def test_what_is_no_notice_is_passed_over(fleet: Make, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        for body in ("no json", "[]", '{"detail": 1}', '{"detail": {"instance-id": 7}, "detail-type": "EC2 what"}'):
            stage.outside.send(stage.queue, body)
        stage.tell("EC2 Instance State-change Notification", **{"instance-id": MACHINE, "state": "running"})
        stage.tell("EC2 Spot Instance Interruption Warning", **{"instance-id": 7})
        await stage.told("EC2 Instance Rebalance Recommendation", **{"instance-id": MACHINE})
        await stage.told("EC2 Instance Rebalance Recommendation", **{"instance-id": MACHINE})
        assert stage.aws.operations.count("delete_message") >= 7
        assert len(stage.posts.events) == 2 * len(CLUSTERS)

    with caplog.at_level(logging.WARNING):
        play(fleet, scene)
    assert caplog.text.count("is no event") == 3


# --- faults ----------------------------------------------------------------------------------------------------------


def fake(stage: Stage) -> Any:
    assert isinstance(stage.outside, FakeOutside)
    return stage.outside.fleet


def test_an_empty_queue_is_not_asked_all_the_time() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(600)
        assert len(stage.aws.operations) <= 61

    play(FakeOutside, scene)


def test_a_queue_that_is_gone_is_asked_for_more_and_more_seldom(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        queue = fake(stage).queues.pop(stage.queue)
        await asyncio.sleep(3600)
        assert 3600 / LONGEST_PAUSE_S <= len(stage.aws.operations) <= 10 + 3600 / LONGEST_PAUSE_S
        fake(stage).queues[stage.queue] = queue
        await asyncio.sleep(LONGEST_PAUSE_S)
        await stage.told("EC2 Instance Rebalance Recommendation", **{"instance-id": MACHINE})

    with caplog.at_level(logging.WARNING):
        play(FakeOutside, scene)
    assert "NonExistentQueue" in caplog.text


def test_a_message_that_could_not_be_deleted_comes_again() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).fault = lambda operation: AwsError("InternalError", "") if operation == "delete_message" else None
        await stage.told("EC2 Instance Rebalance Recommendation", **{"instance-id": MACHINE})
        await asyncio.sleep(1)
        fake(stage).fault = lambda operation: None
        await asyncio.sleep(HIDDEN_S)
        await stage.posts.after(2 * len(CLUSTERS))
        await asyncio.sleep(10 * HIDDEN_S)
        assert len(stage.posts.events) == 2 * len(CLUSTERS)
        queue: FakeQueue = fake(stage).queues[stage.queue]
        assert not queue.bodies

    play(FakeOutside, scene)


def test_a_bug_ends_no_reading(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stage: Stage) -> None:
        queue = fake(stage).queues[stage.queue]
        fake(stage).queues[stage.queue] = None
        await asyncio.sleep(60)
        fake(stage).queues[stage.queue] = queue
        await stage.told("EC2 Instance Rebalance Recommendation", **{"instance-id": MACHINE})

    with caplog.at_level(logging.WARNING):
        play(FakeOutside, scene)
    assert "AttributeError" in caplog.text
