"""The agent tells the controller of a mounted EBS volume, and again when it is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from awsorch.agent import volume_reports
from awsorch.agent.api import APIError
from awsorch.agent.ebs import TYPE, Volume, VolumeError, Volumes, volume_of
from awsorch.agent.surroundings import Surroundings
from awsorch.agent.volume_reports import VolumeReports
from awsorch.wire import acs

ASKED = acs.ConfirmAttachmentMessage(
    attachment=acs.Attachment(
        attachment_arn="arn:aws:ecs:us-east-1:123456789012:attachment/a",
        attachment_type=TYPE,
        attachment_properties=(acs.AttachmentProperty(name="volumeId", value="vol-1"),),
    ),
    task_arn="arn:aws:ecs:us-east-1:123456789012:task/default/t",
    wait_timeout_ms=1000,
)


WHY = "volume vol-1 cannot be mounted: mkfs.xfs: No such file or directory"


class Disks(Volumes):
    """They mount at once."""

    async def make_ready(self, volume: Volume, seconds: float) -> None:
        assert volume.id == "vol-1"
        assert seconds == 1.0


class Broken(Volumes):
    """They cannot be mounted for so many tries."""

    def __init__(self, folder: Path, failures: int) -> None:
        super().__init__(folder=str(folder))
        self.failures = failures
        self.released: list[str] = []

    async def make_ready(self, volume: Volume, seconds: float) -> None:
        if self.failures:
            self.failures -= 1
            raise VolumeError(WHY)

    async def release(self, volume: Volume) -> None:
        self.released.append(volume.id)


class Ecs:
    """Fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.heard: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        assert operation in ("SubmitAttachmentStateChanges", "SubmitTaskStateChange")
        self.heard.put_nowait(request)
        if self.failures:
            self.failures -= 1
            raise APIError("ServerException", "the controller is away")
        return {}


def test_a_lost_report_is_made_again_when_the_controller_asks_again(tmp_path: Path) -> None:
    async def scene() -> None:
        ecs, disks = Ecs(failures=1), Disks(folder=str(tmp_path))
        reports = VolumeReports(ecs, "default", cast(Surroundings, SimpleNamespace(volumes=disks, tasks={})))
        reports.begin(ASKED)
        await ecs.heard.get()
        while ecs.heard.empty():
            reports.begin(ASKED)
            await asyncio.sleep(0)
        assert ASKED.attachment is not None
        assert await ecs.heard.get() == {
            "cluster": "default",
            "attachments": [{"attachmentArn": ASKED.attachment.attachment_arn, "status": "ATTACHED"}],
        }
        await reports.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_volume_that_cannot_be_mounted_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_reports, "PAUSE_S", 0.0)

    async def scene() -> None:
        ecs, disks = Ecs(failures=0), Broken(tmp_path, failures=volume_reports.TRIES)
        reports = VolumeReports(ecs, "default", cast(Surroundings, SimpleNamespace(volumes=disks, tasks={})))
        reports.begin(ASKED)
        assert await ecs.heard.get() == {
            "cluster": "default",
            "task": ASKED.task_arn,
            "status": "STOPPED",
            "reason": f"ResourceInitializationError: {WHY}",
        }
        assert disks.released == ["vol-1"]
        await reports.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_one_that_is_mounted_at_the_second_try_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_reports, "PAUSE_S", 0.0)

    async def scene() -> None:
        ecs, disks = Ecs(failures=0), Broken(tmp_path, failures=1)
        reports = VolumeReports(ecs, "default", cast(Surroundings, SimpleNamespace(volumes=disks, tasks={})))
        reports.begin(ASKED)
        assert (await ecs.heard.get())["attachments"][0]["status"] == "ATTACHED"
        assert disks.released == []
        await reports.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


@pytest.mark.parametrize("properties", [{}, {"volumeId": ""}, {"volumeId": "../etc"}])
def test_what_is_no_volume_is_told(tmp_path: Path, properties: Mapping[str, str]) -> None:
    said = tuple(acs.AttachmentProperty(name=name, value=value) for name, value in properties.items())
    attachment = acs.Attachment(attachment_arn="arn/a", attachment_type=TYPE, attachment_properties=said)

    async def scene() -> None:
        ecs = Ecs(failures=0)
        reports = VolumeReports(
            ecs, "default", cast(Surroundings, SimpleNamespace(volumes=Disks(folder=str(tmp_path)), tasks={}))
        )
        reports.begin(acs.ConfirmAttachmentMessage(attachment=attachment, task_arn="arn/t"))
        assert "is no id of an EBS volume" in (await ecs.heard.get())["reason"]
        await reports.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_size_that_is_none_is_no_fault() -> None:
    said = (
        acs.AttachmentProperty(name="volumeId", value="vol-1"),
        acs.AttachmentProperty(name="volumeSizeGib", value="x"),
    )
    attachment = acs.Attachment(attachment_arn="arn/a", attachment_type=TYPE, attachment_properties=said)
    assert volume_of(attachment, "/x").size_gib == 1
