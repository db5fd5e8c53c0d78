"""A task's last report waits for its volumes to be unmounted, but not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from awsorch.agent import unmounting
from awsorch.agent.assignment import Assignment
from awsorch.agent.ebs import TYPE, Volume, VolumeError, Volumes
from awsorch.agent.unmounting import Unmounting
from awsorch.wire import acs

PROPERTY = acs.AttachmentProperty(name="volumeId", value="vol-1")
ATTACHMENT = acs.Attachment(attachment_arn="a", attachment_type=TYPE, attachment_properties=(PROPERTY,))


class Busy(Volumes):
    """They are in use for so many tries; ``gate`` holds them up."""

    def __init__(self, folder: Path, failures: int = 0) -> None:
        super().__init__(folder=str(folder))
        self.failures = failures
        self.gate = asyncio.Event()
        self.released = 0

    async def release(self, volume: Volume) -> None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise VolumeError("volume vol-1 cannot be unmounted: target is busy")
        self.released += 1


def a_task(*attachments: acs.Attachment) -> Assignment:
    return cast(Assignment, SimpleNamespace(arn="t", task=acs.Task(arn="t", attachments=attachments)))


def test_a_report_waits_for_the_unmounting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmounting, "AGAIN", 0.0)

    async def scene() -> None:
        volumes, sent = Busy(tmp_path, failures=2), asyncio.Event()
        minder = Unmounting(volumes)
        minder.begin(a_task(ATTACHMENT))
        minder.first("t", sent.set)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not sent.is_set()
        volumes.gate.set()
        await sent.wait()
        assert (volumes.failures, volumes.released) == (0, 1)
        await minder.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_report_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmounting, "PATIENCE", 0.0)

    async def scene() -> None:
        volumes, sent = Busy(tmp_path), asyncio.Event()
        minder = Unmounting(volumes)
        minder.begin(a_task(ATTACHMENT))
        minder.first("t", sent.set)
        await sent.wait()
        assert volumes.released == 0
        await minder.close()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_task_without_volumes_waits_for_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        sent: list[bool] = []
        minder = Unmounting(Busy(tmp_path))
        minder.begin(a_task())
        minder.first("t", lambda: sent.append(True))
        assert sent == [True]

    asyncio.run(scene())
