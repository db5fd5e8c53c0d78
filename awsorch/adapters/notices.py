"""EC2's notices, from a queue that EventBridge rules fill: an instance will be taken, or has gone.

Every cluster is told; each knows its own machines. A message is deleted when it has been told, so one that is lost with
this process comes again. Nothing here decides what follows.
Source: EC2 user guide, "EC2 events with EventBridge", Spot Instance interruption notices.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from awsorch.adapters.aws import AwsCalls
from awsorch.adapters.load_balancers import Post
from awsorch.adapters.queue_reader import Message, QueueReader
from awsorch.core.events_capacity import MachineNotice

logger = logging.getLogger(__name__)

_STATES = {"stopping": "stopped", "stopped": "stopped", "shutting-down": "terminated", "terminated": "terminated"}


class Notices:
    """Reads the queue until it is closed. ``clusters`` names those there are."""

    def __init__(self, aws: AwsCalls, queue: str, post: Post, clusters: Callable[[], Iterable[str]]) -> None:
        self._post = post
        self._clusters = clusters
        self._reader = QueueReader(aws, queue, "EC2's notices", self._tell)
        self.start = self._reader.start
        self.close = self._reader.close

    async def _tell(self, message: Message) -> None:
        notice = notice_of(message.get("Body", ""))
        if notice is not None:
            for cluster in list(self._clusters()):
                self._post(cluster, notice)


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
