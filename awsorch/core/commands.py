"""What the core asks the outside to do. Idempotent and absolute: each can be derived again from the state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTasks:
    """Tell an instance its tasks as they now stand; ``task_ids`` None means all that have not settled."""

    instance_id: str
    task_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession:
    """End the connection of an instance that is no longer registered."""

    instance_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTargets:
    """Make these (target id, port) registered in a target group (or ``elb/<name>``), those not, then tell how the whole
    group is: TargetsSeen, or TargetsFailed. What is in neither is left alone. ``revision`` is that of the state from
    which this follows; the answer carries it."""

    group: str
    revision: int
    register: tuple[tuple[str, int], ...] = ()
    deregister: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchAlarms:
    """Tell which of these CloudWatch alarms are in ALARM: AlarmsSeen for that deployment."""

    service: str
    deployment: str
    names: tuple[str, ...]


Command = SendTasks | CloseSession | SyncTargets | WatchAlarms
