"""EC2 as commands about tasks' attachments see it. Each is carried out once at a time, however often it is given; what
could not be done now is logged, and a planner asks for it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.adapters.load_balancers import Post
from awsorch.adapters.task_interfaces import TaskInterfaces
from awsorch.adapters.task_interfaces import refusal as interface_refusal
from awsorch.adapters.task_volumes import TaskVolumes
from awsorch.adapters.task_volumes import refusal as volume_refusal
from awsorch.core.commands import ProvideAttachment, ReleaseAttachment
from awsorch.core.events import Event
from awsorch.core.events_attachments import AttachmentProvided, AttachmentRefused, AttachmentReleased
from awsorch.core.model_attachments import INTERFACE

logger = logging.getLogger(__name__)


class Ec2Attachments:
    """Carries out ProvideAttachment and ReleaseAttachment, and posts what comes of them."""

    def __init__(self, aws: AwsCalls, post: Post) -> None:
        self._post = post
        self._interfaces = TaskInterfaces(aws)
        self._volumes = TaskVolumes(aws)
        self._turns = Turns()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def provide_attachment(self, cluster: str, command: ProvideAttachment) -> None:
        """Have it made and attached. Returns at once."""
        self._begin(("provide", command.attachment_id), cluster, self._provide(command))

    def release_attachment(self, cluster: str, command: ReleaseAttachment) -> None:
        """Have it detached and deleted, when what is under way for it is done. Returns at once."""
        self._begin(("release", command.attachment_id), cluster, self._release(command))

    async def close(self) -> None:
        """Stop calling. What was under way may or may not have been done."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, key: tuple[str, str], cluster: str, work: Coroutine[Any, Any, Event | None]) -> None:
        if key in self._running:
            work.close()
            return
        self._running[key] = asyncio.get_running_loop().create_task(self._carry_out(key, cluster, work))

    async def _carry_out(self, key: tuple[str, str], cluster: str, work: Coroutine[Any, Any, Event | None]) -> None:
        try:
            event = await work
        except AwsError as error:
            logger.info("%s attachment %s: %s", *key, error)
            event = None
        except Exception:
            logger.exception("could not %s attachment %s; a planner will ask again", *key)
            event = None
        finally:
            del self._running[key]
        if event is not None:
            self._post(cluster, event)

    async def _provide(self, command: ProvideAttachment) -> Event:
        cause = f"attachment {command.attachment_id}"
        try:
            async with self._turns.one():
                kind = self._interfaces if command.type == INTERFACE else self._volumes
                details, facts = await kind.provide(command)
        except AwsError as error:
            reason = interface_refusal(command, error) if command.type == INTERFACE else volume_refusal(error)
            if reason is None:
                raise
            return AttachmentRefused(
                cause=cause, task_id=command.task_id, attachment_id=command.attachment_id, reason=reason
            )
        return AttachmentProvided(
            cause=cause,
            task_id=command.task_id,
            attachment_id=command.attachment_id,
            details=details,
            facts=facts,
        )

    async def _release(self, command: ReleaseAttachment) -> Event | None:
        providing = self._running.get(("provide", command.attachment_id))
        if providing is not None:  # or it would be made right after it was not found
            await asyncio.wait((providing,))
        async with self._turns.one():
            if command.type == INTERFACE:
                gone = await self._interfaces.release(command.attachment_id)
            else:
                gone = await self._volumes.release(command.attachment_id, keep=command.keep)
        cause = f"attachment {command.attachment_id}"
        released = AttachmentReleased(cause=cause, task_id=command.task_id, attachment_id=command.attachment_id)
        return released if gone else None
