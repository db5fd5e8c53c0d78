"""The settings of Auto Scaling groups that moto drops or changes: kept as they are given, and shown again.

Each is checked with AWS's limits before anything is done, so that a call that is refused has changed nothing. What
follows from a setting is for others: `moto_groups_victims` honours the termination policies.
Source: EC2 Auto Scaling API, CreateAutoScalingGroup and UpdateAutoScalingGroup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

POLICIES = (
    "Default",
    "AllocationStrategy",
    "OldestLaunchTemplate",
    "OldestLaunchConfiguration",
    "ClosestToNextInstanceHour",
    "NewestInstance",
    "OldestInstance",
)
"""The termination policies that a local group knows; Lambda functions are not asked here."""

_NUMBERS = {
    "DefaultCooldown": "default_cooldown",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "HealthCheckGracePeriod": "health_check_grace_period",
    "MaxInstanceLifetime": "max_instance_lifetime",
}
_SHORTEST_LIFETIME_S, _LONGEST_LIFETIME_S = 86_400, 31_536_000
_NONE = -1
"""The number that takes a warm-up, or a maintenance policy's percentage, away."""


def mend_settings() -> None:
    """Have moto keep them. Raises AttributeError where it no longer has what this was written for."""
    from moto.autoscaling.responses import AutoScalingResponse

    create, update = AutoScalingResponse.create_auto_scaling_group, AutoScalingResponse.update_auto_scaling_group

    def create_auto_scaling_group(self: Any) -> Any:
        settings = _FIRST | _settings(self)
        made = create(self)
        vars(self.autoscaling_backend.autoscaling_groups[self._get_param(_NAME)]).update(settings)
        return made

    def update_auto_scaling_group(self: Any) -> Any:
        """Before moto's own part, which may end instances by the termination policies."""
        settings = _settings(self)
        group = self.autoscaling_backend.autoscaling_groups.get(self._get_param(_NAME))
        return _apply(group, settings, lambda: update(self)) if group is not None else update(self)

    AutoScalingResponse.create_auto_scaling_group = create_auto_scaling_group
    AutoScalingResponse.update_auto_scaling_group = update_auto_scaling_group


_NAME = "AutoScalingGroupName"
_FIRST: dict[str, Any] = {"health_check_grace_period": 0}
"""What a new group has where moto thinks otherwise."""


def _apply(group: Any, settings: dict[str, Any], update: Callable[[], Any]) -> Any:
    before = {name: getattr(group, name, None) for name in settings}
    vars(group).update(settings)
    try:
        return update()
    except Exception:
        vars(group).update(before)
        raise


def _settings(call: Any) -> dict[str, Any]:
    """The group's attributes that a call gives. Raises moto's ValidationError."""
    from moto.autoscaling.exceptions import ValidationError

    members = call._get_params()
    refusal = why_no_settings(members)
    if refusal is not None:
        raise ValidationError(refusal)
    given: dict[str, Any] = {}
    for member, attribute in _NUMBERS.items():
        if members.get(member) is not None:
            number = int(members[member])
            given[attribute] = None if number == _NONE or (not number and "lifetime" in attribute) else number
    if members.get("TerminationPolicies"):
        given["termination_policies"] = list(members["TerminationPolicies"])
    rebalance = call._get_bool_param("CapacityRebalance", None)
    if rebalance is not None:
        given["capacity_rebalance"] = rebalance
    if members.get(_MAINTENANCE):
        shares = {name: int(share) for name, share in members[_MAINTENANCE].items()}
        given["instance_maintenance_policy"] = None if _NONE in shares.values() else shares
    return given


_MAINTENANCE = "InstanceMaintenancePolicy"


def why_no_settings(members: dict[str, Any]) -> str | None:
    """What AWS says of settings that can't be; `members` as the call gives them."""
    for member in _NUMBERS:
        least = _NONE if member == "DefaultInstanceWarmup" else 0
        if members.get(member) is not None and int(members[member]) < least:
            return f"{member} {members[member]} must not be less than {least}."
    lifetime = int(members.get("MaxInstanceLifetime") or 0)
    if lifetime and not _SHORTEST_LIFETIME_S <= lifetime <= _LONGEST_LIFETIME_S:
        return (
            f"MaxInstanceLifetime {lifetime} must be 0 or between {_SHORTEST_LIFETIME_S} and {_LONGEST_LIFETIME_S} "
            "seconds."
        )
    policies = members.get("TerminationPolicies") or []
    for policy in policies:
        if policy not in POLICIES:
            return f"Termination policy {policy} is not valid. Valid termination policies are: [{', '.join(POLICIES)}]."
    if "Default" in policies[:-1]:
        return "The Default termination policy must be the last of the list."
    shares = members.get(_MAINTENANCE) or {}
    return why_no_shares(shares.get("MinHealthyPercentage"), shares.get("MaxHealthyPercentage")) if shares else None


def why_no_shares(least: Any, most: Any) -> str | None:
    """What AWS says of healthy percentages that can't be, of a maintenance policy: both, or -1 for none."""
    if least is None or most is None:
        return "MinHealthyPercentage and MaxHealthyPercentage must be specified together."
    low, high = int(least), int(most)
    if low == high == _NONE:
        return None
    if not 0 <= low <= 100:
        return f"MinHealthyPercentage {low} must be between 0 and 100."
    if not 100 <= high <= 200:
        return f"MaxHealthyPercentage {high} must be between 100 and 200."
    if high - low > 100:
        return f"MaxHealthyPercentage {high} must not be more than 100 above MinHealthyPercentage {low}."
    return None
