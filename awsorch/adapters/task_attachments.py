"""EC2 as commands about tasks' attachments see it. Each is carried out once at a time, however often it is given; what
could not be done now is logged, and a planner asks for it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from awsorch.adapters.aws import READ_TIMEOUT_S, AwsCalls, AwsError, Turns
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

#: What may still be under way is looked for this often, and as long as a call may take. Seconds.
LATE_LOOK_S, LATE_S = 2.0, READ_TIMEOUT_S


class Ec2Attachments:
    """Carries out ProvideAttachment and ReleaseAttachment, and posts what comes of them.

    What EC2 was asked for without an answer, by a process that was killed perhaps, may be made after it was not found.
    So the release of what is doubtful, and this process has no answer about, takes a second look, and more.
    """

    def __init__(self, aws: AwsCalls, post: Post) -> None:
        self._post = post
        self._interfaces = TaskInterfaces(aws)
        self._volumes = TaskVolumes(aws)
        self._turns = Turns()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._answered: set[str] = set()

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
            self._answered.add(command.attachment_id)
        except AwsError as error:
            reason = interface_refusal(command, error) if command.type == INTERFACE else volume_refusal(error)
            if reason is None:
                raise
            self._answered.add(command.attachment_id)
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
        gone = await self._take_away(command)
        if command.doubtful and command.attachment_id not in self._answered:
            late = asyncio.get_running_loop().time() + LATE_S
            while gone and asyncio.get_running_loop().time() < late:
                await asyncio.sleep(LATE_LOOK_S)
                gone = await self._take_away(command)
        if not gone:
            return None
        self._answered.discard(command.attachment_id)
        cause = f"attachment {command.attachment_id}"
        return AttachmentReleased(cause=cause, task_id=command.task_id, attachment_id=command.attachment_id)

    async def _take_away(self, command: ReleaseAttachment) -> bool:
        """Whether EC2 has it no more. Raises AwsError."""
        async with self._turns.one():
            if command.type == INTERFACE:
                return await self._interfaces.release(command.attachment_id)
            return await self._volumes.release(command.attachment_id, keep=command.keep)
