"""Takes back what an operation did: updates are undone, what was made is put aside to be deleted, what was replaced
stands again.
"""

from __future__ import annotations

from dataclasses import replace

from awsorch.cfn.contract import Action, Outcome
from awsorch.local.stacks.journal import Journal
from awsorch.local.stacks.records import Resource, Touch
from awsorch.local.stacks.steps import Steps, said_of
from awsorch.local.stacks.walk import walk


class TurningBack:
    """The second phase of an operation that failed."""

    def __init__(self, journal: Journal, steps: Steps) -> None:
        self._journal = journal
        self._steps = steps

    async def turn_back(self) -> list[str]:
        """Do it; answers the logical ids of what could not be taken back."""
        journal = self._journal
        undone = {}
        for resource in journal.store.resources(journal.stack_id).values():
            if resource.touch in (Touch.CREATE, Touch.REPLACE):
                self._put_aside(resource)
            elif resource.touch in (Touch.UPDATE, Touch.UNDO):
                undone[resource.logical_id] = resource
            elif resource.settled:
                journal.note(replace(resource, settled=False))
        graph = {name: frozenset(resource.needs) & undone.keys() for name, resource in undone.items()}
        return sorted(await walk({name: frozenset(needs) for name, needs in graph.items()}, self._undo))

    def _put_aside(self, resource: Resource) -> None:
        journal = self._journal
        made_now = resource.deletion_policy == "RetainExceptOnCreate"
        policy = "Delete" if made_now else resource.deletion_policy
        aside = replace(
            resource, retired=True, touch=Touch.NONE, settled=False, before=None, deletion_policy=policy, callback={}
        )
        journal.store.retire(journal.stack_id, aside, resource.before)

    async def _undo(self, name: str) -> bool:
        journal = self._journal
        resource = journal.store.resources(journal.stack_id)[name]
        assert resource.before is not None, f"{name} was touched, so it is known what it was"
        if resource.touch is Touch.UPDATE:
            attempted = replace(resource, before=None, touch=Touch.NONE)
            old = replace(resource.before, touch=Touch.UNDO, before=attempted, attributes=resource.attributes)
            begun = replace(old, callback={}, since=journal.now())
            resource = journal.tell(begun, "UPDATE_IN_PROGRESS")
            retried = False
        else:
            resource = replace(resource, since=journal.now())
            retried = True
        progress, ended = await self._steps.carry(Action.UPDATE, resource, resource.before, retried)
        if progress.outcome is Outcome.FAILED:
            failing = replace(ended, callback={})
            journal.tell(failing, "UPDATE_FAILED", said_of(progress, journal.stack_id, ended))
            return False
        attempted_id = resource.before.physical_id if resource.before is not None else ended.physical_id
        if ended.physical_id != attempted_id:
            aside = replace(resource.before or ended, retired=True, touch=Touch.NONE, before=None, callback={})
            journal.amend(made=journal.stack.made + 1)
            journal.note(replace(aside, generation=journal.stack.made))
        journal.tell(ended, "UPDATE_COMPLETE", touch=Touch.NONE, settled=False, before=None, callback={})
        return True
