"""moto's Auto Scaling groups, with more of what EC2 Auto Scaling does about sizes and zones.

moto launches all of a group's instances in its first subnet, takes any size, and ends whichever instance comes first.
Here instances are spread over the group's zones, sizes keep to its bounds, and scaling in takes the oldest instance of
the fullest zone that is not protected. Nothing else of moto is changed.
Source: Amazon EC2 Auto Scaling user guide, "Distribute instances across Availability Zones", "Control which Auto
Scaling instances terminate during scale in".
"""

from __future__ import annotations

from collections import Counter
from typing import Any


def mend_groups() -> None:
    """Have moto's groups do so. Raises AttributeError where moto no longer has what this was written for."""
    from moto.autoscaling import models

    group, backend = models.FakeAutoScalingGroup, models.AutoScalingBackend
    launch, resize = group.replace_autoscaling_group_instances, group.set_desired_capacity
    set_size, terminate = backend.set_desired_capacity, backend.terminate_instance

    def launch_spread(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
        for (subnet, zone), count in _places(self, count_needed).items():
            whole = self.vpc_zone_identifier, self.availability_zones
            self.vpc_zone_identifier, self.availability_zones = subnet, [zone]
            try:
                launch(self, count, dict(propagated_tags))
            finally:
                self.vpc_zone_identifier, self.availability_zones = whole

    def resize_by_policy(self: Any, new_capacity: int | None) -> None:
        wanted = int((self.min_size if new_capacity is None else new_capacity) or 0)
        for size in range(len(self.active_instances()) - 1, wanted - 1, -1):
            counts = Counter(state.availability_zone for state in self.instance_states)
            # moto takes the first that is not protected, and keeps no order.
            self.instance_states.sort(key=lambda each, by=counts: (-by[each.availability_zone], *_age(each)))
            resize(self, size)
        resize(self, new_capacity)

    def set_size_in_bounds(self: Any, group_name: str, desired_capacity: int | None) -> None:
        found = self.autoscaling_groups.get(group_name)
        refusal = _why_not(found, group_name, desired_capacity)
        if refusal is not None:
            raise models.AutoscalingClientError("ValidationError", refusal)
        set_size(self, group_name, desired_capacity)

    def terminate_in_bounds(self: Any, instance_id: str, should_decrement: bool) -> Any:
        refusal = _why_not_terminate(self.autoscaling_groups.values(), instance_id, should_decrement)
        if refusal is not None:
            raise models.AutoscalingClientError("ValidationError", refusal)
        return terminate(self, instance_id, should_decrement)

    group.replace_autoscaling_group_instances = launch_spread
    group.set_desired_capacity = resize_by_policy
    backend.set_desired_capacity = set_size_in_bounds
    backend.terminate_instance = terminate_in_bounds


def _places(group: Any, count: int) -> dict[tuple[str | None, str], int]:
    """How many instances to launch in which (subnet, zone): each in the zone that has fewest."""
    places: dict[str, str | None] = dict.fromkeys(group.availability_zones)
    if group.vpc_zone_identifier:
        ids = group.vpc_zone_identifier.split(",")
        subnets = group.autoscaling_backend.ec2_backend.describe_subnets(subnet_ids=ids)
        places = {subnet.availability_zone: subnet.id for subnet in subnets}
    counts = Counter(dict.fromkeys(places, 0))
    counts.update(state.availability_zone for state in group.instance_states if state.availability_zone in places)
    chosen: Counter[tuple[str | None, str]] = Counter()
    for _ in range(count):
        zone = min(counts, key=lambda each: (counts[each], each))
        counts[zone] += 1
        chosen[places[zone], zone] += 1
    return chosen


def _age(state: Any) -> tuple[str, str]:
    return str(state.instance.launch_time), state.instance.id


def _why_not(group: Any, name: str, size: int | None) -> str | None:
    """What AWS says of a size that the group may not have."""
    if group is None:
        return f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
    if size is not None and size > group.max_size:
        return f"New SetDesiredCapacity value {size} is above max value {group.max_size} for the AutoScalingGroup."
    if size is not None and size < group.min_size:
        return f"New SetDesiredCapacity value {size} is below min value {group.min_size} for the AutoScalingGroup."
    return None


def _why_not_terminate(groups: Any, instance_id: str, should_decrement: bool) -> str | None:
    """What AWS says of an instance that may not be ended."""
    for group in groups:
        if any(state.instance.id == instance_id for state in group.instance_states):
            if should_decrement and group.desired_capacity <= group.min_size:
                return (
                    f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
                    "flag to false or lower group's min size."
                )
            return None
    return f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
