"""What EC2 tells EventBridge about instances, said for moto, which tells nothing.

It exists so that whoever listens for EC2's events, awsorch's controller among them, hears them here too. What becomes
of an instance is decided elsewhere. An event that cannot be sent is lost, as EventBridge delivers on a best-effort
basis only: nobody may rely on it alone.
Source: EC2 user guide, "Automate Amazon EC2 using EventBridge" and "Spot Instance interruption notices".
"""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack
from typing import Any, Protocol

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from awsorch.local.ec2 import Ec2Error

_log = logging.getLogger(__name__)

STATE_CHANGE = "EC2 Instance State-change Notification"
INTERRUPTION = "EC2 Spot Instance Interruption Warning"


class Events(Protocol):
    """EC2's events. No call raises; what cannot be sent is lost."""

    async def state(self, instance_id: str, *states: str) -> None:
        """An instance went through these states."""

    async def interruption(self, instance_id: str, action: str) -> None:
        """EC2 will take a spot instance, two minutes from now as a rule: `action` is terminate, stop or hibernate."""


class EventBridge:
    """The default event bus at a URL."""

    def __init__(self, *, url: str, region: str, account_id: str, access_key_id: str, secret_access_key: str) -> None:
        self._arguments = {
            "endpoint_url": url,
            "region_name": region,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "config": AioConfig(connect_timeout=2, read_timeout=5, proxies={}, retries={"total_max_attempts": 2}),
        }
        self._instances = f"arn:aws:ec2:{region}:{account_id}:instance"
        self._open = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> EventBridge:
        self._client = await self._open.enter_async_context(get_session().create_client("events", **self._arguments))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def state(self, instance_id: str, *states: str) -> None:
        await self._put(STATE_CHANGE, instance_id, [{"instance-id": instance_id, "state": each} for each in states])

    async def interruption(self, instance_id: str, action: str) -> None:
        await self._put(INTERRUPTION, instance_id, [{"instance-id": instance_id, "instance-action": action}])

    async def _put(self, detail_type: str, instance_id: str, details: list[dict[str, str]]) -> None:
        entries = [
            {
                "Source": "aws.ec2",
                "DetailType": detail_type,
                "Resources": [f"{self._instances}/{instance_id}"],
                "Detail": json.dumps(detail),
            }
            for detail in details
        ]
        try:
            answer = await self._client.put_events(Entries=entries)
        except Ec2Error as error:
            _log.warning("nobody hears of %s of %s: %s", detail_type, instance_id, error)
            return
        refused = [each["ErrorMessage"] for each in answer["Entries"] if "ErrorCode" in each]
        if refused:
            _log.warning("nobody hears of %s of %s: %s", detail_type, instance_id, refused[0])
