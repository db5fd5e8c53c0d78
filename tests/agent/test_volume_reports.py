"""The agent tells the controller of a mounted EBS volume, and again when it is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from awsorch.agent.api import APIError
from awsorch.agent.ebs import TYPE, Volume, Volumes
from awsorch.agent.surroundings import Surroundings
from awsorch.agent.volume_reports import VolumeReports
from awsorch.wire import acs

ASKED = acs.ConfirmAttachmentMessage(
    attachment=acs.Attachment(
        attachment_arn="arn:aws:ecs:us-east-1:123456789012:attachment/a",
        attachment_type=TYPE,
        attachment_properties=(acs.AttachmentProperty(name="volumeId", value="vol-1"),),
    ),
    wait_timeout_ms=1000,
)


class Disks(Volumes):
    """They mount at once."""

    async def make_ready(self, volume: Volume, seconds: float) -> None:
        assert volume.id == "vol-1"
        assert seconds == 1.0


class Ecs:
    """Fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.heard: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        assert operation == "SubmitAttachmentStateChanges"
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
