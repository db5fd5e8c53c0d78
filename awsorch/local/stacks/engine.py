"""Runs the operations of all stacks, one a stack at a time, and carries on after a start with what was under way."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping

from awsorch.cfn.contract import AwsCalls, Provider
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.journal import Journal
from awsorch.local.stacks.mailbox import Mailbox
from awsorch.local.stacks.records import Operation, Phase
from awsorch.local.stacks.run import Run
from awsorch.local.stacks.store import StackStore
from awsorch.local.stacks.surroundings import Surveyor

_log = logging.getLogger(__name__)


class StackEngine:
    """`start`, then `begin` operations; `close` leaves what is under way to the next start."""

    def __init__(
        self,
        *,
        store: StackStore,
        providers: Mapping[str, Provider],
        calls: AwsCalls,
        surveyor: Surveyor,
        mailbox: Mailbox,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.providers = providers
        self.surveyor = surveyor
        self.mailbox = mailbox
        self._calls = calls
        self._clock = clock
        self._running: dict[str, tuple[Run, asyncio.Task[None]]] = {}

    def journal(self, stack_id: str) -> Journal:
        """What writes down what happens to a stack."""
        return Journal(self.store, stack_id, self._clock)

    def start(self) -> None:
        """Carry on with what was under way."""
        for stack in self.store.stacks():
            if stack.operation is not None and stack.is_busy:
                self._launch(stack.id)

    def begin(self, stack_id: str, operation: Operation, status: str, reason: str = "") -> None:
        """Begin an operation; the stack is in this status from now on."""
        journal = self.journal(stack_id)
        changes = {} if operation.of_create else {"updated_at": self._clock()}
        journal.amend(operation=operation)
        journal.status(status, reason, **(changes if operation.phase is not Phase.DELETE else {}))
        self._launch(stack_id)

    def cancel(self, stack_id: str) -> None:
        """Turn an update back. Raises StackRefused where none is being carried out."""
        stack = self.store.get(stack_id)
        if stack.status != "UPDATE_IN_PROGRESS" or stack_id not in self._running:
            raise StackRefused("CancelUpdateStack cannot be called from current stack status")
        self._running[stack_id][0].cancel()

    async def wait(self, stack_id: str, seconds: float) -> None:
        """Wait until nothing is under way on a stack, but not longer than this."""
        running = self._running.get(stack_id)
        if running is not None:
            await asyncio.wait({running[1]}, timeout=seconds)

    async def close(self) -> None:
        """Stop where it stands."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, stack_id: str) -> None:
        run = Run(self.journal(stack_id), self.providers, self._calls, self.surveyor, self.mailbox)
        task = asyncio.create_task(self._go(stack_id, run))
        self._running[stack_id] = (run, task)

    async def _go(self, stack_id: str, run: Run) -> None:
        try:
            await run.go()
        except sqlite3.Error:
            _log.exception("%s: what happens can't be written down; the next start carries on", stack_id)
        except Exception as error:  # a fault of ours must not leave a stack busy for ever
            _log.exception("%s: the operation ended", stack_id)
            stack = self.store.get(stack_id)
            status = stack.status.replace("_IN_PROGRESS", "_FAILED").replace("_COMPLETE_CLEANUP", "")
            kept = stack.operation if "ROLLBACK" in status else None
            self.journal(stack_id).status(status, f"Internal Failure: {error}", operation=kept)
        finally:
            self._running.pop(stack_id, None)
