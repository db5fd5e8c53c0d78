"""Waiting tasks, machines and orders by capacity provider, and the instances that machines became.

Derived from the records, like everything in ``indexes.py``.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from awsorch.core.lifecycle import is_final
from awsorch.core.model import ContainerInstance, Task
from awsorch.core.model_capacity import Launch, Machine

_NONE: dict[str, None] = {}


class CapacityIndex:
    """Follows the tables of a cluster partition that have to do with capacity."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[float, str]]] = {}
        self._machines: dict[str, dict[str, None]] = {}
        self._launches: dict[str, dict[str, None]] = {}
        self._tasks: dict[str, int] = {}
        self.waiting_count = 0

    def waiting(self, provider: str) -> list[str]:
        """Ids of the tasks that wait for this provider, oldest first."""
        return [task_id for _, task_id in self._waiting.get(provider, ())]

    def has_tasks(self, provider: str) -> bool:
        """Whether a task that has not STOPPED is this provider's."""
        return provider in self._tasks

    def machines(self, provider: str) -> list[str]:
        """Ids of the provider's machines."""
        return list(self._machines.get(provider, _NONE))

    def launches(self, provider: str) -> list[str]:
        """Ids of its orders that are not confirmed."""
        return list(self._launches.get(provider, _NONE))

    def task_changed(self, old: Task | None, new: Task | None) -> None:
        """Follow one task."""
        was, now = _owner(old), _owner(new)
        if was != now:
            self._count(was, -1)
            self._count(now, 1)
        before, after = _place(old), _place(new)
        if before == after:
            return
        if before is not None:
            provider, entry = before
            line = self._waiting[provider]
            del line[bisect_left(line, entry)]
            self.waiting_count -= 1
            if not line:
                del self._waiting[provider]
        if after is not None:
            provider, entry = after
            insort(self._waiting.setdefault(provider, []), entry)
            self.waiting_count += 1

    def _count(self, provider: str | None, by: int) -> None:
        if provider is None:
            return
        left = self._tasks.get(provider, 0) + by
        if left:
            self._tasks[provider] = left
        else:
            del self._tasks[provider]

    def machine_changed(self, old: Machine | None, new: Machine | None) -> None:
        """Follow one machine."""
        _follow(self._machines, old, new)

    def launch_changed(self, old: Launch | None, new: Launch | None) -> None:
        """Follow one order."""
        _follow(self._launches, old, new)


def make_of(instance: ContainerInstance) -> str | None:
    """What tells how further instances of a capacity provider will be: the provider and the instance type."""
    if instance.capacity_provider is None:
        return None
    return f"{instance.capacity_provider}/{instance.attributes.get('ecs.instance-type')}"


def _owner(task: Task | None) -> str | None:
    return task.capacity_provider if task is not None and not is_final(task.last_status) else None


def _place(task: Task | None) -> tuple[str, tuple[float, str]] | None:
    """The line in which a task waits, and where in it."""
    if task is None or task.waiting is None or task.capacity_provider is None:
        return None
    return task.capacity_provider, (task.created_at, task.id)


def _follow(table: dict[str, dict[str, None]], old: Machine | Launch | None, new: Machine | Launch | None) -> None:
    if old is not None and (new is None or new.provider != old.provider):
        group = table[old.provider]
        del group[old.id]
        if not group:
            del table[old.provider]
    if new is not None:
        table.setdefault(new.provider, {})[new.id] = None
