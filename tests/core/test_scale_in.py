"""Which tasks go first: what trying every task at every choice comes to, at the price of a few heap operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awsorch.core.model import Demand, Strategy, Task
from awsorch.core.placement.strategies import DEFAULT_STRATEGIES
from awsorch.core.services import scale_in
from awsorch.core.services.scale_in import choose
from awsorch.core.state import ClusterState
from tests.core.placement_records import a_task, an_instance

GROUP = "service:web"
SPREADS = ("attribute:ecs.availability-zone", "attribute:rack", "instanceId", "host")
STRATEGIES = [
    *(Strategy(type="spread", field=field) for field in SPREADS),
    Strategy(type="binpack", field="memory"),
    Strategy(type="binpack", field="CPU"),
    Strategy(type="random"),
]


def chosen_by_trying_all(
    state: ClusterState, strategies: Sequence[Strategy], ids: Sequence[str], count: int
) -> list[Task]:
    """The same choice, by its definition."""
    pool = [state.tasks[task_id] for task_id in ids]
    chosen: list[Task] = []
    while pool and len(chosen) < count:
        ranks = [rank_by_definition(state, strategy, chosen) for strategy in strategies or DEFAULT_STRATEGIES]
        pool.sort(key=lambda task: (*(rank(task) for rank in ranks), task.created_at, task.id))
        chosen.append(pool.pop())
    return chosen


def rank_by_definition(state: ClusterState, strategy: Strategy, chosen: Sequence[Task]) -> Any:
    """How gladly one strategy gives a task up when these have gone."""
    field = (strategy.field or "").removeprefix("attribute:").lower()
    if strategy.type == "random":
        return lambda task: 0
    if strategy.type == "binpack":

        def room(task: Task) -> int:
            freed = [getattr(gone.demand, field) for gone in chosen if gone.instance_id == task.instance_id]
            return int(getattr(state.fleet.free(task.instance_id or ""), field) + sum(freed))

        return room

    def value(task: Task) -> str | None:
        instance = state.instances.get(task.instance_id or "")
        if field in ("instanceid", "host"):
            return task.instance_id
        return instance.attributes.get(field) if instance is not None else None

    counted = [t for t in state.tasks.values() if t.group == GROUP and t.holds_resources]
    if field not in ("instanceid", "host"):
        counted = [task for task in counted if task.instance_id in state.instances]
    gone = Counter(value(task) for task in chosen)
    return lambda task: sum(value(other) == value(task) for other in counted) - gone[value(task)]


def a_state(places: Sequence[tuple[str, str | None]], tasks: Sequence[tuple[int | None, int, int]]) -> ClusterState:
    """Instances by (zone, rack); tasks by (instance, memory, when they were made)."""
    state = ClusterState("s")
    instances = [
        an_instance(f"i-{n}", attributes={"ecs.availability-zone": zone, **({"rack": rack} if rack else {})})
        for n, (zone, rack) in enumerate(places)
    ]
    records: list[Any] = list(instances)
    for n, (at, memory, made) in enumerate(tasks):
        on = None if at is None else f"i-{at % (len(places) + 1)}"
        task = a_task(f"t-{n:04}", on=on, demand=Demand(cpu=memory // 2, memory=memory), group=GROUP)
        records.append(replace(task, created_at=float(made)))
    state.load(records, 1)
    return state


@settings(max_examples=300, deadline=None)
@given(
    places=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["r", "s", None])), min_size=1, max_size=6),
    tasks=st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 6)), st.sampled_from([64, 128]), st.integers(0, 3))),
    strategies=st.lists(st.sampled_from(STRATEGIES), max_size=4),
    count=st.integers(0, 12),
)
def test_the_choice_is_that_of_trying_all(
    places: list[tuple[str, str | None]],
    tasks: list[tuple[int | None, int, int]],
    strategies: list[Strategy],
    count: int,
) -> None:
    state = a_state(places, tasks)
    ids = list(state.tasks)
    assert choose(state, strategies, GROUP, ids, count) == chosen_by_trying_all(state, strategies, ids, count)


@pytest.mark.parametrize(
    "strategies",
    [
        (),
        (Strategy(type="binpack", field="memory"),),
        (Strategy(type="spread", field="attribute:ecs.availability-zone"), Strategy(type="binpack", field="memory")),
        (Strategy(type="spread", field="instanceId"), Strategy(type="spread", field="attribute:rack")),
        (Strategy(type="spread", field="attribute:rack"),),
    ],
)
def test_a_choice_does_not_look_at_every_task(
    monkeypatch: pytest.MonkeyPatch, strategies: tuple[Strategy, ...]
) -> None:
    places = [("abc"[n % 3], f"rack {n}") for n in range(300)]
    state = a_state(places, [(n * 7 % 300, 64, n) for n in range(1500)])
    asked = 0
    rank_of = scale_in._Rank.rank_of

    def counted(self: Any, bin_: Any) -> int:
        nonlocal asked
        asked += 1
        return rank_of(self, bin_)

    monkeypatch.setattr(scale_in._Rank, "rank_of", counted)
    assert len(choose(state, strategies, GROUP, list(state.tasks), 1000)) == 1000
    assert asked < 20 * 1500
