"""EC2's notice that it will take this spot instance back, as instance metadata tells it.

It exists because the agent may hear of it before anybody else: it has its own container instance drained, so that
services replace their tasks while there is time. It stops no task itself; that is the back end's to say.
Source: EC2 user guide, "Spot Instance interruption notices"; ECS developer guide, "Spot Instance draining".
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from awsorch.agent.api import APIError
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.session import Registration

LOG = logging.getLogger(__name__)

PATH = "meta-data/spot/instance-action"
LAST_ACTIONS = ("terminate", "stop")
"""After these nothing runs here any more; a hibernated instance goes on where it was."""


class Metadata(Protocol):
    """Instance metadata."""

    async def get(self, path: str) -> str | None:
        """The text at a path; None when it is not there or nobody answers."""


class Calls(Protocol):
    """The ECS API."""

    async def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One operation. Raises APIError, or NoCredentialsError."""


async def drain_when_noticed(metadata: Metadata, ecs: Calls, registration: Registration, interval: float) -> None:
    """Look for a notice every `interval` seconds; when there is one, have the instance drained. Returns when it is.

    A call that fails is made again after the same interval, for as long as the instance is there.
    """
    request = {
        "cluster": registration.cluster,
        "containerInstances": [registration.instance_arn],
        "status": "DRAINING",
    }
    while True:
        action = _last_action(await metadata.get(PATH))
        if action is not None:
            try:
                answer = await ecs.call("UpdateContainerInstancesState", request)
            except (APIError, NoCredentialsError) as error:
                LOG.warning("EC2 will %s this instance, but it cannot be drained yet: %s", action, error)
            else:
                if not answer.get("failures"):
                    LOG.warning("EC2 will %s this instance; it is drained", action)
                    return
                LOG.warning("EC2 will %s this instance, but it is not drained: %s", action, answer["failures"])
        await asyncio.sleep(interval)


def _last_action(notice: str | None) -> str | None:
    """What EC2 is about to do to the instance, when that ends all that runs on it."""
    if notice is None:
        return None
    try:
        action = json.loads(notice)["action"]
    except (ValueError, KeyError, TypeError):
        LOG.warning("the spot notice in the instance metadata cannot be read: %.200s", notice)
        return None
    return action if action in LAST_ACTIONS else None
