"""The worker with its queue: begun when the controller serves, ended before it stops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from awsorch.custom_resources.messages import Refused, Trust, read
from awsorch.custom_resources.worker import CustomResourceWorker

logger = logging.getLogger(__name__)


class Intake:
    """Takes the queue's messages to the worker; what is refused is logged, and gone: it would come again for ever."""

    def __init__(self, trust: Trust, worker: CustomResourceWorker, clock: Callable[[], float]) -> None:
        self._trust = trust
        self._worker = worker
        self._clock = clock

    async def take(self, message: Mapping[str, Any]) -> None:
        """One message. Raises StoreFailure and LeaseLost where it has to come again."""
        now = self._clock()
        # Milliseconds; SNS's own time counts where there is one.
        sent_at = float((message.get("Attributes") or {}).get("SentTimestamp") or now * 1000) / 1000
        try:
            record = read(str(message.get("Body", "")), sent_at, self._trust, now)
        except Refused as refusal:
            logger.warning("a message for custom resources is refused: %s", refusal)
            return
        await self._worker.take(record)
