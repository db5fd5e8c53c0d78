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


Command = SendTasks | CloseSession
