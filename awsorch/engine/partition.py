"""A partition: one state, one inbox, one writer. Everyone else submits events and reads.

The writer takes what arrived during the last commit, decides each event without an ``await``, commits the group, and
only then answers, wakes and sends. A failed commit throws the state away and loads it again: recovery is start-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar

from awsorch.core.commands import Command
from awsorch.core.errors import Refusal
from awsorch.core.events import Event, Look
from awsorch.core.state import Key, State
from awsorch.core.step import Outcome, step
from awsorch.core.wakes import all_keys
from awsorch.engine.figures import WriterFigures
from awsorch.engine.ports import Change, LeaseLost, Store, StoreFailure
from awsorch.engine.reconciler import Reconciler

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=State)
T = TypeVar("T")

#: At most this many events are decided between two commits, so that no caller waits for a flood.
GROUP_LIMIT = 512
#: Wait this long before loading again after a failure, doubling up to the limit. Seconds.
RELOAD_DELAY_S = 0.1
RELOAD_DELAY_LIMIT_S = 5.0
#: Who reads waits so long for a partition that is being loaded. Seconds.
READ_PATIENCE_S = 5.0


class Unavailable(Exception):
    """The partition cannot take or answer this now: its store failed, or it is stopping. Nothing was changed, or
    whether it was is not known; the caller may try again."""


@dataclass(slots=True)
class _Waiting:
    event: Event
    answer: asyncio.Future[Any] | None


_Decided = tuple[_Waiting, Outcome | Exception]


@dataclass(frozen=True, slots=True)
class Ports:
    """What a partition lets things out through. ``clock`` gives seconds since the epoch."""

    store: Store
    send: Callable[[str, Command], None]
    clock: Callable[[], float]


class Partition(Generic[S]):
    """One partition of the controller: ``submit`` events, ``read`` what is durable."""

    def __init__(self, name: str, make_state: Callable[[str], S], ports: Ports) -> None:
        self.name = name
        self._make_state = make_state
        self._ports = ports
        self._inbox: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._loaded = asyncio.Event()
        self._durable: asyncio.Future[bool] | None = None
        self._durable_revision = 0
        self._state: S | None = None
        self._writer: asyncio.Task[None] | None = None
        self._epoch = 0
        self._failures = 0
        self.bugs = 0
        self.figures = WriterFigures()
        self.reconciler = Reconciler(self._look, self._now)

    @property
    def waiting(self) -> int:
        """Events in the inbox."""
        return len(self._inbox)

    @property
    def state(self) -> S:
        """The state as it is now, perhaps ahead of what is durable: for tests and for deciding what to look at."""
        if self._state is None:
            raise Unavailable(f"partition {self.name} is not loaded")
        return self._state

    async def start(self, epoch: int) -> None:
        """Load and begin to write. Raises StoreFailure when the store cannot be read."""
        self._epoch = epoch
        await self._load()
        self._writer = asyncio.create_task(self._write_for_ever(), name=f"writer {self.name}")
        self.reconciler.start()

    async def stop(self) -> None:
        """Stop writing. What waits in the inbox is refused; nothing that was answered is lost."""
        await self.reconciler.stop()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
            self._writer = None
        self._loaded.clear()
        self._tell_readers(durable=False)
        self._refuse_all(Unavailable(f"partition {self.name} has stopped"))

    async def submit(self, event: Event) -> Any:
        """The reply to an event, once what it changed is durable.

        Raises Refusal where the core refused it, Unavailable where it could not be stored.
        """
        self._require_running()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._inbox.append(_Waiting(event, answer))
        self._arrived.set()
        return await answer

    def _require_running(self) -> None:
        if self._writer is None or self._writer.done():
            raise Unavailable(f"partition {self.name} is not running")

    def post(self, event: Event) -> None:
        """Put an event in the inbox and expect no answer; a refusal is logged."""
        if self._writer is not None and not self._writer.done():
            self._inbox.append(_Waiting(event, None))
            self._arrived.set()

    async def read(self, look: Callable[[S], T]) -> T:
        """What ``look`` finds, given out once everything that it saw is durable; it is asked again where that came to
        nothing. It may not keep the state. Raises Unavailable where the partition has stopped or can't be loaded."""
        while True:
            self._require_running()
            if not self._loaded.is_set():
                await self._until_loaded()
            state = self.state
            found = look(state)
            if state.revision <= self._durable_revision or await self._until_durable(state.revision):
                return found

    async def _until_loaded(self) -> None:
        try:
            async with asyncio.timeout(READ_PATIENCE_S):
                await self._loaded.wait()
        except TimeoutError:
            raise Unavailable(f"partition {self.name} could not be loaded yet") from None

    async def _until_durable(self, revision: int) -> bool:
        """Wait for the commit under way; False where it failed."""
        while self._durable_revision < revision:
            if self._durable is None:
                self._durable = asyncio.get_running_loop().create_future()
            if not await asyncio.shield(self._durable):
                return False
        return True

    def _tell_readers(self, *, durable: bool) -> None:
        if self._durable is not None:
            self._durable.set_result(durable)
            self._durable = None

    def _now(self) -> float:
        """The time that events are stamped with, to the millisecond: a key due by it is due for its planner, too."""
        return round(self._ports.clock(), 3)

    def _look(self, key: Key) -> None:
        self.post(Look(planner=key[0], subject=key[1], cause=f"look at {key[0]} {key[1]}".rstrip()))

    # --- the writer --------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        snapshot = await self._ports.store.load(self.name)
        state = self._make_state(snapshot.seed)
        state.load(snapshot.records, snapshot.revision)
        self._state = state
        self._durable_revision = snapshot.revision
        self._loaded.set()
        self.reconciler.mark(dict.fromkeys(all_keys(state), 0.0))

    async def _write_for_ever(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox:
                if self._failures:
                    await self._rest()
                await self._write_group()

    async def _rest(self) -> None:
        """After a failed commit: what nobody waits for waits a little, until somebody asks or it is time to try again.
        A full disk would otherwise keep planners and agents' reports spinning."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(RELOAD_DELAY_S * 2**self._failures, RELOAD_DELAY_LIMIT_S)
        try:
            async with asyncio.timeout_at(end):
                while all(waiting.answer is None for waiting in self._inbox):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return

    async def _write_group(self) -> None:
        """Decide what waits, commit it as one, let it out."""
        now = self._now()
        state = self.state
        decided: list[_Decided] = []
        changes: dict[tuple[type[Any], str], Any | None] = {}
        began = perf_counter()
        for _ in range(min(len(self._inbox), GROUP_LIMIT)):
            waiting = self._inbox.popleft()
            came_to = self._decide(state, waiting.event, now)
            decided.append((waiting, came_to))
            if isinstance(came_to, Outcome):
                changes.update(came_to.changes)
        stepped = perf_counter()
        self.figures.events += len(decided)
        self.figures.step_seconds += stepped - began
        if changes:
            try:
                await self._ports.store.commit(
                    self.name,
                    self._epoch,
                    state.revision,
                    [Change(kind=kind, key=key, record=record) for (kind, key), record in changes.items()],
                )
            except asyncio.CancelledError:
                self._refuse(decided, Unavailable(f"partition {self.name} has stopped"))
                raise
            except Exception as failure:
                self.figures.failed_commits += 1
                await self._recover(decided, failure)
                return
            self.figures.commits += 1
            self.figures.commit_seconds += perf_counter() - stepped
            self._failures = 0
            self._durable_revision = state.revision
            self._tell_readers(durable=True)
        self._let_out(decided)

    def _decide(self, state: S, event: Event, now: float) -> Outcome | Exception:
        """What one event comes to. A refusal, too, is let out after the commit: it may rest on what is not durable."""
        key = (event.planner, event.subject) if isinstance(event, Look) else None
        try:
            outcome = step(state, event, now)
        except Refusal as refusal:
            return refusal
        except Exception as bug:
            self.bugs += 1
            logger.exception("%s: a bug in deciding %r; it was undone", self.name, event)
            if key is not None:
                self.reconciler.park(key)
            return bug
        if key is not None:
            self.reconciler.unpark(key)
        return outcome

    def _let_out(self, decided: list[_Decided]) -> None:
        for waiting, came_to in decided:
            if isinstance(came_to, Exception):
                self._refuse([(waiting, came_to)], came_to)
                continue
            if waiting.answer is not None and not waiting.answer.done():
                waiting.answer.set_result(came_to.reply)
            if came_to.wakes:
                self.reconciler.mark(came_to.wakes)
            for command in came_to.commands:
                self._ports.send(self.name, command)

    async def _recover(self, decided: list[_Decided], failure: Exception) -> None:
        """The commit failed or may have: what memory holds is not to be trusted. Load again, as at start.

        Who waits for an answer is told and may try again; what was posted is decided again, in its order. A failure
        that is not the store's is a bug: what was posted may be its reason, and is let go.
        """
        known = isinstance(failure, (StoreFailure, LeaseLost))
        self.bugs += not known
        logger.error("%s: commit failed (%s); loading again", self.name, failure, exc_info=None if known else failure)
        self._loaded.clear()
        error = Unavailable(str(failure))
        self._refuse(decided, error)
        if known:
            posted = [w for w, _ in decided if w.answer is None and not isinstance(w.event, Look)]
            self._inbox.extendleft(reversed(posted))
        self._tell_readers(durable=False)
        if isinstance(failure, LeaseLost):
            self._refuse_all(error)
            raise failure
        self._failures = min(self._failures + 1, 16)
        delay = RELOAD_DELAY_S
        while True:
            try:
                await self._load()
                return
            except StoreFailure as again:
                self._refuse_all(Unavailable(str(again)))
                logger.error("%s: loading failed (%s); again in %.1f s", self.name, again, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RELOAD_DELAY_LIMIT_S)

    def _refuse(self, decided: list[_Decided], error: Exception) -> None:
        for waiting, _ in decided:
            if waiting.answer is None:
                logger.info("%s: %s came to nothing: %s", self.name, type(waiting.event).__name__, error)
            elif not waiting.answer.done():
                waiting.answer.set_exception(error)

    def _refuse_all(self, error: Exception) -> None:
        """Tell everyone who waits in the inbox; what was only posted stays there."""
        waiting_for_answers = [waiting for waiting in self._inbox if waiting.answer is not None]
        self._inbox = deque(waiting for waiting in self._inbox if waiting.answer is None)
        for waiting in waiting_for_answers:
            if waiting.answer is not None and not waiting.answer.done():
                waiting.answer.set_exception(error)
