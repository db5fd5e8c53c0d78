"""What one agent still has to be told, and what it was told but has not acknowledged. Socket-free, time passed in.

Tasks are remembered by id only: what an agent gets is read from the state at the moment of sending, so that many
changes of a task become one message, and a message sent again says how things stand now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: This many payloads may be without acknowledgement; what comes meanwhile waits and is sent together.
WINDOW = 4
#: A payload has at most this many tasks, and (with more than one task) about this many bytes.
TASKS_LIMIT = 50
BYTES_LIMIT = 512 * 1024
#: A payload is sent again when it was not acknowledged for this long, doubling up to the limit. Seconds.
RESEND_S = 10.0
RESEND_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class _Sent:
    task_ids: tuple[str, ...]
    attempt: int
    resend_at: float


class Delivery:
    """Pending and unacknowledged tasks of one connection."""

    __slots__ = ("_everything", "_pending", "_sent")

    def __init__(self) -> None:
        self._everything = False
        self._pending: dict[str, int] | None = None
        self._sent: dict[str, _Sent] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is something to send, and the window lets it."""
        return (self._everything or bool(self._pending)) and len(self._sent or ()) < WINDOW

    @property
    def due(self) -> float:
        """When the next payload is to be sent again; infinity if there is none."""
        return min((each.resend_at for each in (self._sent or {}).values()), default=float("inf"))

    def want(self, task_ids: Iterable[str] | None) -> None:
        """The agent is to be told of these tasks (None: all that have not settled)."""
        if task_ids is None:
            self._everything = True
            return
        if self._pending is None:
            self._pending = {}
        for task_id in task_ids:
            self._pending.setdefault(task_id, 0)

    def take(self) -> tuple[dict[str, int], bool]:
        """What is pending, as {task id: how often it was sent in vain}, and whether every other task is, too.

        It is not pending any more, unless it is put back.
        """
        pending, everything = self._pending or {}, self._everything
        self._pending, self._everything = None, False
        return pending, everything

    def put_back(self, pending: Mapping[str, int], everything: bool) -> None:
        """What was taken could not be read: it is pending still."""
        self._everything = self._everything or everything
        self._pending = {**(self._pending or {}), **pending}

    def sent(self, message_id: str, task_ids: tuple[str, ...], attempt: int, now: float) -> None:
        """A payload went out."""
        if self._sent is None:
            self._sent = {}
        delay = min(RESEND_S * 2.0**attempt, RESEND_LIMIT_S)
        self._sent[message_id] = _Sent(task_ids, attempt, now + delay)

    def acknowledged(self, message_id: str) -> None:
        """The agent has it; one that is not known was sent again meanwhile."""
        if self._sent is not None:
            self._sent.pop(message_id, None)
            self._sent = self._sent or None

    def expire(self, now: float) -> None:
        """What was not acknowledged in time is pending again."""
        for message_id, each in list((self._sent or {}).items()):
            if each.resend_at <= now:
                self.acknowledged(message_id)
                if self._pending is None:
                    self._pending = {}
                for task_id in each.task_ids:
                    self._pending[task_id] = max(self._pending.get(task_id, 0), each.attempt + 1)


def batches(task_ids: Sequence[str], attempts: Mapping[str, int]) -> list[tuple[tuple[str, ...], int]]:
    """Task ids by payload, with the attempt. A task that was sent in vain goes alone: it may be the reason why the
    others were not acknowledged."""
    fresh = [task_id for task_id in task_ids if not attempts.get(task_id)]
    together = [(tuple(fresh[at : at + TASKS_LIMIT]), 0) for at in range(0, len(fresh), TASKS_LIMIT)]
    return together + [((task_id,), attempts[task_id]) for task_id in task_ids if attempts.get(task_id)]
