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
from awsorch.adapters.task_interfaces import TaskInterfaces, refusal
from awsorch.core.commands import ProvideAttachment, ReleaseAttachment
from awsorch.core.events_attachments import AttachmentProvided, AttachmentRefused, AttachmentReleased

logger = logging.getLogger(__name__)


class Ec2Attachments:
    """Carries out ProvideAttachment and ReleaseAttachment, and posts what comes of them."""

    def __init__(self, aws: AwsCalls, post: Post) -> None:
        self._post = post
        self._interfaces = TaskInterfaces(aws)
        self._turns = Turns()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def provide_attachment(self, cluster: str, command: ProvideAttachment) -> None:
        """Have it made and attached. Returns at once."""
        self._begin(("provide", command.attachment_id), self._provide(cluster, command))

    def release_attachment(self, cluster: str, command: ReleaseAttachment) -> None:
        """Have it detached and deleted, when what is under way for it is done. Returns at once."""
        self._begin(("release", command.attachment_id), self._release(cluster, command))

    async def close(self) -> None:
        """Stop calling. What was under way may or may not have been done."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, key: tuple[str, str], work: Coroutine[Any, Any, None]) -> None:
        if key in self._running:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=" ".join(key))
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    async def _provide(self, cluster: str, command: ProvideAttachment) -> None:
        cause = f"attachment {command.attachment_id}"
        try:
            async with self._turns.one():
                details, facts = await self._interfaces.provide(command)
        except AwsError as error:
            logger.info("%s of task %s: %s", command.type, command.task_id, error)
            reason = refusal(command, error)
            if reason is not None:
                named = {"task_id": command.task_id, "attachment_id": command.attachment_id}
                self._post(cluster, AttachmentRefused(cause=cause, reason=reason, **named))
            return
        except Exception:
            logger.exception("%s of task %s was not attached; a planner will ask again", command.type, command.task_id)
            return
        event = AttachmentProvided(
            cause=cause,
            task_id=command.task_id,
            attachment_id=command.attachment_id,
            details=details,
            facts=facts,
        )
        self._post(cluster, event)

    async def _release(self, cluster: str, command: ReleaseAttachment) -> None:
        providing = self._running.get(("provide", command.attachment_id))
        if providing is not None:  # or it would be made right after it was not found
            await asyncio.wait((providing,))
        try:
            async with self._turns.one():
                gone = await self._interfaces.release(command.attachment_id)
        except AwsError as error:
            logger.info("%s of task %s is not released yet: %s", command.type, command.task_id, error)
            return
        except Exception:
            logger.exception("%s of task %s was not released; a planner will ask again", command.type, command.task_id)
            return
        if gone:
            cause = f"attachment {command.attachment_id}"
            released = AttachmentReleased(cause=cause, task_id=command.task_id, attachment_id=command.attachment_id)
            self._post(cluster, released)
