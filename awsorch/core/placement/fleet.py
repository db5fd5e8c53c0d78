"""The fleet: what placement must know of a cluster's instances and tasks, kept up to date record by record.

It is derived from the records and never stored. Every change is given as (old, new), so undoing one is the
same call with the two swapped, and records may come in any order. What is remembered to answer quickly
(kinds, indexes, questions, counts) is no part of its value: fleets that saw the same records are equal and
decide alike, whatever was asked of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from awsorch.core.model import Constraint, ContainerInstance, Demand, Strategy, Task
from awsorch.core.placement.filters import Filter, filter_of
from awsorch.core.placement.index import Index
from awsorch.core.placement.kinds import Kinds
from awsorch.core.placement.question import Question
from awsorch.core.placement.slot import Free, Hold, Slot, hold_of, hold_of_demand
from awsorch.core.placement.strategies import chain_of

_NO_COUNTS: Mapping[str | None, int] = {}
_ATTRIBUTES_COUNTED = 16
_INDEXES_KEPT = 16
_QUESTIONS_KEPT = 1024


class Fleet:
    """The instances of one cluster and what their tasks hold."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._by_order: dict[int, Slot] = {}
        self._active: dict[str | None, int] = {}
        self._active_in_all = 0
        self._kinds = Kinds(self._mark)
        self._indexes: dict[tuple[tuple[str, ...], bool], Index] = {}
        self._questions: dict[tuple[object, ...], Question] = {}
        self._growth = 0
        self._counts: dict[str, dict[str, dict[str | None, int]]] = {}

    # -- records ---------------------------------------------------------------------------------------------------

    def instance_changed(self, old: ContainerInstance | None, new: ContainerInstance | None) -> None:
        """Follow a ContainerInstance record that came, changed or went."""
        record = new or old
        if record is None or old is new:
            return
        slot = self._slot_for(record.id)
        self._count_active(slot.instance, -1)
        self._count_active(new, 1)
        for attribute, table in self._counts.items():
            for group, count in slot.groups.items():
                if slot.instance is not None:
                    _add(table, group, slot.instance.attributes.get(attribute), -count)
                if new is not None:
                    _add(table, group, new.attributes.get(attribute), count)
        slot.become(new)
        self._kinds.sort(slot)
        self._growth += 1
        self._mark(slot)
        self._drop_if_empty(slot)

    def task_changed(self, old: Task | None, new: Task | None) -> None:
        """Follow a Task record that came, changed or went. Tasks on instances that are not known are counted too."""
        if old is not None and new is not None and _alike(old, new):
            return
        if old is not None and old.holds_resources:
            slot = self._slot_for(str(old.instance_id))
            del (slot.held if old.held else slot.tasks)[old.id]
            self._carry(slot, hold_of(old), -1)
        if new is not None and new.holds_resources:
            slot = self._slot_for(str(new.instance_id))
            (slot.held if new.held else slot.tasks)[new.id] = None
            self._carry(slot, hold_of(new), 1)

    def assume(self, demand: Demand, group: str, placed: Sequence[str]) -> None:
        """Count tasks for which there are no records, one for each instance id in ``placed``: in a fleet that is only
        imagined, to ask what comes next."""
        hold = hold_of_demand(demand, group)
        if len(placed) == 1:
            self._carry(self._slot_for(placed[0]), hold, 1)
            return
        for instance_id, times in Counter(placed).items():
            self._carry(self._slot_for(instance_id), hold, times)

    def imagine(self, added: Iterable[ContainerInstance] = (), removed: Collection[str] = ()) -> Fleet:
        """A fleet of its own with instances more or less; the tasks of the removed ones stay where they are."""
        other = Fleet()
        for slot in self._slots.values():
            twin = other._slots[slot.id] = other._by_order[slot.order] = slot.copy()
            other._kinds.sort(twin)
        other._active = dict(self._active)
        other._active_in_all = self._active_in_all
        for instance_id in removed:
            if (known := other._slots.get(instance_id)) is not None:
                other.instance_changed(known.instance, None)
        for instance in added:
            other.instance_changed(None, instance)
        return other

    # -- views -----------------------------------------------------------------------------------------------------

    def free(self, instance_id: str) -> Free:
        """What the instance has left."""
        slot = self._slots.get(instance_id)
        return (slot or Slot(instance_id)).free()

    def running_count(self, instance_id: str) -> int:
        """ECS's runningTasksCount: tasks there with desired status RUNNING."""
        slot = self._slots.get(instance_id)
        return slot.running if slot else 0

    def pending_count(self, instance_id: str) -> int:
        """ECS's pendingTasksCount: tasks there whose last status is PENDING."""
        slot = self._slots.get(instance_id)
        return slot.pending if slot else 0

    def tasks_on(self, instance_id: str) -> Collection[str]:
        """The ids of the tasks placed there that have not stopped."""
        slot = self._slots.get(instance_id)
        return slot.tasks.keys() if slot else ()

    def held_on(self, instance_id: str) -> Collection[str]:
        """The ids of the tasks that were given up and whose room is kept there all the same."""
        slot = self._slots.get(instance_id)
        return slot.held.keys() if slot else ()

    def groups_on(self, instance_id: str) -> Collection[str]:
        """The groups that have a task with desired status RUNNING there."""
        slot = self._slots.get(instance_id)
        return slot.groups.keys() if slot else ()

    # -- for placement ---------------------------------------------------------------------------------------------

    @property
    def growth(self) -> int:
        """A number that changes whenever some instance may have room, or pass a filter, that it had not before.
        Tasks that come never change it."""
        return self._growth

    def active(self, capacity_provider: str | None = None) -> int:
        """How many instances (of a capacity provider) are ACTIVE, whether their agent is connected or not."""
        return self._active_in_all if capacity_provider is None else self._active.get(capacity_provider, 0)

    def slots(self) -> Iterator[Slot]:
        """Every slot, those of instances that are unknown or not ACTIVE included."""
        return iter(self._slots.values())

    def slot(self, instance_id: str) -> Slot | None:
        """The slot of an instance, where the fleet has heard of it."""
        return self._slots.get(instance_id)

    @property
    def slots_by_order(self) -> Mapping[int, Slot]:
        """Every slot by its order."""
        return self._by_order

    def question(
        self,
        attributes: tuple[tuple[str, str | None], ...],
        constraints: tuple[Constraint, ...],
        strategies: tuple[Strategy, ...],
        capacity_provider: str | None,
    ) -> Question:
        """What requests with these conditions and strategies ask, with its index up to date until the fleet changes.
        Raises InvalidParameterException for an expression that is none."""
        key = attributes, constraints, strategies, capacity_provider
        question = self._questions.get(key)
        if question is None:
            conditions, chain = filter_of(attributes, constraints, capacity_provider), chain_of(strategies)
            bit = self._filter_bit(conditions)
            question = Question(conditions, chain, self._index(chain.attributes, chain.by_cpu), bit)
            if len(self._questions) >= _QUESTIONS_KEPT:
                del self._questions[next(iter(self._questions))]
            self._questions[key] = question
        if question.index.stale:
            question.index.refresh()
        return question

    def spread_counts(self, attribute: str, group: str) -> Mapping[str | None, int]:
        """How many tasks of the group with desired status RUNNING are on instances with each value of the attribute."""
        table = self._counts.get(attribute)
        if table is None:
            if len(self._counts) >= _ATTRIBUTES_COUNTED:
                del self._counts[next(iter(self._counts))]
            table = self._counts[attribute] = {}
            for slot in self._slots.values():
                if slot.instance is not None:
                    for name, count in slot.groups.items():
                        _add(table, name, slot.instance.attributes.get(attribute), count)
        return table.get(group, _NO_COUNTS)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _index(self, attributes: tuple[str, ...], by_cpu: bool) -> Index:
        """The index of all candidates by these spread attributes and this primary resource."""
        key = attributes, by_cpu
        index = self._indexes.get(key)
        if index is None:
            if len(self._indexes) >= _INDEXES_KEPT:
                del self._indexes[next(iter(self._indexes))]
                self._questions.clear()
            index = self._indexes[key] = Index(attributes, by_cpu)
            index.stale.update(self._by_order)
        return index

    def _filter_bit(self, asked: Filter) -> int:
        """The bit that the kinds of instances accepted by the filter have. Ask before ``_index``."""
        kinds = self._kinds
        bit = kinds.bit_of(asked)
        if bit is not None:
            return bit
        if kinds.full:
            kinds.forget(self._slots.values())
            self._indexes.clear()
            self._questions.clear()
        return kinds.learn(asked, self._slots.values())

    def _slot_for(self, instance_id: str) -> Slot:
        slot = self._slots.get(instance_id)
        if slot is None:
            slot = self._slots[instance_id] = Slot(instance_id)
            while slot.order in self._by_order:
                slot.order += 1
            self._by_order[slot.order] = slot
        return slot

    def _count_active(self, instance: ContainerInstance | None, by: int) -> None:
        if instance is not None and instance.status == "ACTIVE":
            self._active_in_all += by
            provider = instance.capacity_provider
            self._active[provider] = self._active.get(provider, 0) + by

    def _carry(self, slot: Slot, hold: Hold, times: int) -> None:
        slot.carry(hold, times)
        group = hold.group
        instance = slot.instance
        if group is not None and instance is not None:
            for attribute, table in self._counts.items():
                _add(table, group, instance.attributes.get(attribute), times)
        for index in self._indexes.values():
            index.stale[slot.order] = slot
        if times < 0:
            self._growth += 1
            self._drop_if_empty(slot)

    def _drop_if_empty(self, slot: Slot) -> None:
        if slot.instance is None and not slot.tasks and not slot.held and self._slots.pop(slot.id, None) is not None:
            del self._by_order[slot.order]

    def _mark(self, slot: Slot) -> None:
        for index in self._indexes.values():
            index.stale[slot.order] = slot

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fleet):
            return NotImplemented
        return self._slots.keys() == other._slots.keys() and all(
            slot.same_as(other._slots[name]) for name, slot in self._slots.items()
        )

    __hash__ = None  # type: ignore[assignment]


def _alike(old: Task, new: Task) -> bool:
    """Whether nothing differs that placement looks at."""
    return (
        old.last_status == new.last_status
        and old.desired_status == new.desired_status
        and old.held == new.held
        and old.instance_id == new.instance_id
        and old.containers is new.containers
        and old.demand is new.demand
        and old.gpu_ids == new.gpu_ids
        and old.group == new.group
    )


def _add(table: dict[str, dict[str | None, int]], group: str, value: str | None, by: int) -> None:
    counts = table.get(group)
    if counts is None:
        counts = table[group] = {}
    left = counts.get(value, 0) + by
    if left:
        counts[value] = left
        return
    del counts[value]
    if not counts:
        del table[group]
