"""EC2's notices, from a queue that EventBridge rules fill: an instance will be taken, or has gone.

Every cluster is told; each knows its own machines. A message is deleted when it has been told, so one that is lost with
this process comes again. Nothing here decides what follows.
Source: EC2 user guide, "EC2 events with EventBridge", Spot Instance interruption notices.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.adapters.load_balancers import Post
from awsorch.core.events_capacity import MachineNotice

logger = logging.getLogger(__name__)

#: SQS holds an answer back for so long when there is nothing. Seconds.
WAIT_S = 10
#: After a call that failed the next one waits so long, doubled up to the limit. Seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

_STATES = {"stopping": "stopped", "stopped": "stopped", "shutting-down": "terminated", "terminated": "terminated"}


class Notices:
    """Reads the queue until it is closed. ``clusters`` names those there are."""

    def __init__(self, aws: AwsCalls, queue: str, post: Post, clusters: Callable[[], Iterable[str]]) -> None:
        self._aws = aws
        self._queue = queue
        self._post = post
        self._clusters = clusters
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read_for_ever(), name="notices")

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
                    "the queue of EC2's notices can't be read, next try in %.0f s: %s", pause, error, exc_info=bug
                )
                await asyncio.sleep(pause)

    async def _read(self) -> None:
        answer = await self._aws.call(
            "sqs", "receive_message", QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=WAIT_S
        )
        messages = answer.get("Messages", ())
        for message in messages:
            notice = notice_of(message.get("Body", ""))
            if notice is not None:
                for cluster in list(self._clusters()):
                    self._post(cluster, notice)
        for message in messages:  # when all are told: a deletion that fails holds none up
            await self._aws.call("sqs", "delete_message", QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])


def notice_of(body: str) -> MachineNotice | None:
    """What an event of EC2 or EC2 Auto Scaling says of an instance; None where it is about something else."""
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("detail"), dict):
        logger.warning("a message in the queue of EC2's notices is no event: %.200s", body)
        return None
    detail: Mapping[str, Any] = event["detail"]
    kind = _kind(event.get("detail-type", ""), detail)
    machine = detail.get("instance-id") or detail.get("EC2InstanceId")
    if kind is None or not isinstance(machine, str):
        return None
    return MachineNotice(cause=f"EventBridge {event.get('id', '')}", machine=machine, kind=kind)


def _kind(detail_type: str, detail: Mapping[str, Any]) -> str | None:
    if detail_type == "EC2 Spot Instance Interruption Warning":
        return "interruption"
    if detail_type == "EC2 Instance Rebalance Recommendation":
        return "rebalance"
    if detail_type == "EC2 Instance-terminate Lifecycle Action":
        return "leaving"
    if detail_type == "EC2 Instance Terminate Successful":
        return "terminated"
    if detail_type == "EC2 Instance State-change Notification":
        return _STATES.get(str(detail.get("state")))
    return None
