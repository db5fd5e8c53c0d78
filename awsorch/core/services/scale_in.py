"""Which tasks of a service go first when it has too many: the choice leaves what is left placed best.

Source: ECS developer guide, "Use strategies to define Amazon ECS task placement" (scale-in), "Amazon ECS services".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from awsorch.core.model import Strategy, Task
from awsorch.core.placement.strategies import DEFAULT_STRATEGIES
from awsorch.core.state import ClusterState

_PER_INSTANCE = ("instanceid", "host")


def choose(
    state: ClusterState, strategies: Sequence[Strategy], group: str, ids: Iterable[str], count: int
) -> list[Task]:
    """Up to ``count`` of the tasks. Spread: one where the value has most tasks of the group, strategy by strategy;
    binpack: one on the instance that has most left; among equals the newest."""
    ranks = [_Rank(state, strategy, group) for strategy in strategies or DEFAULT_STRATEGIES]
    pool = [state.tasks[task_id] for task_id in ids]
    chosen: list[Task] = []
    while pool and len(chosen) < count:
        worst = max(pool, key=lambda task: (*(rank.of(task) for rank in ranks), task.created_at, task.id))
        pool.remove(worst)
        chosen.append(worst)
        for rank in ranks:
            rank.leaves(worst)
    return chosen


class _Rank:
    """How gladly a task is stopped by one strategy; follows the tasks that were chosen."""

    def __init__(self, state: ClusterState, strategy: Strategy, group: str) -> None:
        self._state = state
        self._type = strategy.type
        self._field = (strategy.field or "").removeprefix("attribute:")
        self._group = group
        self._left: Counter[str | None] = Counter()

    def of(self, task: Task) -> int:
        """Greater is stopped sooner."""
        value = self._value(task)
        if self._type == "spread":
            return self._count(value) - self._left[value]
        if self._type == "binpack":
            return self._room(task) + self._left[value]
        return 0

    def leaves(self, task: Task) -> None:
        """A task was chosen: its value has one less, or its instance more room."""
        demand = task.demand
        freed = demand.cpu if self._field.lower() == "cpu" else demand.memory
        self._left[self._value(task)] += freed if self._type == "binpack" else 1

    def _value(self, task: Task) -> str | None:
        if self._type == "binpack" or self._field.lower() in _PER_INSTANCE:
            return task.instance_id
        instance = self._state.instances.get(task.instance_id or "")
        return instance.attributes.get(self._field) if instance is not None else None

    def _count(self, value: str | None) -> int:
        if self._field.lower() in _PER_INSTANCE:
            slot = self._state.fleet.slot(value or "")
            return slot.groups.get(self._group, 0) if slot is not None else 0
        return self._state.fleet.spread_counts(self._field, self._group).get(value, 0)

    def _room(self, task: Task) -> int:
        free = self._state.fleet.free(task.instance_id or "")
        return free.cpu if self._field.lower() == "cpu" else free.memory
