"""The leases of one controller: taken, renewed, given back; and noticed when they are lost.

Controllers on a shared store wait for the registry's lease. Who has it leads: it takes every cluster's, too. A leader
that ends gives its leases back; one that dies, hangs or is cut off is followed when they expire, and can't commit any
more, whatever it believes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from awsorch.engine.ports import Lease, LeaseLost, Store, StoreFailure

logger = logging.getLogger(__name__)

#: A lease is renewed this many times before it would expire.
RENEWALS = 3
#: Who waits for a lease asks again this often, at most. Seconds.
ASK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who a controller is to the others. ``name`` is one process's alone, ``address`` the URL at which it is reached.

    ``seconds``: a lease lasts this long when it is not renewed. ``patient``: it waits for leases of others, and for a
    store that is away when it starts.
    """

    name: str
    address: str = ""
    seconds: float
    patient: bool = False


#: The only controller of a store that is its own. One name for every start: who comes back is who was there.
ALONE = Owner(name="controller", seconds=3600.0)


class Leases:
    """What a controller owns of ``store``. Set ``owner`` before the first lease is taken."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.owner = ALONE
        #: Set when a lease was lost: this controller may not go on.
        self.lost = asyncio.Event()
        self._store = store
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def take(self, partition: str) -> Lease:
        """The lease of a partition, renewed from now on. A patient owner waits for it.

        Raises LeaseLost and StoreFailure where the owner is not patient.
        """
        said = ""
        while True:
            try:
                lease = self._held[partition] = await self._ask(partition, self.owner.seconds)
            except (LeaseLost, StoreFailure) as failure:
                if not self.owner.patient:
                    raise
                if str(failure) != said:
                    said = str(failure)
                    logger.info("waiting: %s", said)
                await asyncio.sleep(min(ASK_AGAIN_S, self.owner.seconds / RENEWALS))
                continue
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._renew_for_ever(), name="leases")
            return lease

    def let_go(self, partition: str) -> None:
        """Renew it no longer: the partition is gone."""
        self._held.pop(partition, None)

    async def close(self) -> None:
        """Give back what is held, so that another need not wait until it expires."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            self._renewing = None
        held, self._held = self._held, {}
        for partition in held:
            try:
                await self._ask(partition, 0.0)
            except (LeaseLost, StoreFailure) as failure:
                logger.info("lease of %s not given back, it will expire: %s", partition, failure)
                return

    async def _ask(self, partition: str, seconds: float) -> Lease:
        owner = self.owner
        return await self._store.take_lease(partition, owner.name, owner.address, self._clock(), seconds)

    async def _renew_for_ever(self) -> None:
        while not self.lost.is_set():
            await asyncio.sleep(self.owner.seconds / RENEWALS)
            for partition, held in list(self._held.items()):
                try:
                    renewed = await self._ask(partition, self.owner.seconds)
                except LeaseLost as lost:
                    self._lose(str(lost))
                    return
                except StoreFailure as failure:
                    if self._clock() >= held.expires_at:
                        self._lose(f"the lease of {partition} expired, for {failure}")
                        return
                    logger.warning("lease of %s not renewed: %s", partition, failure)
                    break  # the others would wait as long for the same store
                if renewed.epoch != held.epoch:
                    self._lose(f"the lease of {partition} was another's meanwhile")
                    return
                if partition in self._held:
                    self._held[partition] = renewed

    def _lose(self, reason: str) -> None:
        logger.error("this controller leads no longer: %s", reason)
        self.lost.set()
