"""What more tasks would take: which fit now, what would be launched for the others, and which would fit nowhere.

Tasks are placed on an imagined copy of the fleet, and machines are bought, by the functions that do so in earnest.
Nothing is changed here: it is what ``awsorch plan --add`` shows. Prices are US dollars an hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from awsorch.core.capacity.coming import Imagination, Line, lines_of
from awsorch.core.capacity.failures import is_failing
from awsorch.core.capacity.forecast import (
    AT_MAXIMUM,
    LAUNCHES,
    NO_TYPE_FITS,
    View,
    lacking,
    machines_coming,
    preferred,
    waiting_for,
    why_no_room,
)
from awsorch.core.capacity.group_size import expected_size, smallest, wished_size
from awsorch.core.capacity.orders import machines_for, machines_missing
from awsorch.core.capacity.report import amounts, failure_view
from awsorch.core.capacity.strategy import split
from awsorch.core.events import TaskTemplate
from awsorch.core.model import Constraint, ContainerInstance, Strategy, StrategyItem
from awsorch.core.model_capacity import Offer, Provider
from awsorch.core.model_story import Refused
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.place import Request, place
from awsorch.core.state import ClusterState

#: Whether a machine to be would do, the first one that registers will tell.
UNSURE = "UNSURE"
#: Tasks that no capacity provider would launch for, and that no instance has room for.
NO_ROOM = "NO_ROOM"

Purchase = tuple[Offer, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Tasks that somebody thinks of adding. ``constraints``: all that bind them, the task definition's included;
    ``strategy``: the capacity providers they are split over, none of which leaves them to the instances that there are;
    ``there``: how many of their service's tasks each provider has."""

    name: str
    template: TaskTemplate
    count: int
    strategy: tuple[StrategyItem, ...] = ()
    there: Mapping[str, int] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Share:
    """The tasks of an addition that go to one provider: how many fit now, on which instances, who refused the others;
    ``left`` are those that neither fit nor get a machine, ``why`` says why not."""

    addition: Addition
    provider: str | None
    count: int
    instances: frozenset[str]
    fit: int
    refused: tuple[Refused, ...]
    left: int
    why: str = NO_ROOM

    @property
    def line(self) -> Line:
        """What is left, as a line of waiting tasks."""
        addition, demand = self.addition, self.addition.template.demand
        return Line.of(demand, addition.template.group, addition.constraints, addition.strategies, self.left)


def plan(state: ClusterState, additions: Sequence[Addition], now: float) -> View:
    """What adding these tasks would take: ``{additions: [{name, taskDefinition, count, fit, instances, launched, left,
    reasons}], launches: [{provider, instanceType, zone, spot, count, hourlyPrice}], failures, hourlyPrice}``."""
    fleet = state.fleet.imagine()
    shares = [share for addition in additions for share in _shares(fleet, addition)]
    launches: list[View] = []
    failures: dict[str, View | None] = {}
    for name in dict.fromkeys(share.provider for share in shares if share.left):
        provider = state.providers.get(name or "")
        if provider is None:
            continue
        mine = [share for share in shares if share.left and share.provider == name]
        launches += _launch(state, provider, mine, now)
        if is_failing(provider, now):
            failures[provider.name] = failure_view(provider.failure)
    return {
        "additions": [_view(state, addition, shares) for addition in additions],
        "launches": launches,
        "failures": failures,
        "hourlyPrice": sum(each["hourlyPrice"] for each in launches),
    }


def _shares(fleet: Fleet, addition: Addition) -> Iterator[_Share]:
    """Split the tasks over their providers and place those that fit."""
    template = addition.template
    if addition.strategy:
        counts: Mapping[str | None, int] = Counter(split(addition.strategy, addition.there, addition.count))
    else:
        counts = {None: addition.count}
    for provider, count in counts.items():
        request = Request(
            demand=template.demand,
            count=count,
            group=template.group,
            constraints=addition.constraints,
            strategies=addition.strategies,
            capacity_provider=provider,
        )
        decision = place(fleet, request)
        fleet.assume(template.demand, template.group, decision.placed)
        yield _Share(
            addition=addition,
            provider=provider,
            count=count,
            instances=frozenset(decision.placed),
            fit=len(decision.placed),
            refused=decision.refused,
            left=count - len(decision.placed),
        )


def _launch(state: ClusterState, provider: Provider, shares: Sequence[_Share], now: float) -> Iterator[View]:
    """What the provider would launch for what is left, which is left no more as far as there is room."""
    waiting, mine = lines_of(waiting_for(state, provider)), [share.line for share in shares]
    thought = Imagination(state, provider)
    bought: list[Purchase] = []
    if provider.scales and provider.offers:
        buy = _grow if provider.is_group else _order
        bought, left = buy(state, provider, thought, waiting, mine, now)
        for share, number in zip(shares, left, strict=True):
            share.left = number
    for share in shares:
        if share.left:
            share.why = _why(state, provider, thought, share, len(bought), now)
    for (offer, zone), count in sorted(Counter(bought).items(), key=lambda each: (each[0][0].key, each[0][1])):
        yield {
            "provider": provider.name,
            "instanceType": offer.instance_type,
            "zone": zone,
            "spot": offer.spot,
            "count": count,
            "hourlyPrice": offer.price * count,
        }


def _grow(
    state: ClusterState,
    provider: Provider,
    thought: Imagination,
    waiting: Sequence[Line],
    mine: Sequence[Line],
    _: float,
) -> tuple[list[Purchase], list[int]]:
    """What the group launches beyond what it would for the tasks that wait already, and what of mine has no room."""
    maximum, expected = provider.maximum or 0, expected_size(provider)
    base = max(min(wished_size(state, provider, waiting), maximum), expected)
    goal = max(min(wished_size(state, provider, [*waiting, *mine]), maximum), base)
    coming = machines_coming(state, provider, thought)
    machines = [thought.machine(smallest(provider), number) for number in range(len(coming) + goal - expected)]
    left = thought.left_over(machines, [*waiting, *mine])[len(waiting) :]
    added = machines[len(machines) - (goal - base) :]
    return [(preferred(provider), each.zone or "") for each in added], left


def _order(
    state: ClusterState,
    provider: Provider,
    thought: Imagination,
    waiting: Sequence[Line],
    mine: Sequence[Line],
    now: float,
) -> tuple[list[Purchase], list[int]]:
    """The same of a managed provider, which looks again until all that can be placed is."""
    lines = [*waiting, *mine]
    bought = machines_missing(state, provider, lines, now)
    left = _left_over(state, provider, thought, bought, lines)
    while any(left):
        missing = [replace(line, count=count) for line, count in zip(lines, left, strict=True) if count]
        more = machines_for(state, provider, missing, now)
        still = _left_over(state, provider, thought, [*bought, *more], lines)
        if sum(still) >= sum(left):
            break
        bought, left = [*bought, *more], still
    alone = Counter(machines_missing(state, provider, waiting, now))
    return list((Counter(bought) - alone).elements()), left[len(waiting) :]


def _left_over(
    state: ClusterState, provider: Provider, thought: Imagination, bought: Sequence[Purchase], lines: Sequence[Line]
) -> list[int]:
    machines: list[ContainerInstance] = machines_coming(state, provider, thought)
    machines += [
        thought.machine(offer, number, zone) for number, (offer, zone) in enumerate(bought, start=len(machines))
    ]
    return thought.left_over(machines, lines)


def _why(state: ClusterState, provider: Provider, thought: Imagination, share: _Share, bought: int, now: float) -> str:
    """Why what is left has no room. A provider that fails just now is taken for one that will work."""
    why = why_no_room(state, replace(provider, failure=None), share.line, now)
    if why != LAUNCHES:
        return why
    if not thought.knows(share.line):
        return UNSURE
    at_maximum = provider.is_group and expected_size(provider) + bought >= (provider.maximum or 0)
    return AT_MAXIMUM if at_maximum else NO_TYPE_FITS


def _view(state: ClusterState, addition: Addition, shares: Sequence[_Share]) -> View:
    mine = [share for share in shares if share.addition is addition]
    fit, left = sum(share.fit for share in mine), sum(share.left for share in mine)
    return {
        "name": addition.name,
        "taskDefinition": addition.template.definition.arn,
        **amounts(addition.template.demand),
        "count": addition.count,
        "fit": fit,
        "instances": len(frozenset().union(*(share.instances for share in mine))),
        "launched": addition.count - fit - left,
        "left": left,
        "reasons": [_reason(state, share) for share in mine if share.left],
    }


def _reason(state: ClusterState, share: _Share) -> dict[str, Any]:
    provider = state.providers.get(share.provider or "")
    return {
        "provider": share.provider,
        "count": share.left,
        "outlook": share.why,
        "lacking": lacking(provider, share.addition.template.demand)
        if provider is not None and share.why == NO_TYPE_FITS
        else [],
        "refused": [{"reason": each.reason, "instances": each.instances} for each in share.refused],
    }
