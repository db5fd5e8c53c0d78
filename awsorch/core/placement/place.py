"""Placing: which instances take a group of identical tasks, and why the others do not.

``place`` decides and changes nothing: the caller writes Task records, which the fleet follows. Its answer is that
of the sequential greedy: task after task, the best instance by the strategies among those that pass the filters,
with the tasks before counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from awsorch.core.model import Constraint, Demand, Strategy
from awsorch.core.model_story import Refused
from awsorch.core.placement.expression import compile_expression
from awsorch.core.placement.filters import REASONS, Needs, filter_of
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.index import Index, Lane
from awsorch.core.placement.lanes import Dice, Given, Key, OrderedLane, PackedLane, RandomLane, Terms, first_packed
from awsorch.core.placement.question import Question
from awsorch.core.placement.slot import Slot
from awsorch.core.placement.strategies import Chain, chain_of

MOST_FAILURES = 100
_IDS_TOLD = 5
Takers = PackedLane | OrderedLane | RandomLane


@dataclass(frozen=True, slots=True)
class Request:
    """``count`` identical tasks of one group. ``constraints``: the request's and the task definition's together.
    ``seed`` decides what ``random`` chooses. ``only``: place on these instances (StartTask). ``capacity_provider``:
    place on its instances (unless ``only`` is given). ``explain``: tell in ``refused`` who refused the first task even
    if all were placed."""

    demand: Demand
    count: int
    group: str
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    seed: int = 0
    only: frozenset[str] | None = None
    capacity_provider: str | None = None
    explain: bool = False


class Decision(NamedTuple):
    """``placed``: an instance id per placed task; ``gpus``: the GPU ids of each. ``considered``: instances looked
    at. When some task found no place: ``refused`` counts the instances by filter, and ``failures`` has (instance id,
    ECS's reason) of each, the first 100 at most."""

    placed: tuple[str, ...]
    gpus: tuple[tuple[str, ...], ...]
    refused: tuple[Refused, ...]
    considered: int
    failures: tuple[tuple[str, str], ...]


def place(fleet: Fleet, request: Request) -> Decision:
    """Decide where the tasks go. Raises InvalidParameterException for an expression that is none."""
    demand, only = request.demand, request.only
    if only is None:
        provider = request.capacity_provider
        question = fleet.question(demand.attributes, request.constraints, request.strategies, provider)
        considered = fleet.active(provider)
    else:
        question = _question_of(_pool(fleet, request), request)
        considered = len(only)
    needs = Needs(demand, request.group, question.filter)
    placed: list[str] = []
    gpus: list[tuple[str, ...]] = []
    for slot, taken, now in _give(fleet, request, question, needs):
        placed += [slot.id] * now
        if needs.gpus:
            free, each = slot.free_gpus(), demand.gpus
            gpus += [free[n * each : (n + 1) * each] if each else free for n in range(taken, taken + now)]
    refused: tuple[Refused, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    if len(placed) < request.count:
        refused, failures = _explain(needs, _pool(fleet, request), Counter(placed))
    elif request.explain:
        refused, _ = _explain(needs, _pool(fleet, request), Counter())
    return Decision(tuple(placed), tuple(gpus) if needs.gpus else ((),) * len(placed), refused, considered, failures)


def matches(fleet: Fleet, instance_id: str, expression: str) -> bool:
    """Whether an instance that the fleet knows satisfies a cluster query (ListContainerInstances' filter)."""
    slot = fleet.slot(instance_id)
    if slot is None or slot.instance is None:
        return False
    return compile_expression(expression).holds(slot.instance, slot.running, slot.groups.keys())


def _question_of(pool: Iterable[Slot], request: Request) -> Question:
    """The request's question, asked of these instances only."""
    conditions, chain = filter_of(request.demand.attributes, request.constraints), chain_of(request.strategies)
    index = Index(chain.attributes, chain.by_cpu)
    for slot in pool:
        if slot.open and slot.instance is not None and conditions.accepts(slot.instance):
            index.put(slot)
    return Question(conditions, chain, index, 0)


def _give(fleet: Fleet, request: Request, question: Question, needs: Needs) -> list[Given]:
    """Which instances take how many of the tasks, in the order in which they are taken."""
    chain, demand, lanes = question.chain, needs.demand, question.lanes()
    sizes = question.index.sizes(demand.cpu, demand.memory)
    if question.direct and request.count == 1:
        counts = fleet.spread_counts(question.spread, request.group) if question.spread else None
        first = first_packed(needs, sizes, fleet.slots_by_order, lanes, counts)
        return [] if first is None else [(first, 0, 1)]
    terms = Terms(needs, chain.inner, sizes, fleet.slots_by_order)

    def order_of(lane: Lane) -> Takers:
        if dice is not None:
            return RandomLane(terms, lane, dice)
        return PackedLane(terms, lane) if question.packs else OrderedLane(terms, lane)

    dice = Dice(request.seed) if chain.random else None
    if chain.attributes:
        shared = [fleet.spread_counts(name, request.group) for name in chain.attributes]
        return _Round(chain, shared, lanes, order_of, dice).give(request.count)
    given: list[Given] = []
    for lane in lanes:  # one at most: without spread attributes nothing tells lanes apart
        order_of(lane).take(request.count, given)
    return given


class _Level:
    """A lane and how many tasks of the group it has. Its order is made when it is first asked."""

    __slots__ = ("_made", "_order_of", "count", "lane")

    def __init__(self, lane: Lane, order_of: Callable[[Lane], Takers], count: int) -> None:
        self.lane = lane
        self.count = count
        self._order_of = order_of
        self._made: Takers | None = None

    def made(self) -> Takers:
        if self._made is None:
            self._made = self._order_of(self.lane)
        return self._made


class _Round:
    """Giving tasks to several lanes in turn."""

    def __init__(
        self,
        chain: Chain,
        shared: list[Mapping[str | None, int]],
        lanes: list[Lane],
        order_of: Callable[[Lane], Takers],
        dice: Dice | None,
    ) -> None:
        self._chain = chain
        self._shared = shared
        self._dice = dice
        self._lanes = [_Level(lane, order_of, shared[0].get(lane.values[0], 0)) for lane in lanes]
        self._given: list[Given] = []

    def give(self, count: int) -> list[Given]:
        """Give the tasks to instances, as far as there is room."""
        if self._chain.spreads:
            self._fill(count)
        else:
            self._one_by_one(count)
        return self._given

    def _fill(self, count: int) -> None:
        """Spread over one attribute before anything else: raise the lanes that have fewest tasks, level by level. Only
        the last tasks, fewer than the lanes they could go to, depend on how the lanes' heads compare."""
        lanes, left = self._lanes, count
        while left and lanes:
            low = min([lane.count for lane in lanes])
            lowest = [lane for lane in lanes if lane.count == low]
            each = left // len(lowest)
            if not each:
                lowest, each = self._best([(lane, ()) for lane in lowest]), 1
            elif each > 1 and len(lowest) < len(lanes):
                each = min(each, min([lane.count for lane in lanes if lane.count > low]) - low)
            for lane in lowest:
                given = lane.made().take(each, self._given)
                lane.count += given
                left -= given
                if given < each:
                    lanes.remove(lane)

    def _one_by_one(self, count: int) -> None:
        """Any other chain that spreads over attributes: compare the lanes' heads for each task."""
        shared = [dict(counts) for counts in self._shared]
        for _ in range(count):
            best = self._best([(lane, tuple(map(dict.get, shared, lane.lane.values))) for lane in self._lanes])
            if not best:
                return
            best[0].made().take(1, self._given)
            for counts, value in zip(shared, best[0].lane.values, strict=True):
                counts[value] = counts.get(value, 0) + 1

    def _best(self, lanes: list[tuple[_Level, tuple[int | None, ...]]]) -> list[_Level]:
        """The best of the lanes that have room, given their counts by attribute; none if none has. Those without
        are dropped for good."""
        best: list[_Level] = []
        least: tuple[int, ...] | None = None
        for lane, counts in lanes:
            head = lane.made().head()
            if head is None:
                self._lanes.remove(lane)
                continue
            score = self._score(head, counts) if counts else head
            if least is None or score < least:
                best, least = [lane], score
            elif score == least:
                best.append(lane)
        if len(best) > 1 and self._dice is not None:
            return [best[self._dice.below(len(best))]]
        return best[:1]

    def _score(self, head: Key, counts: tuple[int | None, ...]) -> tuple[int, ...]:
        """The head's key with the lane's counts where the chain has them."""
        own = iter(head)
        mixed = [counts[step] or 0 if isinstance(step, int) else next(own) for step in self._chain.steps]
        return (*mixed, *own)


def _pool(fleet: Fleet, request: Request) -> list[Slot]:
    """The instances that the request is about, by id."""
    if request.only is not None:
        return [fleet.slot(i) or Slot(i) for i in sorted(request.only)]
    provider = request.capacity_provider
    slots = [
        slot
        for slot in fleet.slots()
        if slot.instance is not None
        and slot.instance.status == "ACTIVE"
        and provider in (None, slot.instance.capacity_provider)
    ]
    slots.sort(key=lambda slot: slot.id)
    return slots


def _explain(
    needs: Needs, pool: Iterable[Slot], taken: Mapping[str, int]
) -> tuple[tuple[Refused, ...], tuple[tuple[str, str], ...]]:
    by_filter: dict[str, list[str]] = {}
    failures: list[tuple[str, str]] = []
    for slot in pool:
        why = needs.why_not(slot, taken.get(slot.id, 0))
        if why is not None:
            by_filter.setdefault(why, []).append(slot.id)
            if len(failures) < MOST_FAILURES:
                failures.append((slot.id, REASONS[why]))
    refused = tuple(
        Refused(filter=name, reason=REASONS[name], instances=len(ids), instance_ids=tuple(ids[:_IDS_TOLD]))
        for name, ids in by_filter.items()
    )
    return refused, tuple(failures)
