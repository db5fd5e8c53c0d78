"""Forget stopped tasks, RunTask tokens and task definition copies that nobody can ask for any more."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from awsorch.core.copies import remove
from awsorch.core.model import RunToken
from awsorch.core.state import ClusterState, Transaction
from awsorch.core.wakes import RETENTION_S, TOKEN_LIFE_S

BATCH = 50
KEY = ("expire_tasks", "")


def look(tx: Transaction[ClusterState], subject: str) -> None:
    """Remove up to 50 tasks that stopped more than an hour ago, and tokens whose time is up."""
    state = tx.state
    due = [task_id for at, task_id in state.task_index.stopped[:BATCH] if at + RETENTION_S <= tx.now]
    _remember(tx, Counter(state.tasks[task_id].instance_id or "" for task_id in due))
    for task_id in due:
        remove(tx, state.tasks[task_id])
    gone = [token for token in state.tokens.values() if _is_over(state, token, tx.now)][:BATCH]
    for token in gone:
        tx.remove(token)
    if len(due) == BATCH or len(gone) == BATCH:
        tx.wake(KEY)
        return
    if state.task_index.stopped:
        tx.wake(KEY, state.task_index.stopped[0][0] + RETENTION_S)
    if state.tokens:
        tx.wake(KEY, min(t.created_at for t in state.tokens.values()) + TOKEN_LIFE_S)


def _remember(tx: Transaction[ClusterState], going: Counter[str]) -> None:
    """Keep in each instance's version that so many of its tasks came and went."""
    for instance_id, count in going.items():
        instance = tx.state.instances.get(instance_id)
        if instance is not None:
            tx.put(replace(instance, version=instance.version + 2 * count))


def _is_over(state: ClusterState, token: RunToken, now: float) -> bool:
    """A day old, or all of its tasks have been forgotten (an hour after the last one stopped)."""
    return token.created_at + TOKEN_LIFE_S <= now or not any(i in state.tasks for i in token.task_ids)
