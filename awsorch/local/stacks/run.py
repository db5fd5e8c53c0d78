"""Carries out one operation on one stack: making, changing, turning back, deleting.

Every decision is written down before it is acted on. Whoever runs the operation again, after a kill at any moment, goes
on from there: what is settled is left alone, what was begun is begun again as a retry.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace

from awsorch.cfn.contract import AwsCalls, Provider
from awsorch.local.stacks.application import Application
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.journal import Journal
from awsorch.local.stacks.mailbox import Mailbox
from awsorch.local.stacks.records import Phase, Resource, Touch
from awsorch.local.stacks.removal import Removal
from awsorch.local.stacks.steps import Steps
from awsorch.local.stacks.surroundings import Surveyor
from awsorch.local.stacks.turning_back import TurningBack


class Run:
    """One operation. `go` until it has ended; `cancel` turns it back."""

    def __init__(
        self,
        journal: Journal,
        providers: Mapping[str, Provider],
        calls: AwsCalls,
        surveyor: Surveyor,
        mailbox: Mailbox,
    ) -> None:
        self._journal = journal
        self._steps = Steps(journal, providers, calls, mailbox)
        self._application = Application(journal, self._steps, providers, surveyor)
        self._removal = Removal(journal, self._steps)
        self._turning_back = TurningBack(journal, self._steps)

    def cancel(self) -> None:
        """Turn back as if something had failed."""
        self._application.cancel("User Initiated")

    async def go(self) -> None:
        """Run every phase that is left."""
        journal = self._journal
        if journal.operation.phase is Phase.APPLY:
            await self._apply()
        if journal.stack.operation is not None and journal.operation.phase is Phase.ROLLBACK:
            await self._turn_back()
        if journal.stack.operation is not None and journal.operation.phase is Phase.CLEANUP:
            await self._clean_up()
        if journal.stack.operation is not None and journal.operation.phase is Phase.DELETE:
            await self._delete()

    async def _apply(self) -> None:
        journal, operation = self._journal, self._journal.operation
        left = operation.deadline - journal.now() if operation.deadline is not None else math.inf
        timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._time_out) if left < math.inf else None
        try:
            why = await self._application.apply()
        except StackRefused as error:
            why = error.message
        finally:
            if timer is not None:
                timer.cancel()
        if why:
            self._give_up(why)
        else:
            if not operation.of_create:
                journal.status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            self._commit()

    def _time_out(self) -> None:
        turns_back = self._journal.operation.on_failure == "ROLLBACK"
        said = "Stack creation time exceeded the specified timeout. "
        self._application.cancel(said + ("Rollback requested by user." if turns_back else ""))

    def _give_up(self, why: str) -> None:
        journal, operation = self._journal, self._journal.operation
        self._steps.cancelled.clear()
        verb = "CREATE" if operation.of_create else "UPDATE"
        if operation.on_failure == "DO_NOTHING":
            for resource in journal.store.resources(journal.stack_id).values():
                journal.note(replace(resource, touch=Touch.NONE, settled=False, before=None, callback={}))
            journal.status(f"{verb}_FAILED", why, operation=None)
        elif operation.of_create and operation.on_failure == "DELETE":
            journal.advance(phase=Phase.DELETE, turned_back=False, why=why)
            journal.status("DELETE_IN_PROGRESS", why)
        else:
            journal.advance(phase=Phase.ROLLBACK, turned_back=True, why=why)
            status = "ROLLBACK_IN_PROGRESS" if operation.of_create else "UPDATE_ROLLBACK_IN_PROGRESS"
            journal.status(status, why)

    def _commit(self) -> None:
        """The stack is what was wanted; what it was before is to be deleted."""
        journal, application = self._journal, self._application
        wanted = journal.operation.wanted
        for resource in journal.store.resources(journal.stack_id).values():
            if resource.logical_id not in application.graph:
                gone = replace(resource, retired=True, touch=Touch.NONE, before=None)
                journal.store.retire(journal.stack_id, gone)
                continue
            if resource.touch is Touch.REPLACE and resource.before is not None:
                policy = resource.before.replace_policy
                old = replace(resource.before, retired=True, deletion_policy=policy, touch=Touch.NONE)
                journal.note(old)
            journal.note(replace(resource, touch=Touch.NONE, settled=False, before=None, callback={}))
        journal.amend(
            wanted=wanted,
            outputs=application.outputs,
            imports=application.imports,
            description=application.template.description,
            operation=replace(journal.operation, phase=Phase.CLEANUP),
        )

    async def _turn_back(self) -> None:
        journal = self._journal
        failed = await self._turning_back.turn_back()
        of_create = journal.operation.of_create
        if failed:
            status = "ROLLBACK_FAILED" if of_create else "UPDATE_ROLLBACK_FAILED"
            verb = "delete" if of_create else "update"
            said = f"The following resource(s) failed to {verb}: [{', '.join(failed)}]. "
            journal.status(status, said, operation=None if of_create else journal.operation)
            return
        if not of_create:
            journal.status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        journal.advance(phase=Phase.CLEANUP)

    async def _clean_up(self) -> None:
        journal, operation = self._journal, self._journal.operation
        left = await self._removal.remove(journal.store.retired(journal.stack_id))
        if operation.of_create and operation.turned_back:
            if left:
                said = f"The following resource(s) failed to delete: [{', '.join(left)}]. "
                journal.status("ROLLBACK_FAILED", said, operation=None)
            else:
                journal.status("ROLLBACK_COMPLETE", operation=None)
            return
        for resource in journal.store.retired(journal.stack_id):
            journal.store.remove(journal.stack_id, resource)  # as CloudFormation does: the stack forgets it
        said = f"Update successful. One or more resources could not be deleted: [{', '.join(left)}]." if left else ""
        status = "UPDATE_ROLLBACK_COMPLETE" if operation.turned_back else "UPDATE_COMPLETE"
        status = "CREATE_COMPLETE" if operation.of_create else status
        journal.status(status, said, operation=None)

    async def _delete(self) -> None:
        journal, operation = self._journal, self._journal.operation
        everything: list[Resource] = [
            *journal.store.resources(journal.stack_id).values(),
            *journal.store.retired(journal.stack_id),
        ]
        left = await self._removal.remove(everything, frozenset(operation.retain))
        if left:
            said = f"The following resource(s) failed to delete: [{', '.join(left)}]. "
            journal.status("DELETE_FAILED", said, operation=None)
        else:
            journal.status("DELETE_COMPLETE", operation=None, deleted_at=journal.now(), outputs=(), imports=())
