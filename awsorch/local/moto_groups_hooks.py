"""Lifecycle hooks of the local cloud's Auto Scaling groups: who waits for whom, and until when.

moto stores hooks and does nothing with them. An instance that comes or goes waits here for each hook of its
transition until that is completed, or its heartbeat is late, or the whole wait has lasted too long. What happens to
the instance then is the caller's business (`moto_groups_sizes`).
Source: EC2 Auto Scaling user guide, "How lifecycle hooks work"; API, PutLifecycleHook, CompleteLifecycleAction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
CONTINUE, ABANDON = "CONTINUE", "ABANDON"
SHORTEST_S, LONGEST_S = 30, 7200
GLOBAL_S = 172_800
"""The longest that an instance waits, heartbeats or not: 48 hours, or 100 heartbeats where that is less."""


@dataclass(slots=True, kw_only=True)
class LifecycleAction:
    """One instance's wait. `deadlines`: hook → when its heartbeat is late, seconds since 1970; `ends_at`: hook → when
    no heartbeat helps any more.
    """

    token: str
    transition: str
    activity_id: str
    deadlines: dict[str, float]
    ends_at: dict[str, float]
    abandoned: str = ""
    """Why a hook gave up; empty where none did."""

    @property
    def over(self) -> bool:
        """Whether nothing is waited for: every hook is done, or one gave up."""
        return not self.deadlines or bool(self.abandoned)

    @property
    def due(self) -> float:
        """When the first hook is late."""
        return min(self.deadlines.values())


def hooks_for(group: Any, transition: str) -> list[Any]:
    """The group's hooks of a transition."""
    hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name)
    return [hook for hook in hooks if hook.lifecycle_transition == transition]


def begin_wait(state: Any, hooks: Iterable[Any], activity_id: str, now: float) -> LifecycleAction:
    """Have an instance wait for hooks of one transition, of which there is at least one."""
    every = list(hooks)
    action = state.lifecycle_action = LifecycleAction(
        token=str(uuid.uuid4()),
        transition=every[0].lifecycle_transition,
        activity_id=activity_id,
        deadlines={hook.name: now + hook.heartbeat_timeout for hook in every},
        ends_at={hook.name: now + hook.global_timeout for hook in every},
    )
    state.lifecycle_state = "Pending:Wait" if every[0].lifecycle_transition == LAUNCHING else "Terminating:Wait"
    return action


def action_of(state: Any) -> LifecycleAction | None:
    """What an instance waits for."""
    action: LifecycleAction | None = getattr(state, "lifecycle_action", None)
    return action


def waiting(group: Any) -> Iterator[tuple[Any, LifecycleAction]]:
    """The group's instances that wait."""
    for state in list(group.instance_states):
        action = action_of(state)
        if action is not None:
            yield state, action


def find_action(
    group: Any, hook: str, *, instance_id: str | None, token: str | None
) -> tuple[Any, LifecycleAction] | None:
    """The instance that waits for a hook, by its id or its action's token."""
    for state, action in waiting(group):
        named = action.token == token if token else state.instance_id == instance_id
        if named and hook in action.deadlines:
            return state, action
    return None


def complete(action: LifecycleAction, hook: str, result: str, *, late: bool = False) -> None:
    """A hook is done with an instance."""
    del action.deadlines[hook]
    if result == ABANDON:
        why = "Heartbeat Timeout" if late else "Lifecycle Action Completed with ABANDON Result"
        action.abandoned = (
            "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token "
            f"{action.token} was abandoned: {why}"
        )


def beat(action: LifecycleAction, hook: Any, now: float) -> None:
    """A hook asks for more time."""
    action.deadlines[hook.name] = min(now + hook.heartbeat_timeout, action.ends_at[hook.name])


def complete_late(group: Any, action: LifecycleAction, now: float) -> None:
    """Every hook whose heartbeat is late is done, with its default result."""
    hooks = {hook.name: hook for hook in hooks_for(group, action.transition)}
    for name in [name for name, deadline in action.deadlines.items() if deadline <= now]:
        complete(action, name, hooks[name].default_result if name in hooks else CONTINUE, late=True)


def why_no_hook(members: dict[str, Any], *, known: bool) -> str | None:
    """What AWS says of a hook that can't be: `members` as PutLifecycleHook has them, `known` where it changes one."""
    transition = members.get("LifecycleTransition")
    if transition is None and not known:
        return "LifecycleTransition is a required parameter of a new lifecycle hook."
    if transition not in (None, LAUNCHING, TERMINATING):
        return f"Invalid lifecycle transition {transition}. Valid transitions are: [{LAUNCHING}, {TERMINATING}]."
    if members.get("DefaultResult") not in (None, CONTINUE, ABANDON):
        return f"Invalid default result {members['DefaultResult']}. Valid results are: [{CONTINUE}, {ABANDON}]."
    timeout = members.get("HeartbeatTimeout")
    if timeout is not None and not SHORTEST_S <= int(timeout) <= LONGEST_S:
        return f"Heartbeat timeout {timeout} is not between {SHORTEST_S} and {LONGEST_S} seconds."
    return None


def put_hook(backend: Any, members: dict[str, Any]) -> None:
    """Store a hook, or change what is given of one. Its members are good (`why_no_hook`)."""
    group, name = members["AutoScalingGroupName"], members["LifecycleHookName"]
    old = backend.lifecycle_hooks.get(f"{group}_{name}")
    hook = backend.create_lifecycle_hook(
        name,
        group,
        members.get("LifecycleTransition") or old.lifecycle_transition,
        int(members.get("HeartbeatTimeout") or (old.heartbeat_timeout if old else 3600)),
        members.get("DefaultResult") or (old.default_result if old else ABANDON),
    )
    hook.global_timeout = min(GLOBAL_S, 100 * hook.heartbeat_timeout)
    for attribute, member in (
        ("role_arn", "RoleARN"),
        ("notification_target_arn", "NotificationTargetARN"),
        ("notification_metadata", "NotificationMetadata"),
    ):
        setattr(hook, attribute, members.get(member, getattr(old, attribute, None)))
