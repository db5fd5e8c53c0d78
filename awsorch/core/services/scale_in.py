"""Which tasks of a service go first when it has too many: the choice leaves what is left placed best.

Spread gives up one where the value has most tasks of the group, strategy by strategy; binpack one on the instance that
has most left; among equals goes the newest. What a strategy thinks of a task depends on the task's instance alone, so
tasks are ordered by instance, in tiers: one a strategy, each a heap. A choice costs a few heap operations, not a look
at every task.

Source: ECS developer guide, "Use strategies to define Amazon ECS task placement" (scale-in), "Amazon ECS services".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Protocol

from awsorch.core.model import Strategy, Task
from awsorch.core.placement.strategies import DEFAULT_STRATEGIES
from awsorch.core.state import ClusterState

_PER_INSTANCE = ("instanceid", "host")

#: One number a strategy and one for the newest task, each less where a task should go sooner.
_Key = tuple[int, ...]


def choose(
    state: ClusterState, strategies: Sequence[Strategy], group: str, ids: Iterable[str], count: int
) -> list[Task]:
    """Up to ``count`` of the tasks, the one that goes first first. For n tasks and one spread attribute it costs
    O((n + count) log n); each further attribute multiplies that by its number of values at worst."""
    oldest_first = sorted((state.tasks[task_id] for task_id in ids), key=lambda task: (task.created_at, task.id))
    ranks = [
        _Rank(state, strategy, group) for strategy in strategies or DEFAULT_STRATEGIES if strategy.type != "random"
    ]
    hosts: dict[str | None, _Host] = {}
    for age, task in enumerate(oldest_first):
        hosts.setdefault(task.instance_id, _Host(task.instance_id)).ages.append(age)
    order = _order(ranks)
    for host in hosts.values():
        order.add(host)
    chosen: list[Task] = []
    while len(chosen) < min(count, len(oldest_first)):
        host = order.pop()
        task = oldest_first[host.ages.pop()]
        chosen.append(task)
        for rank in ranks:
            rank.leaves(task)
        if host.ages:
            order.add(host)
    return chosen


class _Host:
    """Tasks on one instance that may still be chosen, by age, the newest last."""

    __slots__ = ("ages", "instance_id")

    def __init__(self, instance_id: str | None) -> None:
        self.instance_id = instance_id
        self.ages: list[int] = []


class _Rank:
    """How gladly a task is stopped by one strategy; follows the tasks that were chosen.

    Instances are told apart by their ``bin``: the value of an attribute, whose rank only sinks as tasks are chosen; or,
    where the strategy is about single instances, their rank itself, which changes only when one of their own tasks is
    chosen."""

    def __init__(self, state: ClusterState, strategy: Strategy, group: str) -> None:
        self._state = state
        self._field = (strategy.field or "").removeprefix("attribute:")
        self._group = group
        self._packs = strategy.type == "binpack"
        self._single = self._packs or self._field.lower() in _PER_INSTANCE
        self._left: Counter[str | None] = Counter()

    def bin_of(self, instance_id: str | None) -> Hashable:
        """Where an instance belongs now."""
        if not self._single:
            return self._value(instance_id)
        count = self._room(instance_id) if self._packs else self._tasks(instance_id)
        return count + self._left[instance_id]

    def rank_of(self, bin_: Hashable) -> int:
        """Greater is stopped sooner."""
        if isinstance(bin_, int):
            return bin_
        value = None if bin_ is None else str(bin_)
        return self._state.fleet.spread_counts(self._field, self._group).get(value, 0) + self._left[value]

    def leaves(self, task: Task) -> None:
        """A task was chosen: its value has one less, or its instance more room."""
        demand = task.demand
        if self._packs:
            self._left[task.instance_id] += demand.cpu if self._field.lower() == "cpu" else demand.memory
        else:
            self._left[task.instance_id if self._single else self._value(task.instance_id)] -= 1

    def _value(self, instance_id: str | None) -> str | None:
        instance = self._state.instances.get(instance_id or "")
        return instance.attributes.get(self._field) if instance is not None else None

    def _tasks(self, instance_id: str | None) -> int:
        slot = self._state.fleet.slot(instance_id or "")
        return slot.groups.get(self._group, 0) if slot is not None else 0

    def _room(self, instance_id: str | None) -> int:
        free = self._state.fleet.free(instance_id or "")
        return free.cpu if self._field.lower() == "cpu" else free.memory


class _Order(Protocol):
    """Hosts in the order in which their newest tasks are to go."""

    def add(self, host: _Host) -> None:
        """Put in a host that is not there."""

    def best(self) -> _Key | None:
        """The key of the host that comes first; None where there is none."""

    def pop(self) -> _Host:
        """Take out the host that comes first."""


def _order(ranks: Sequence[_Rank]) -> _Order:
    return _Tier(ranks[0], ranks[1:]) if ranks else _Newest()


class _Newest:
    """Hosts between which no strategy sees a difference."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, _Host]] = []

    def add(self, host: _Host) -> None:
        heappush(self._heap, (-host.ages[-1], host))

    def best(self) -> _Key | None:
        return (self._heap[0][0],) if self._heap else None

    def pop(self) -> _Host:
        return heappop(self._heap)[1]


class _Tier:
    """Hosts in bins of one strategy, ordered by those that follow within each.

    A key in the heap is never worse than its bin's own, because ranks only sink until a host is put in; so the first
    one that is still true is the best.
    """

    def __init__(self, rank: _Rank, following: Sequence[_Rank]) -> None:
        self._rank = rank
        self._following = following
        self._bins: dict[Hashable, _Order] = {}
        self._keys: dict[Hashable, _Key] = {}
        self._heap: list[tuple[_Key, Hashable]] = []

    def add(self, host: _Host) -> None:
        bin_ = self._rank.bin_of(host.instance_id)
        if bin_ not in self._bins:
            self._bins[bin_] = _order(self._following)
        self._bins[bin_].add(host)
        key, known = self._key(bin_), self._keys.get(bin_)
        if key is not None and (known is None or key < known):
            self._push(key, bin_)

    def best(self) -> _Key | None:
        while self._heap:
            said, bin_ = self._heap[0]
            if self._keys.get(bin_) == said:
                key = self._key(bin_)
                if key == said:
                    return key
                del self._keys[bin_]
                if key is not None:
                    self._push(key, bin_)
            heappop(self._heap)
        return None

    def pop(self) -> _Host:
        if self.best() is None:
            raise IndexError("there is no host")
        return self._bins[self._heap[0][1]].pop()

    def _push(self, key: _Key, bin_: Hashable) -> None:
        self._keys[bin_] = key
        heappush(self._heap, (key, bin_))

    def _key(self, bin_: Hashable) -> _Key | None:
        best = self._bins[bin_].best()
        return None if best is None else (-self._rank.rank_of(bin_), *best)
