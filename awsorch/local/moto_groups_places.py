"""Where an Auto Scaling group of the local cloud launches, of which type and kind, and which sizes it may have.

All answers follow from moto's objects as they are; nothing is changed here.
Source: Amazon EC2 Auto Scaling user guide, "Distribute instances across Availability Zones", "Auto Scaling groups with
multiple instance types and purchase options".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SERVING = frozenset({"Pending", "Pending:Wait", "Pending:Proceed", "InService"})
"""The lifecycle states that count for the desired capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A zone that a group launches in, with its subnet there."""

    zone: str
    subnet: str | None


def places_of(group: Any) -> list[Place]:
    """Where the group may launch, the zone that has fewest of its instances first."""
    if group.vpc_zone_identifier:
        ids = [each.strip() for each in group.vpc_zone_identifier.split(",")]
        subnets = group.ec2_backend.describe_subnets(subnet_ids=ids)
        zones = {subnet.availability_zone: subnet.id for subnet in subnets}
    else:
        zones = dict.fromkeys(group.availability_zones)
    counts = Counter(state.availability_zone for state in serving(group))
    return [Place(zone=zone, subnet=zones[zone]) for zone in sorted(zones, key=lambda each: (counts[each], each))]


def serving(group: Any) -> list[Any]:
    """The members that count for the desired capacity."""
    return [state for state in group.instance_states if state.lifecycle_state in SERVING]


def types_of(group: Any) -> list[str]:
    """The instance types that the group may launch, the first choice first."""
    named = [each["InstanceType"] for each in _overrides(group) if each.get("InstanceType")]
    return named or [str(group.instance_type)]


def weight_of(group: Any, instance_type: str) -> int:
    """How much of the desired capacity an instance of a type is."""
    for each in _overrides(group):
        if each.get("InstanceType") == instance_type:
            return max(1, int(each.get("WeightedCapacity") or 1))
    return 1


def capacity_of(group: Any) -> int:
    """What the group has of its desired capacity."""
    return sum(weight_of(group, state.instance_type) for state in serving(group))


def wanted_of(group: Any) -> int:
    """The capacity that the group is to have now: what is desired, and what replaces instances before they go."""
    return int(group.desired_capacity) + int(getattr(group, "surplus", 0))


def is_next_spot(group: Any) -> bool:
    """Whether the next instance is to be a spot instance, by the group's distribution."""
    return _on_demand_of(group) >= _on_demand_wanted(group)


def has_spare_on_demand(group: Any) -> bool:
    """Whether the group has more on-demand capacity than its distribution says."""
    return _on_demand_of(group) > _on_demand_wanted(group)


def _on_demand_wanted(group: Any) -> int:
    distribution = (group.mixed_instances_policy or {}).get("InstancesDistribution") or {}
    base = int(distribution.get("OnDemandBaseCapacity") or 0)
    share = distribution.get("OnDemandPercentageAboveBaseCapacity")
    percent = 100 if share is None else int(share)
    wanted = wanted_of(group)
    return min(wanted, base) + math.ceil(max(0, wanted - base) * percent / 100)


def _on_demand_of(group: Any) -> int:
    there = [state for state in serving(group) if state.instance.lifecycle != "spot"]
    return sum(weight_of(group, state.instance_type) for state in there)


def why_not_size(group: Any, name: str, size: int | None) -> str | None:
    """What AWS says of a size that the group may not have."""
    if group is None:
        return f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
    if size is not None and size > group.max_size:
        return f"New SetDesiredCapacity value {size} is above max value {group.max_size} for the AutoScalingGroup."
    if size is not None and size < group.min_size:
        return f"New SetDesiredCapacity value {size} is below min value {group.min_size} for the AutoScalingGroup."
    return None


def why_no_bounds(minimum: int, maximum: int, desired: int | None) -> str | None:
    """What AWS says of bounds that contradict each other, or the desired capacity."""
    if maximum < minimum:
        return f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}"
    if desired is not None and not minimum <= desired <= maximum:
        return f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}"
    return None


def find_member(groups: Iterable[Any], instance_id: str) -> tuple[Any, Any] | None:
    """The group that an instance belongs to, and its state there."""
    for group in groups:
        for state in group.instance_states:
            if state.instance_id == instance_id:
                return group, state
    return None


def why_not_shrink(group: Any) -> str | None:
    """What AWS says where the group may not have one instance less."""
    if group.desired_capacity > group.min_size:
        return None
    return (
        f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement will "
        "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's "
        "min size."
    )


def no_member(instance_id: str) -> str:
    """What AWS says of an instance that no group has."""
    return f"Instance Id not found - No managed instance found for instance ID: {instance_id}"


def _overrides(group: Any) -> list[dict[str, Any]]:
    template = (group.mixed_instances_policy or {}).get("LaunchTemplate") or {}
    return list(template.get("Overrides") or ())
