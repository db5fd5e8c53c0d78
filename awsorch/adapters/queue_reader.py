"""Reads a queue of SQS for as long as it is asked to; a message is deleted when it has been taken.

One that could not be taken, or was lost with this process, comes again. Needs sqs:ReceiveMessage and sqs:DeleteMessage.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError

logger = logging.getLogger(__name__)

#: SQS holds an answer back for so long when there is nothing. Seconds.
WAIT_S = 10
#: After a call that failed the next one waits so long, doubled up to the limit. Seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
Message = Mapping[str, Any]


class QueueReader:
    """``what`` the queue has, for the log. ``take`` is given each message; what it raises leaves the message there."""

    def __init__(self, aws: AwsCalls, queue: str, what: str, take: Callable[[Message], Awaitable[None]]) -> None:
        self._aws = aws
        self._queue = queue
        self._what = what
        self._take = take
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read_for_ever(), name=f"queue of {self._what}")

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read_for_ever(self) -> None:
        pause = 0.0
        while True:
            try:
                await self._read()
                pause = 0.0
            except Exception as error:
                pause = min(max(2 * pause, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                bug = None if isinstance(error, AwsError) else error
                logger.warning(
                    "the queue of %s can't be read, next try in %.0f s: %s", self._what, pause, error, exc_info=bug
                )
                await asyncio.sleep(pause)

    async def _read(self) -> None:
        answer = await self._aws.call(
            "sqs",
            "receive_message",
            QueueUrl=self._queue,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=WAIT_S,
            AttributeNames=["SentTimestamp"],
        )
        taken, failure = [], None
        for message in answer.get("Messages", ()):
            try:
                await self._take(message)
                taken.append(message)
            except Exception as error:  # it comes again
                failure = error
        for message in taken:  # when all are taken: a deletion that fails holds none up
            await self._aws.call("sqs", "delete_message", QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        if failure is not None:
            raise failure
