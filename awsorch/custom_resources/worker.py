"""Carries requests for custom resources out, one resource's one after the other, and answers them.

Whatever is done was written down before, and every step may be done again: a controller that is killed carries on
where it was. A request belongs to the journal once it is there, and its message may go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from awsorch.cfn.contract import Progress, Provider, Request, failed
from awsorch.core.model_custom_resources import CustomRequest
from awsorch.custom_resources.answers import NotTaken, Responses, answer_of
from awsorch.custom_resources.conduct import after, planned, request_of
from awsorch.custom_resources.journal import Journal
from awsorch.engine.ports import LeaseLost, StoreFailure

logger = logging.getLogger(__name__)

#: So many steps are under way at once.
STEPS = 16
#: An answer that is not taken is sent again after this long, doubled up to the limit; URLs are good for two hours.
FIRST_PAUSE_S, LONGEST_PAUSE_S, GIVE_UP_S = 1.0, 60.0, 7200.0
#: After a commit that failed. Seconds.
STORE_PAUSE_S = 2.0
Resource = tuple[str, str]


class CustomResourceWorker:
    """`roles` are patterns of the ARNs of roles that may be given to tasks and services; none: the account's own."""

    def __init__(
        self,
        journal: Journal,
        provider: Provider,
        responses: Responses,
        clock: Callable[[], float],
        roles: tuple[str, ...] = (),
    ) -> None:
        self._journal = journal
        self._provider = provider
        self._responses = responses
        self._clock = clock
        self._roles = roles
        self._lanes: dict[Resource, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(STEPS)
        #: Keys of requests of whose last step it is known what it did.
        self._sure: set[str] = set()

    def start(self) -> None:
        """Carry on with what is open."""
        for record in self._journal.open_requests():
            self._see_to(record)

    async def take(self, record: CustomRequest) -> None:
        """Take a request in; one that is known is passed over. Raises StoreFailure, LeaseLost: it may come again."""
        if self._journal.find(record.key) is not None:
            logger.info("request %s of %s came again", record.request_id, record.stack_id)
            return
        await self._journal.put(record)
        self._see_to(record)
        await self._journal.forget_old(self._clock())

    async def close(self) -> None:
        """Stop where it is."""
        for lane in self._lanes.values():
            lane.cancel()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)
        self._lanes.clear()

    def _see_to(self, record: CustomRequest) -> None:
        at = (record.stack_id, record.logical_id)
        if at not in self._lanes:
            self._lanes[at] = asyncio.create_task(self._lane(at), name=f"custom resource {record.logical_id}")

    async def _lane(self, at: Resource) -> None:
        """The requests for one resource, in the order in which they were sent."""
        try:
            while record := next((each for each in self._journal.of_resource(*at) if each.phase != "DONE"), None):
                try:
                    await asyncio.sleep(await self._go_on(record))
                except LeaseLost as lost:
                    logger.error("requests for custom resources are another controller's now: %s", lost)
                    return
                except Exception:
                    logger.exception("request %s of %s", record.request_id, record.stack_id)
                    await asyncio.sleep(LONGEST_PAUSE_S)
        finally:
            self._lanes.pop(at, None)

    async def _go_on(self, record: CustomRequest) -> float:
        """One move; answers how long to wait before the next. Raises LeaseLost."""
        if record.phase == "ANSWER":
            return await self._answer(record)
        history = self._journal.of_resource(record.stack_id, record.logical_id)
        if not record.doing:
            plan = planned(record, history, self._provider, self._roles, self._clock())
            self._sure.add(record.key)
            await self._keep(plan)
            return 0.0
        progress = await self._step(request_of(record, record.key not in self._sure))
        # A later request may have come meanwhile.
        history = self._journal.of_resource(record.stack_id, record.logical_id)
        following = after(record, progress, history, self._clock())
        (self._sure.discard if following.unsure else self._sure.add)(record.key)
        await self._keep(following.record)
        return following.delay_seconds

    async def _step(self, request: Request) -> Progress:
        async with self._slots:
            try:
                return await self._provider.step(request)
            except Exception as error:  # a fault of ours: the stack turns back, and the log has it
                logger.exception("%s of %s", request.action.value, request.logical_id)
                return failed(f"{type(error).__name__}: {error}", "InternalFailure", request.physical_id)

    async def _answer(self, record: CustomRequest) -> float:
        try:
            await self._responses.put(record.response_url, answer_of(record))
        except NotTaken as refusal:
            pause = min(FIRST_PAUSE_S * 2.0**record.tries, LONGEST_PAUSE_S)
            logger.warning("the answer to request %s is not taken: %s", record.request_id, refusal)
            if not refusal.final and self._clock() - record.since < GIVE_UP_S:
                await self._keep(replace(record, tries=min(record.tries + 1, 10)))
                return float(pause)
        logger.info("%s of %s: %s %s", record.action, record.logical_id, record.status, record.reason)
        await self._keep(replace(record, phase="DONE"))
        self._sure.discard(record.key)
        return 0.0

    async def _keep(self, record: CustomRequest) -> None:
        """Write it down, however long that takes: what was done may not be done again. Raises LeaseLost."""
        while True:
            try:
                await self._journal.put(record)
                return
            except StoreFailure as failure:
                logger.warning("request %s can't be written down: %s", record.request_id, failure)
                await asyncio.sleep(STORE_PAUSE_S)
