"""One suite for those who make EBS volumes for tasks: on the fake and on moto; and what they do when calls fail, on the
fake in virtual time. One attachment, one volume, and none is left that is not to be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from awsorch.adapters.task_attachments import Ec2Attachments
from awsorch.adapters.task_interfaces import ATTACHMENT_TAG
from awsorch.core.commands import ProvideAttachment, ReleaseAttachment
from awsorch.core.events_attachments import AttachmentProvided, AttachmentRefused, AttachmentReleased
from awsorch.core.model_attachments import VOLUME, TaskVolume
from tests.contract.fleets import FakeOutside, Outside, Posts, Recorder, run_with
from tests.contract.test_task_interfaces import ATTACHMENT, TASK, Make, machine_of

PLAIN = TaskVolume(name="data", type="gp3", size=8, file_system="ext4", role_arn="arn:role", tags={"team": "a"})


@dataclass(slots=True)
class Stage:
    """The adapter, what is behind it, what was posted, and an instance."""

    outside: Outside
    aws: Recorder
    adapter: Ec2Attachments
    posts: Posts
    machine: str

    def provide(self, volume: TaskVolume = PLAIN, attachment: str = ATTACHMENT) -> None:
        zone = next(iter(self.outside.subnets()))
        command = ProvideAttachment(
            task_id="a" * 32,
            task_arn=TASK,
            attachment_id=attachment,
            type=VOLUME,
            machine=self.machine,
            zone=zone,
            volume=volume,
        )
        self.adapter.provide_attachment("default", command)

    def release(self, *, keep: bool = False) -> None:
        command = ReleaseAttachment(task_id="a" * 32, attachment_id=ATTACHMENT, type=VOLUME, keep=keep)
        self.adapter.release_attachment("default", command)

    async def provided(self) -> AttachmentProvided:
        event = await self.posts.next(self.provide)
        assert isinstance(event, AttachmentProvided), event
        return event

    async def volumes(self, **tags: str) -> list[Mapping[str, Any]]:
        """What EC2 has with these tags; by default, for the attachment."""
        asked = tags or {ATTACHMENT_TAG: ATTACHMENT}
        wanted = [{"Name": f"tag:{name}", "Values": [value]} for name, value in asked.items()]
        answer = await self.outside.calls.call("ec2", "describe_volumes", Filters=wanted)
        found: list[Mapping[str, Any]] = answer["Volumes"]
        return found


def play(make: Make, scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def staged(outside: Outside) -> None:
        aws, posts = Recorder(outside.calls), Posts()
        adapter = Ec2Attachments(aws, posts.post)
        await scene(Stage(outside, aws, adapter, posts, await machine_of(outside, aws, posts)))
        await adapter.close()

    run_with(make, staged)


def test_a_volume_is_made_and_attached_and_goes_without_a_trace(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        event = await stage.provided()
        (volume,) = await stage.volumes()
        (attached,) = volume["Attachments"]
        assert attached["InstanceId"] == stage.machine
        assert event.details == {
            "roleArn": "arn:role",
            "volumeName": "data",
            "deleteOnTermination": "true",
            "volumeId": volume["VolumeId"],
        }
        assert event.facts == {"deviceName": attached["Device"], "volumeSizeGib": "8", "fileSystem": "ext4"}
        assert len(await stage.volumes(team="a")) == 1
        assert (await stage.provided()).details == event.details
        assert stage.aws.operations.count("create_volume") == 1
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)
        assert await stage.volumes() == []

    play(fleet, scene)


def test_one_that_is_to_be_kept_is_detached_and_known_no_more(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        event = await stage.provided()
        assert isinstance(await stage.posts.next(lambda: stage.release(keep=True)), AttachmentReleased)
        assert await stage.volumes() == []
        (kept,) = [each for each in await stage.volumes(team="a") if each["VolumeId"] == event.details["volumeId"]]
        assert (kept["State"], kept["Attachments"]) == ("available", [])
        await stage.outside.calls.call("ec2", "delete_volume", VolumeId=kept["VolumeId"])

    play(fleet, scene)


def test_what_was_never_made_is_released_at_once(fleet: Make) -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)

    play(fleet, scene)


# --- faults ----------------------------------------------------------------------------------------------------------


def fake(stage: Stage) -> Any:
    assert isinstance(stage.outside, FakeOutside)
    return stage.outside.fleet


def test_a_snapshot_that_is_not_there_is_the_tasks_reason() -> None:
    async def scene(stage: Stage) -> None:
        missing = TaskVolume(name="data", type="gp3", snapshot="snap-gone")
        event = await stage.posts.next(lambda: stage.provide(missing))
        assert isinstance(event, AttachmentRefused), event
        assert "InvalidSnapshot.NotFound" in event.reason

    play(FakeOutside, scene)


def test_a_volume_that_cannot_be_made_is_the_tasks_reason_and_goes() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).volumes.spoils = True
        event = await stage.posts.next(stage.provide)
        assert isinstance(event, AttachmentRefused), event
        assert event.reason.startswith(
            "Unexpected EC2 error while attempting to create or attach an EBS volume: VolumeInError: EC2 could not make"
        )
        assert isinstance(await stage.posts.next(stage.release), AttachmentReleased)
        assert await stage.volumes() == []

    play(FakeOutside, scene)


@pytest.mark.parametrize("operation", ["create_volume", "attach_volume"])
def test_an_answer_that_is_lost_makes_no_second_one(operation: str) -> None:
    async def scene(stage: Stage) -> None:
        lost = [operation]
        fake(stage).loses = lambda each: each in lost and bool(lost.pop())
        stage.provide()
        await asyncio.sleep(10.0)
        assert not lost
        await stage.provided()
        assert len(fake(stage).volumes.volumes) == 1

    play(FakeOutside, scene)


def test_a_volume_that_takes_long_is_asked_for_again() -> None:
    async def scene(stage: Stage) -> None:
        fake(stage).volumes.create_seconds = 30.0
        stage.provide()
        await asyncio.sleep(25.0)
        assert not [event for event in stage.posts.events if isinstance(event, AttachmentProvided)]
        await stage.provided()

    play(FakeOutside, scene)
