"""Deletes resources of a stack, what needs others before those, and leaves what is to be retained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from awsorch.cfn.contract import Action, Outcome
from awsorch.local.stacks.graph import circular
from awsorch.local.stacks.journal import Journal
from awsorch.local.stacks.records import Resource
from awsorch.local.stacks.steps import Steps, said_of
from awsorch.local.stacks.walk import walk


class Removal:
    """Removes resources that the store has as retired, or as they stand."""

    def __init__(self, journal: Journal, steps: Steps) -> None:
        self._journal = journal
        self._steps = steps

    async def remove(self, resources: Iterable[Resource], keep: frozenset[str] = frozenset()) -> list[str]:
        """Delete them, all but those in `keep`, which are forgotten only; answers the logical ids of what could not be
        deleted and is still known."""
        by_key = {each.key: each for each in resources}
        graph = {
            key: frozenset(other for other, user in by_key.items() if other != key and each.logical_id in user.needs)
            for key, each in by_key.items()
        }
        for key in circular(graph):  # of two templates' graphs together
            graph[key] = frozenset()

        async def visit(key: str) -> bool:
            return await self._remove(by_key[key], by_key[key].logical_id in keep)

        failed = await walk(graph, visit)
        return sorted(by_key[key].logical_id for key in failed)

    async def _remove(self, resource: Resource, kept: bool) -> bool:
        journal = self._journal
        if not resource.physical_id:
            journal.store.remove(journal.stack_id, resource)
            return True
        if kept or resource.deletion_policy == "Retain":
            journal.tell(resource, "DELETE_SKIPPED")
            journal.store.remove(journal.stack_id, resource)
            return True
        began = resource
        if resource.status != "DELETE_IN_PROGRESS":
            cleared = replace(resource, callback={}, since=journal.now())
            began = journal.tell(cleared, "DELETE_IN_PROGRESS")
        retried = resource.status == "DELETE_IN_PROGRESS"
        progress, ended = await self._steps.carry(Action.DELETE, began, retried=retried)
        if progress.outcome is Outcome.FAILED:
            journal.tell(ended, "DELETE_FAILED", said_of(progress, journal.stack_id, ended))
            return False
        gone = journal.tell(ended, "DELETE_COMPLETE")
        journal.store.remove(journal.stack_id, gone)
        return True
