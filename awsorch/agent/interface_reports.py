"""Tells the controller that a network interface, which EC2 has attached to this instance for a task to come, is there.

Nothing is stored: what is not reported, the controller sends again.
Source: agent protocol, AttachTaskNetworkInterfacesMessage; ECS API, SubmitTaskStateChange (attachments).
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from awsorch.agent.api import APIError
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.task_networks import see_interfaces
from awsorch.wire import acs

LOG = logging.getLogger(__name__)


class Calls(Protocol):
    """ECS's API."""

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises APIError or NoCredentialsError."""


class InterfaceReports:
    """The interfaces that are waited for on one instance."""

    def __init__(self, ecs: Calls, cluster: str) -> None:
        self._ecs = ecs
        self._cluster = cluster
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def begin(self, message: acs.AttachTaskNetworkInterfacesMessage) -> None:
        """Look for a task's interfaces, unless that is being done."""
        if message.task_arn in self._waiting or not message.elastic_network_interfaces:
            return
        work = asyncio.create_task(self._report(message))
        self._waiting[message.task_arn] = work
        work.add_done_callback(lambda _: self._waiting.pop(message.task_arn, None))

    async def close(self) -> None:
        """Look for nothing any more."""
        waiting = list(self._waiting.values())
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _report(self, message: acs.AttachTaskNetworkInterfacesMessage) -> None:
        interfaces = message.elastic_network_interfaces
        if not await see_interfaces(interfaces, message.wait_timeout_ms / 1000):
            LOG.warning("the network interfaces of %s were not attached in time", message.task_arn)
            return
        request = {
            "cluster": self._cluster,
            "task": message.task_arn,
            "attachments": [{"attachmentArn": each.attachment_arn, "status": "ATTACHED"} for each in interfaces],
        }
        try:
            await self._ecs.call("SubmitTaskStateChange", request)
        except (APIError, NoCredentialsError) as error:
            LOG.warning("the network interfaces of %s are there, but not reported: %s", message.task_arn, error)
