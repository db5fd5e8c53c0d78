"""Placement strategies: what ECS accepts, and the order of preference that a list of them stands for.

Strategies narrow the instances that passed the filters: each keeps the best and passes ties on. That is the
same as choosing the least by a tuple of one component per strategy, which is how place.py reads a Chain.

Decided where the ECS developer guide is silent:
- No strategies means spread over Availability Zones, then fewest tasks of the group on the instance: ECS's
  documented default for services, used for RunTask too (its own guide names random in older editions and zone
  spread in newer ones).
- After a list without random and binpack, ties go to the instance with fewest tasks of the group, then most
  free memory.
- Instances that lack an attribute count as one more value of it.
- Ties that are left are broken by a hash of the instance's id, always the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from awsorch.core.errors import invalid_parameter
from awsorch.core.model import Strategy

MOST_STRATEGIES = 5
ZONE = "ecs.availability-zone"
DEFAULT_STRATEGIES = (
    Strategy(type="spread", field=f"attribute:{ZONE}"),
    Strategy(type="spread", field="instanceId"),
)
_INSTANCE_FIELDS = ("instanceid", "host")

#: Components of preference within one value of every spread attribute.
COUNT, CPU, MEMORY, ROOM = "count", "cpu", "memory", "room"


@dataclass(frozen=True, slots=True)
class Chain:
    """Strategies made ready. ``steps`` in order: an index into ``attributes`` (fewest tasks of the group with that
    value), COUNT (fewest on the instance), CPU or MEMORY (least left), ROOM (most memory left). ``random``: choose any
    of those that are equal by the steps. ``inner``: the steps about single instances. ``by_cpu``: CPU is packed
    first. ``packs``: all that is asked of single instances is to pack one resource. ``spreads``: one attribute comes
    before all else."""

    attributes: tuple[str, ...]
    steps: tuple[int | str, ...]
    random: bool
    inner: tuple[str, ...]
    by_cpu: bool
    packs: bool
    spreads: bool


@lru_cache(maxsize=256)
def chain_of(strategies: tuple[Strategy, ...]) -> Chain:
    """The chain that valid strategies stand for; strategies that can no longer matter are left out."""
    attributes: list[str] = []
    steps: list[int | str] = []
    random = False
    for strategy in strategies or DEFAULT_STRATEGIES:
        field = (strategy.field or "").strip()
        step: int | str
        if strategy.type == "random":
            random = True
            break
        if strategy.type == "binpack":
            step = field.lower()
        elif field.lower() in _INSTANCE_FIELDS:
            step = COUNT
        else:
            name = field.removeprefix("attribute:")
            if name not in attributes:
                attributes.append(name)
            step = attributes.index(name)
        if step not in steps:
            steps.append(step)
    if not random and CPU not in steps and MEMORY not in steps:
        steps += [ROOM] if COUNT in steps else [COUNT, ROOM]
    inner = tuple(step for step in steps if isinstance(step, str))
    by_cpu = next((step == CPU for step in inner if step != COUNT), False)
    packs = not random and inner in ((CPU,), (MEMORY,))
    spreads = len(attributes) == 1 and steps[0] == 0
    return Chain(tuple(attributes), tuple(steps), random, inner, by_cpu, packs, spreads)


def validate_strategies(strategies: Sequence[Strategy]) -> None:
    """Raise InvalidParameterException, in ECS's words where they are known, for strategies that ECS refuses."""
    if len(strategies) > MOST_STRATEGIES:
        raise invalid_parameter(f"Maximum number of strategies is {MOST_STRATEGIES}")
    for strategy in strategies:
        _validate(strategy.type, (strategy.field or "").strip())


def _validate(kind: str, field: str) -> None:
    if kind == "binpack":
        if field.lower() not in (CPU, MEMORY):
            raise invalid_parameter(f"binpack field '{field}' is invalid")
    elif kind == "spread":
        name = field.removeprefix("attribute:")
        if field.lower() not in _INSTANCE_FIELDS and (name == field or not name):
            raise invalid_parameter(
                f"spread field '{field}' is invalid; it must be instanceId, host or attribute:<name>"
            )
    elif kind != "random":
        raise invalid_parameter(f"Placement strategy type should be one of [random,spread,binpack], not '{kind}'")
