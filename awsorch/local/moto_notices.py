"""The queue in moto from which the controller reads EC2's notices, and the rule of EventBridge that fills it.

It is made inside moto, before moto answers anybody: so it is there whenever moto is, and after each restart again.
On AWS both are a part of the installation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

QUEUE = "awsorch-ec2-notices"
_PATTERN = {"source": ["aws.ec2", "aws.autoscaling"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticesQueue:
    """Whose queue it is, and where."""

    account_id: str
    region: str

    def url(self, endpoint: str) -> str:
        """The queue's URL for a client of an endpoint."""
        return f"{endpoint}/{self.account_id}/{QUEUE}"

    def make(self) -> None:
        """Make the queue and the rule in this process's moto."""
        from moto.events.models import events_backends
        from moto.sqs.models import sqs_backends

        queue = sqs_backends[self.account_id][self.region].create_queue(QUEUE)
        events = events_backends[self.account_id][self.region]
        events.put_rule(name=QUEUE, event_pattern=json.dumps(_PATTERN))
        events.put_targets(name=QUEUE, event_bus_arn=None, targets=[{"Id": QUEUE, "Arn": queue.queue_arn}])
