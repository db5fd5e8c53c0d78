"""Messages of the queue, to the worker: all of it is begun when the controller serves, and ended before it stops."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from awsorch.custom_resources.messages import Refused, Trust, read
from awsorch.custom_resources.worker import CustomResourceWorker

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """What reads a queue."""

    def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """End."""


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


class CustomResources:
    """The worker, what reads its queue, and what it is to let go of in the end."""

    def __init__(self, worker: CustomResourceWorker, reader: Reader, *ends: Callable[[], Awaitable[None]]) -> None:
        self._worker = worker
        self._reader = reader
        self._ends = ends

    def start(self) -> None:
        """Carry on, and read."""
        self._worker.start()
        self._reader.start()

    async def close(self) -> None:
        """Stop where it is; the next start carries on."""
        await self._reader.close()
        await self._worker.close()
        for end in self._ends:
            await end()
