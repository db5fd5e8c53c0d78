"""Which instance of a local Auto Scaling group goes first.

First the purchase option of which a mixed group has too much, then the fullest zone, then the termination policies in
their order, each of which leaves a few; of those that are left, the oldest. Nothing is changed here.
Source: Amazon EC2 Auto Scaling user guide, "Configure termination policies", "Default termination policy".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

from awsorch.local.moto_groups_places import (
    capacity_of,
    has_spare_on_demand,
    serving,
    types_of,
    wanted_of,
    weight_of,
)

_HOUR_S = 3600.0


def next_victim(group: Any, now: float) -> Any | None:
    """The instance to end next, none that is protected. None where there is none, or where the group would have too
    little without it. `now` in seconds since 1970.
    """
    spare = capacity_of(group) - wanted_of(group)
    candidates = [
        state
        for state in serving(group)
        if not state.protected_from_scale_in and weight_of(group, state.instance_type) <= spare
    ]
    return first_of(group, candidates, now) if candidates else None


def first_of(group: Any, candidates: Sequence[Any], now: float) -> Any:
    """Of some members, at least one, the one that the group would end first."""
    there = Counter(state.availability_zone for state in serving(group))
    left = _of_the_option_in_excess(group, candidates)
    left = _least(left, lambda state: -there[state.availability_zone])
    for policy in _policies(group):
        left = _narrow(group, policy, left, now)
    return min(left, key=lambda state: (launched_at(state), state.instance_id))


def launched_at(state: Any) -> float:
    """When a member was launched, in seconds since 1970."""
    noted: float | None = getattr(state, "launched_at", None)
    return state.instance.launch_time.replace(tzinfo=UTC).timestamp() if noted is None else noted


def _policies(group: Any) -> list[str]:
    given = list(group.termination_policies or ["Default"])
    if given[-1] == "Default":
        given[-1:] = ["AllocationStrategy", "OldestConfiguration", "ClosestToNextInstanceHour"]
    return given


def _narrow(group: Any, policy: str, left: list[Any], now: float) -> list[Any]:
    """Those that one policy would end first."""
    match policy:
        case "AllocationStrategy":
            types = types_of(group)  # the first choice first: what comes late goes early
            return _least(left, lambda state: -types.index(state.instance_type) if state.instance_type in types else 1)
        case "OldestConfiguration":
            return _least(left, lambda state: _configuration_age(group, state))
        case "OldestLaunchTemplate":
            made = [state for state in left if getattr(state, "launched_from", None)]
            return _least(made, lambda state: _configuration_age(group, state)) or left
        case "OldestLaunchConfiguration":
            made = [state for state in left if getattr(state, "launched_by", None)]
            return _least(made, lambda state: _configuration_age(group, state)) or left
        case "ClosestToNextInstanceHour":
            return _least(left, lambda state: _HOUR_S - (now - launched_at(state)) % _HOUR_S)
        case "NewestInstance":
            return _least(left, lambda state: -launched_at(state))
    return _least(left, launched_at)  # OldestInstance


def _of_the_option_in_excess(group: Any, candidates: Sequence[Any]) -> list[Any]:
    """On-demand instances where a mixed group has too many of them, else spot ones; all where none of them may go, or
    the group has one option only.
    """
    if not group.mixed_instances_policy:
        return list(candidates)
    on_demand = has_spare_on_demand(group)
    return [state for state in candidates if (state.instance.lifecycle != "spot") == on_demand] or list(candidates)


def _configuration_age(group: Any, state: Any) -> tuple[int, int]:
    """The less, the older: launch configurations by when they were made, then templates that the group does not use
    any more, then the versions of the one that it uses.
    """
    template: dict[str, Any] | None = getattr(state, "launched_from", None)
    if template is None:
        known = list(group.autoscaling_backend.launch_configurations)
        name = getattr(state, "launched_by", None)
        return 0, known.index(name) if name in known else -1
    current = group.ec2_launch_template
    uses = current is not None and current.id == template["LaunchTemplateId"]
    return 2 if uses else 1, int(template["Version"])


def _least(states: Sequence[Any], key: Callable[[Any], Any]) -> list[Any]:
    least = min(map(key, states), default=None)
    return [state for state in states if key(state) == least]
