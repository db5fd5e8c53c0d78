"""The rounds of an instance refresh: in each, as many instances go and come as the healthy percentages allow.

Where the group may be larger than desired, replacements come first: the group is given a surplus, and what it replaces
goes when they are warm. Where it may not, old ones go first. How instances launch and end, with their hooks, is
`moto_groups_sizes`' business; what is not there yet is waited for, an hour at most.
Source: Amazon EC2 Auto Scaling user guide, "How an instance refresh works", "Undo changes with a rollback".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from awsorch.local import moto_groups_activities as told
from awsorch.local.moto_groups_configuration import launching_from, take_over
from awsorch.local.moto_groups_hooks import waiting
from awsorch.local.moto_groups_places import SERVING, capacity_of, weight_of
from awsorch.local.moto_groups_refresh import InstanceRefresh, active_refresh
from awsorch.local.moto_groups_sizes import GroupSizes, is_suspended
from awsorch.local.moto_groups_victims import first_of

PATIENCE_S = 3600.0
"""How long a refresh waits for something to come further: protected instances, launches, warm-ups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Muster:
    """A group's members as a refresh sees them: the old ones that may go, the old ones that must be waited for, the
    new ones that are not ready yet, and those that are ready, old or new.
    """

    may_go: list[Any]
    stuck: list[Any]
    coming: list[Any]
    ready: list[Any]

    @property
    def old(self) -> int:
        return len(self.may_go) + len(self.stuck)


class RefreshRounds:
    """Carries refreshes out. Callers hold the turn of the groups."""

    def __init__(self, sizes: GroupSizes) -> None:
        self._sizes = sizes

    def mind(self, groups: Iterable[Any]) -> float | None:
        """Take each group's refresh as far as it can go now. When to look next, None for never."""
        dues: list[float] = []
        for group in list(groups):
            refresh = active_refresh(group)
            if refresh is None:
                continue
            self._exhaust(group, refresh)
            if refresh.ended_at is None:
                dues.append(self._due(group, refresh))
        return min(dues, default=None)

    def cancel(self, group: Any, refresh: InstanceRefresh, *, wait: bool) -> None:
        """Stop where it is; what was replaced stays so. `wait` for instances that are on their way."""
        refresh.status, refresh.reason = "Cancelling", "Cancelled due to user request."
        self._relax(group)
        if not wait or not any(waiting(group)):
            refresh.end("Cancelled", refresh.reason, self._sizes.clock())

    def roll_back(self, group: Any, refresh: InstanceRefresh, reason: str) -> None:
        """Replace again what the refresh has launched, by what the group was configured for before."""
        launched = [state.instance_id for state in group.instance_states if state.instance_id not in refresh.known]
        refresh.begin_rollback(launched, reason, self._sizes.clock())
        self._relax(group)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _relax(self, group: Any) -> None:
        """Let the group launch from its own configuration again, and have what it desires."""
        group.launches_from, group.surplus = None, 0
        self._sizes.keep(group)

    def _exhaust(self, group: Any, refresh: InstanceRefresh) -> None:
        """Go round until a round changes nothing any more."""
        while refresh.ended_at is None:
            before = refresh.status, refresh.checkpoint, refresh.seen
            self._advance(group, refresh)
            if before == (refresh.status, refresh.checkpoint, refresh.seen):
                return

    def _advance(self, group: Any, refresh: InstanceRefresh) -> None:
        from moto.core.exceptions import ServiceException

        now = self._sizes.clock()
        if refresh.status == "Cancelling":
            if not any(waiting(group)):
                refresh.end("Cancelled", refresh.reason, now)
            return
        if refresh.status == "Pending":
            refresh.status, refresh.progressed_at = "InProgress", now
            group.launches_from = refresh.desired
        if refresh.paused_until is not None:
            if now < refresh.paused_until:
                return
            refresh.paused_until, refresh.progressed_at = None, now
            if refresh.status == "Baking":
                self._succeed(group, refresh)
                return
            refresh.checkpoint += 1
        try:
            with launching_from(group, getattr(group, "launches_from", None)):
                self._round(group, refresh)
                muster = self._muster(group, refresh)
                complete = capacity_of(group) >= group.desired_capacity
        except ServiceException as error:  # what it is to launch from has gone meanwhile
            self._fail(group, refresh, str(error.message))
        else:
            self._judge(group, refresh, muster, complete=complete)

    def _round(self, group: Any, refresh: InstanceRefresh) -> None:
        """End and launch what may be ended and launched now."""
        if not is_suspended(group, "Terminate"):
            while (state := self._next_to_go(group, refresh)) is not None:
                self._sizes.end(group, state, told.refreshed(self._sizes.clock()))
        muster = self._muster(group, refresh)
        going = self._still_allowed(refresh, muster)
        replaced = sorted(_weight(group, [state]) for state in muster.may_go if state.lifecycle_state in SERVING)
        _, most = _bounds(group, refresh)
        group.surplus = min(most - int(group.desired_capacity), sum(replaced[:going]))
        self._sizes.keep(group)

    def _next_to_go(self, group: Any, refresh: InstanceRefresh) -> Any | None:
        muster = self._muster(group, refresh)
        if not muster.may_go or not self._still_allowed(refresh, muster):
            return None
        least, most = _bounds(group, refresh)
        idle = [state for state in muster.may_go if state not in muster.ready]
        if idle:
            return first_of(group, idle, self._sizes.clock())
        state = first_of(group, muster.may_go, self._sizes.clock())
        ready, desired = _weight(group, muster.ready), int(group.desired_capacity)
        if ready - _weight(group, [state]) >= least:
            return state
        # Percentages that forbid every step mean one at a time.
        alone = most <= desired <= ready and not muster.coming and not any(waiting(group))
        return state if alone else None

    def _still_allowed(self, refresh: InstanceRefresh, muster: _Muster) -> int:
        return max(0, refresh.allowed - (len(refresh.old) - muster.old))

    def _judge(self, group: Any, refresh: InstanceRefresh, muster: _Muster, *, complete: bool) -> None:
        """Say how far it is, and what follows."""
        now = self._sizes.clock()
        total, left = len(refresh.old), min(len(refresh.old), muster.old + len(muster.coming))
        _report(refresh, total, left)
        members = sorted(f"{state.instance_id} {state.lifecycle_state}" for state in group.instance_states)
        if members != refresh.seen:
            refresh.seen, refresh.progressed_at = members, now
        settled = not muster.coming and complete and not any(waiting(group))
        replaced = total - muster.old
        if settled and (not muster.old or (refresh.at_last_checkpoint and replaced >= refresh.allowed)):
            self._finish(group, refresh)
        elif settled and refresh.rollback is None and replaced >= refresh.allowed:
            delay = float(refresh.preferences["CheckpointDelay"])
            refresh.paused_until = now + delay
            refresh.reason = (
                f"Reached a checkpoint at {refresh.percent}%. Waiting {delay:.0f} seconds before continuing."
            )
        elif now - refresh.progressed_at >= self._patience(refresh):
            waited = _what_is_waited_for(group, muster)
            self._fail(group, refresh, f"The instance refresh came no further for an hour. {waited}")
        else:
            refresh.reason = _what_is_waited_for(group, muster)

    def _finish(self, group: Any, refresh: InstanceRefresh) -> None:
        bake = int(refresh.preferences.get("BakeTime", 0))
        if refresh.rollback is not None:
            self._relax(group)
            refresh.end("RollbackSuccessful", "", self._sizes.clock())
        elif bake:
            refresh.status, refresh.reason = "Baking", f"Waiting {bake} seconds before the instance refresh completes."
            refresh.paused_until = self._sizes.clock() + bake
        else:
            self._succeed(group, refresh)

    def _succeed(self, group: Any, refresh: InstanceRefresh) -> None:
        if refresh.desired is not None:
            take_over(group, refresh.desired)
        self._relax(group)
        refresh.end("Successful", "", self._sizes.clock())

    def _fail(self, group: Any, refresh: InstanceRefresh, reason: str) -> None:
        if refresh.rollback is not None:
            self._relax(group)
            refresh.end("RollbackFailed", reason, self._sizes.clock())
        elif refresh.preferences["AutoRollback"]:
            self.roll_back(group, refresh, f"Automatic rollback: {reason}")
        else:
            self._relax(group)
            refresh.end("Failed", reason, self._sizes.clock())

    def _muster(self, group: Any, refresh: InstanceRefresh) -> _Muster:
        may_go, stuck, coming, ready = [], [], [], []
        for state in group.instance_states:
            old = state.instance_id in refresh.old
            serves = state.lifecycle_state in SERVING
            verdict = _verdict(state, refresh) if old else ""
            if verdict == "go":
                may_go.append(state)
            elif verdict == "wait":
                stuck.append(state)
            if serves and (old or self._warm_at(refresh, state) <= self._sizes.clock()) and _is_healthy(state):
                ready.append(state)
            elif serves and not old and state.instance_id not in refresh.known:
                coming.append(state)
        return _Muster(may_go=may_go, stuck=stuck, coming=coming, ready=ready)

    def _warm_at(self, refresh: InstanceRefresh, state: Any) -> float:
        """When a member has warmed up; those that were there before have."""
        if state.instance_id in refresh.known:
            return 0.0
        return float(getattr(state, "in_service_at", 0.0)) + int(refresh.preferences["InstanceWarmup"])

    def _patience(self, refresh: InstanceRefresh) -> float:
        return max(PATIENCE_S, float(refresh.preferences["InstanceWarmup"]) + 1)

    def _due(self, group: Any, refresh: InstanceRefresh) -> float:
        now = self._sizes.clock()
        if refresh.paused_until is not None:
            return refresh.paused_until
        warm = [self._warm_at(refresh, state) for state in group.instance_states if _is_healthy(state)]
        return min([each for each in warm if each > now] + [refresh.progressed_at + self._patience(refresh)])


def _verdict(state: Any, refresh: InstanceRefresh) -> str:
    """Whether an old member is to "go", to be waited for ("wait"), or to be left alone ("")."""
    if state.lifecycle_state == "Standby":
        return {"Terminate": "go", "Wait": "wait"}.get(refresh.preferences["StandbyInstances"], "")
    if state.lifecycle_state not in SERVING:
        return ""
    if state.protected_from_scale_in:
        return {"Refresh": "go", "Wait": "wait"}.get(refresh.preferences["ScaleInProtectedInstances"], "")
    return "go"


def _is_healthy(state: Any) -> bool:
    return (state.lifecycle_state, state.health_status) == ("InService", "Healthy")


def _bounds(group: Any, refresh: InstanceRefresh) -> tuple[int, int]:
    """The least capacity that is to be ready, and the most that may be there."""
    desired = int(group.desired_capacity)
    least, most = (refresh.preferences[name] for name in ("MinHealthyPercentage", "MaxHealthyPercentage"))
    return math.ceil(desired * least / 100), math.ceil(desired * most / 100)


def _weight(group: Any, states: Iterable[Any]) -> int:
    return sum(weight_of(group, state.instance_type) for state in states)


def _report(refresh: InstanceRefresh, total: int, left: int) -> None:
    """The percentage goes back to zero while a rollback comes further; what it need not replace stays the same."""
    if refresh.rollback is None:
        refresh.percent, refresh.remaining = (100 * (total - left) // total if total else 100), left
    else:
        began: int = refresh.rollback["PercentageCompleteOnRollback"]
        refresh.percent = began * left // total if total else 0


def _what_is_waited_for(group: Any, muster: _Muster) -> str:
    for process in ("Launch", "Terminate"):
        if is_suspended(group, process):
            return f"Waiting for the suspended process {process} to be resumed."
    mid_action = [state for state, _ in waiting(group)]
    if mid_action:
        return f"Waiting for lifecycle actions to complete. For example: {mid_action[0].instance_id} is waiting."
    if muster.coming:
        warming = muster.coming[0].instance_id
        return f"Waiting for instances to warm up before continuing. For example: {warming} is warming up."
    if muster.stuck and not muster.may_go:
        state = muster.stuck[0]
        why = "in Standby" if state.lifecycle_state == "Standby" else "protected from scale in"
        return f"Waiting for remaining instances to be available. For example: {state.instance_id} is {why}."
    return "Waiting for instances to launch."
