"""What scaling policies of the local cloud's Auto Scaling groups do when they are executed.

moto hands the sum to SetDesiredCapacity, which refuses what the group's bounds forbid; AWS keeps to the bounds.
Source: EC2 Auto Scaling user guide, "Step and simple scaling policies", scaling adjustment types; ExecutePolicy.
"""

from __future__ import annotations

from math import trunc
from typing import Any


def mend_policies() -> None:
    """Have moto's policies do so. Raises AttributeError where moto no longer has what this was written for."""
    from moto.autoscaling.models import FakeScalingPolicy

    if not callable(FakeScalingPolicy.execute):
        raise AttributeError("moto's scaling policies have another shape")

    def execute(self: Any) -> None:
        backend, name = self.autoscaling_backend, self.auto_scaling_group_name
        group = backend.autoscaling_groups[name]
        if self.scaling_adjustment is None:
            return  # a policy that a metric drives; there is none here
        least = int(self.min_adjustment_magnitude or 0)
        size = size_after(int(group.desired_capacity), self.adjustment_type, int(self.scaling_adjustment), least)
        backend.set_desired_capacity(name, min(max(size, group.min_size), group.max_size))

    FakeScalingPolicy.execute = execute


def size_after(size: int, kind: str, adjustment: int, least: int = 0) -> int:
    """The size that a group of `size` would have. `adjustment` is a size, a number of instances or, of
    PercentChangeInCapacity, a percentage, which changes the size by one at least and by `least` where that is more.
    """
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return size + adjustment
    if not adjustment:
        return size
    change = max(abs(trunc(size * adjustment / 100)), 1, least)
    return size + (change if adjustment > 0 else -change)
