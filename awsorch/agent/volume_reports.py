"""Tells the controller that an EBS volume, which EC2 has attached to this instance for a task to come, is mounted; or
that the task cannot start, and why.

Nothing is stored: what is not reported, the controller sends again.
Source: agent protocol, ConfirmAttachmentMessage; ECS API, SubmitAttachmentStateChanges, SubmitTaskStateChange.
"""

import asyncio
import contextlib
import logging

from awsorch.agent.api import APIError
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.ebs import TYPE, Volume, VolumeError, volume_of, volumes_of
from awsorch.agent.interface_reports import Calls
from awsorch.agent.surroundings import Surroundings
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

TRIES, PAUSE_S = 3, 1.0
"""A volume that cannot be mounted is tried so often, with pauses of so many seconds, before its task is given up."""
REASON_LIMIT = 1024
"""Characters of a reason, as ECS has it."""
CLAIM_S = 200.0
"""A task comes, or has been given up, within this time after its volume was mounted. Seconds."""


class VolumeReports:
    """The volumes that are waited for on one instance."""

    def __init__(self, ecs: Calls, cluster: str, surroundings: Surroundings) -> None:
        self._ecs = ecs
        self._cluster = cluster
        self._volumes = surroundings.volumes
        self._tasks = surroundings.tasks
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._minded: dict[str, asyncio.Task[None]] = {}

    def begin(self, message: acs.ConfirmAttachmentMessage) -> None:
        """Mount a task's volume, unless that is being done."""
        attachment = message.attachment
        if attachment is None or attachment.attachment_type != TYPE or attachment.attachment_arn in self._waiting:
            return
        work = asyncio.create_task(self._report(attachment, message.task_arn, message.wait_timeout_ms / 1000))
        self._waiting[attachment.attachment_arn] = work
        work.add_done_callback(lambda _: self._waiting.pop(attachment.attachment_arn, None))

    def look_back(self) -> None:
        """Mind what a former life of the agent mounted for tasks that may never have come."""
        for volume in self._volumes.mounted():
            self._mind(volume)

    async def close(self) -> None:
        """Look for nothing any more."""
        waiting = [*self._waiting.values(), *self._minded.values()]
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _report(self, attachment: acs.Attachment, task_arn: str, seconds: float) -> None:
        try:
            volume = volume_of(attachment, self._volumes.folder)
            await self._make_ready(volume, seconds)
        except VolumeError as error:
            await self._refuse(task_arn, str(error))
            return
        attached = [{"attachmentArn": attachment.attachment_arn, "status": "ATTACHED"}]
        try:
            await self._ecs.call("SubmitAttachmentStateChanges", {"cluster": self._cluster, "attachments": attached})
        except (APIError, NoCredentialsError) as error:
            LOG.warning("volume %s is mounted, but not reported: %s", attachment.attachment_arn, error)
        # Not part of this work: the controller asks again for what was not reported.
        self._mind(volume)

    async def _make_ready(self, volume: Volume, seconds: float) -> None:
        """Raises VolumeError, with the volume let go."""
        for left in reversed(range(TRIES)):
            try:
                await self._volumes.make_ready(volume, seconds)
                return
            except VolumeError as error:
                LOG.warning("%s", error)
                if not left:
                    with contextlib.suppress(VolumeError):
                        await self._volumes.release(volume)
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _refuse(self, task_arn: str, why: str) -> None:
        """The task has not come to this agent yet, and is not to."""
        reason = f"ResourceInitializationError: {why}"[:REASON_LIMIT]
        stopped = {"cluster": self._cluster, "task": task_arn, "status": "STOPPED", "reason": reason}
        try:
            await self._ecs.call("SubmitTaskStateChange", stopped)
        except (APIError, NoCredentialsError) as error:
            LOG.warning("that %s cannot start is not reported: %s", task_arn, error)

    def _mind(self, volume: Volume) -> None:
        if volume.id not in self._minded:
            self._minded[volume.id] = asyncio.create_task(self._unclaimed(volume))
            self._minded[volume.id].add_done_callback(lambda _: self._minded.pop(volume.id, None))

    async def _unclaimed(self, volume: Volume) -> None:
        """Unmount a volume whose task does not come: EC2 can't take it back before."""
        await asyncio.sleep(CLAIM_S)
        claimed = {
            each.id
            for assignment in self._tasks.values()
            for each in volumes_of(assignment.task.attachments, self._volumes.folder)
        }
        if volume.id not in claimed:
            try:
                await self._volumes.release(volume)
            except VolumeError as error:
                LOG.warning("%s", error)
