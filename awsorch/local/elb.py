"""Load balancing of the local cloud, put together from its parts, in the controller's process.

It needs a HAProxy that runs on `<folder>/balancer` (the supervisor's business) and an upstream that answers ELB's API;
while either is away what there is goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from awsorch.local.balancer.balancer import Balancer
from awsorch.local.elb_calls import ElbCalls
from awsorch.local.elb_reader import ElbReader
from awsorch.local.front_ends import FrontEnds, Kept
from awsorch.local.front_ends_addresses import AddressBook
from awsorch.local.front_ends_view import describe_balancers
from awsorch.local.targets import Targets
from awsorch.local.targets_classic import ClassicTargets
from awsorch.local.targets_db import Registrations, open_db
from awsorch.local.targets_instances import Instances

_log = logging.getLogger(__name__)


class LocalElb:
    """The load balancers of one region on a data folder; `calls` is for the door. `start`, then `close`, once each."""

    def __init__(self, *, folder: Path, network: str, region: str, reader: ElbReader) -> None:
        """`network` is the prefix of the cloud's loopback network ("127.N"). Raises OSError where what is kept in the
        folder cannot be read.
        """
        self._reader = reader
        self._connection = open_db(folder / "targets.db")
        self._balancer = Balancer(folder / "balancer")
        kept = Kept(registrations=Registrations(self._connection), addresses=AddressBook(self._connection, network))
        instances = Instances(reader, folder / "fleet.json")
        self._addresses = kept.addresses
        self._front_ends = FrontEnds(
            reader=reader, kept=kept, instances=instances, balancer=self._balancer, clock=time.time
        )
        targets = Targets(
            front_ends=self._front_ends, kept=kept, instances=instances, balancer=self._balancer, clock=time.time
        )
        self.calls = ElbCalls(
            region=region,
            front_ends=self._front_ends,
            targets=targets,
            classic=ClassicTargets(targets, kept.registrations),
            kept=kept,
        )
        self._open = AsyncExitStack()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow the upstream."""
        await self._open.enter_async_context(self._reader)
        self._running = asyncio.create_task(self._front_ends.run(), name="front ends")
        self._running.add_done_callback(_say_why)

    async def close(self) -> None:
        """Stop following; HAProxy carries on what it has."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._open.aclose()
        self._connection.close()

    async def describe(self) -> dict[str, Any]:
        """What `awsorch balancers` shows beside ELB's own API. Raises elb_watch.FactsUnknown."""
        return await describe_balancers(self._front_ends, self._addresses, self._balancer)


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("load balancers are followed no more", exc_info=task.exception())
