"""An instance refresh of a local Auto Scaling group: what was asked for, how far it is, and how the API shows it.

Refreshes are kept on their group, so that they go and stay with it. Nothing is decided here:
`moto_groups_refresh_rounds` carries them out.
Source: EC2 Auto Scaling API, StartInstanceRefresh, RefreshPreferences, InstanceRefresh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from awsorch.local.moto_groups_settings import why_no_shares

UNDER_WAY = frozenset({"Pending", "InProgress", "Baking"})
"""The statuses of a refresh that goes forward; one that does not is cancelled, rolled back or over."""
ACTIVE = UNDER_WAY | {"Cancelling", "RollbackInProgress"}
_LONGEST_DELAY_S = 172_800
_CHOICES = {
    "ScaleInProtectedInstances": ("Refresh", "Ignore", "Wait"),
    "StandbyInstances": ("Terminate", "Ignore", "Wait"),
}
_USUAL: dict[str, Any] = {
    "SkipMatching": False,
    "AutoRollback": False,
    "ScaleInProtectedInstances": "Wait",
    "StandbyInstances": "Wait",
}


@dataclass(slots=True, kw_only=True)
class InstanceRefresh:
    """One refresh. Times in seconds since 1970. `preferences` and `desired` in the API's shapes; `known` are the ids of
    the group's instances at its beginning, `old` of those that are to be replaced, by a rollback of those that the
    refresh launched; `progressed_at`: when it last came further; `checkpoint`: how many it has passed.
    """

    id: str
    group: str
    preferences: dict[str, Any]
    desired: dict[str, Any] | None
    started_at: float
    known: list[str]
    old: list[str]
    status: str = "Pending"
    reason: str = ""
    ended_at: float | None = None
    percent: int = 0
    remaining: int = 0
    progressed_at: float = 0.0
    seen: list[str] = field(default_factory=list)
    checkpoint: int = 0
    paused_until: float | None = None
    rollback: dict[str, Any] | None = None

    @property
    def allowed(self) -> int:
        """How many instances may be replaced before the next checkpoint."""
        stops: list[int] = self.preferences.get("CheckpointPercentages") or [100]
        if self.rollback is not None:
            return len(self.old)
        return math.ceil(len(self.old) * stops[min(self.checkpoint, len(stops) - 1)] / 100)

    @property
    def at_last_checkpoint(self) -> bool:
        """Whether the next checkpoint is the end."""
        stops = self.preferences.get("CheckpointPercentages") or [100]
        return self.rollback is not None or self.checkpoint >= len(stops) - 1

    def shown(self) -> dict[str, Any]:
        """As the API's InstanceRefresh."""
        shown: dict[str, Any] = {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group,
            "Status": self.status,
            "StartTime": _moment(self.started_at),
            "PercentageComplete": self.percent,
            "InstancesToUpdate": self.remaining,
            "Preferences": self.preferences,
            "Strategy": "Rolling",
        }
        if self.reason:
            shown["StatusReason"] = self.reason
        if self.ended_at is not None:
            shown["EndTime"] = _moment(self.ended_at)
        if self.desired is not None:
            shown["DesiredConfiguration"] = self.desired
        if self.rollback is not None:
            shown["RollbackDetails"] = self.rollback
        return shown

    def begin_rollback(self, old: list[str], reason: str, now: float) -> None:
        """Turn round: `old` are the instances that are to be replaced again."""
        self.rollback = {
            "RollbackReason": reason,
            "RollbackStartTime": _moment(now),
            "PercentageCompleteOnRollback": self.percent,
            "InstancesToUpdateOnRollback": self.remaining,
        }
        self.status, self.reason, self.old = "RollbackInProgress", "", old
        self.progressed_at, self.paused_until = now, None

    def end(self, status: str, reason: str, now: float) -> None:
        """It is over."""
        self.status, self.reason, self.ended_at, self.paused_until = status, reason, now, None


def refreshes_of(group: Any) -> list[InstanceRefresh]:
    """The group's refreshes, the last one last; moto's object carries them."""
    refreshes: list[InstanceRefresh] = vars(group).setdefault("awsorch_refreshes", [])
    return refreshes


def active_refresh(group: Any) -> InstanceRefresh | None:
    """The group's refresh that is not over."""
    return next((each for each in refreshes_of(group) if each.status in ACTIVE), None)


def preferences_for(group: Any, given: dict[str, Any]) -> dict[str, Any]:
    """All preferences of a refresh: those that are given, else the group's, else AWS's. Good ones are expected."""
    shares = getattr(group, "instance_maintenance_policy", None) or {}
    warmup = getattr(group, "default_instance_warmup", None)
    group_has: dict[str, Any] = {
        "MinHealthyPercentage": shares.get("MinHealthyPercentage", 90),
        "MaxHealthyPercentage": shares.get("MaxHealthyPercentage", 100),
        "InstanceWarmup": int(group.health_check_grace_period or 0) if warmup is None else warmup,
    }
    if given.get("CheckpointPercentages"):
        group_has["CheckpointDelay"] = 3600
    return _USUAL | group_has | given


def why_no_preferences(preferences: dict[str, Any]) -> str | None:
    """What AWS says of preferences that can't be."""
    if preferences.get("AlarmSpecification"):
        return "AlarmSpecification is not valid here: the alarms of a local cloud are never evaluated."
    for name, choices in _CHOICES.items():
        if preferences.get(name, choices[0]) not in choices:
            return f"{name} {preferences[name]} is not valid. Valid values are: [{', '.join(choices)}]."
    for name, most in (("InstanceWarmup", None), ("CheckpointDelay", _LONGEST_DELAY_S), ("BakeTime", _LONGEST_DELAY_S)):
        if name in preferences and not 0 <= preferences[name] <= (preferences[name] if most is None else most):
            return f"{name} {preferences[name]} must be 0{f' to {most}' if most else ' or more'} seconds."
    least, most = preferences.get("MinHealthyPercentage"), preferences.get("MaxHealthyPercentage")
    if most is not None and least is None:
        return "If you specify MaxHealthyPercentage, you must also specify MinHealthyPercentage."
    if least is not None:
        refusal = why_no_shares(least, max(100, least) if most is None else most)
        if refusal is not None or least < 0:
            return refusal or f"MinHealthyPercentage {least} must be between 0 and 100."
    stops = preferences.get("CheckpointPercentages")
    if stops is None:
        return None if "CheckpointDelay" not in preferences else "CheckpointDelay needs CheckpointPercentages."
    if not stops or stops != sorted(set(stops)) or not 1 <= stops[0] <= stops[-1] <= 100:
        return "CheckpointPercentages must be numbers from 1 to 100 in ascending order, each of them once."
    return None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
