"""One agent's control connection (ACS) as a conversation of messages. No socket, no clock, no state of the cluster.

The gateway feeds it what the agent said and what the partition holds, and sends what it answers. It knows when it is
next due; one wheel turns all of them. `now` is any clock's seconds that never goes back, and only differences count.
Source: agent protocol, ACS websocket.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from awsorch.gateway.assignments import TaskAttachments
from awsorch.gateway.delivery import BYTES_LIMIT, RESEND_LIMIT_S, RESEND_S, Delivery, batches
from awsorch.wire import acs

#: An agent looks for what is attached for so long. Milliseconds.
ATTACHING_MS = 180_000
#: An agent hears from us at least this often: it gives a silent connection up after 60 s. Seconds.
HEARTBEAT_S = 45.0
#: A connection on which nothing was heard for this long is half open: two heartbeats went unanswered. Seconds.
SILENCE_S = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Whom a connection belongs to."""

    cluster: str
    id: str
    arn: str
    cluster_arn: str


@dataclass(frozen=True, slots=True)
class Question:
    """The agent asks which of these tasks (ARNs) it shall really stop; the answer carries the same message id."""

    message_id: str
    candidates: tuple[acs.TaskIdentifier, ...]


class Numbers:
    """`seqNum`, `timeline` and `generatedAt`: milliseconds since the epoch that only grow, also over a restart."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """The next number. `clock` gives seconds since the epoch."""
        self._last = max(self._last + 1, int(self._clock() * 1000))
        return self._last


class ControlSession:
    """One connection of one container instance."""

    __slots__ = (
        "_attempt",
        "_heartbeat_at",
        "_manifest",
        "_manifest_at",
        "_new_id",
        "delivery",
        "heard_at",
        "instance",
    )

    def __init__(self, instance: Instance, now: float, new_id: Callable[[], str]) -> None:
        self.instance = instance
        self.delivery = Delivery()
        self.heard_at = now
        # Agents that came at the same moment are not to beat at the same moment for ever.
        self._heartbeat_at = now + HEARTBEAT_S * (zlib.crc32(instance.id.encode()) / 2**32)
        self._new_id = new_id
        self._manifest: str | None = None
        self._manifest_at = float("inf")
        self._attempt = 0

    @property
    def due(self) -> float:
        """When `tick` is to be called next."""
        return min(self._heartbeat_at, self.heard_at + SILENCE_S, self._manifest_at, self.delivery.due)

    @property
    def wants_manifest(self) -> bool:
        """Whether the agent should be told (again) which tasks it has."""
        return self._manifest is None

    def is_silent(self, now: float) -> bool:
        """Whether the agent must be taken for gone."""
        return now >= self.heard_at + SILENCE_S

    def tick(self, now: float) -> bool:
        """Whether a heartbeat is due; what was not acknowledged in time is wanted again."""
        self.delivery.expire(now)
        if now >= self._manifest_at:
            self._manifest, self._manifest_at = None, float("inf")
        if now < self._heartbeat_at:
            return False
        self._heartbeat_at = now + HEARTBEAT_S
        return True

    # --- to the agent ---------------------------------------------------------------------------------------------

    def manifest(self, tasks: Sequence[acs.TaskIdentifier], now: float, number: int) -> acs.TaskManifestMessage:
        """All tasks that the instance should have. It is repeated, more and more slowly, until it is acknowledged."""
        self._manifest = self._new_id()
        self._manifest_at = now + min(RESEND_S * 2.0**self._attempt, RESEND_LIMIT_S)
        self._attempt += 1
        return acs.TaskManifestMessage(
            message_id=self._manifest,
            cluster_arn=self.instance.cluster_arn,
            container_instance_arn=self.instance.arn,
            generated_at=number,
            timeline=number,
            tasks=tuple(tasks),
        )

    def payloads(
        self, tasks: Mapping[str, acs.Task], attempts: Mapping[str, int], now: float, next_number: Callable[[], int]
    ) -> list[str]:
        """Text frames that tell the agent of these tasks (by id), each remembered until it is acknowledged."""
        frames: list[str] = []
        waiting = batches(tuple(tasks), attempts)[::-1]
        while waiting:
            task_ids, attempt = waiting.pop()
            message = self._payload(tuple(tasks[task_id] for task_id in task_ids), next_number())
            frame = acs.encode_acs(message)
            if len(frame) > BYTES_LIMIT and len(task_ids) > 1:
                half = len(task_ids) // 2
                waiting += [(task_ids[half:], attempt), (task_ids[:half], attempt)]
                continue
            self.delivery.sent(message.message_id, task_ids, attempt, now)
            frames.append(frame)
        return frames

    def attachments(
        self, attached: Mapping[str, TaskAttachments], attempts: Mapping[str, int], now: float, number: int
    ) -> list[str]:
        """Text frames that tell the agent what, by task id, is attached to its instance for tasks to come; each
        remembered until it is acknowledged."""
        frames = []
        for task_id, those in attached.items():
            about = {
                "cluster_arn": self.instance.cluster_arn,
                "container_instance_arn": self.instance.arn,
                "generated_at": number,
                "task_arn": those.task_arn,
                "task_cluster_arn": self.instance.cluster_arn,
                "wait_timeout_ms": ATTACHING_MS,
            }
            for message in _messages(those, about, self._new_id):
                self.delivery.sent(message.message_id, (task_id,), attempts.get(task_id, 0), now)
                frames.append(acs.encode_acs(message))
        return frames

    def _payload(self, tasks: tuple[acs.Task, ...], number: int) -> acs.PayloadMessage:
        return acs.PayloadMessage(
            cluster_arn=self.instance.cluster_arn,
            container_instance_arn=self.instance.arn,
            message_id=self._new_id(),
            generated_at=number,
            seq_num=number,
            timeline=number,
            tasks=tasks,
        )

    @staticmethod
    def stop_verification(
        question: Question, to_stop: Sequence[acs.TaskIdentifier], number: int
    ) -> acs.TaskStopVerificationAck:
        """The answer to a question of the agent's."""
        return acs.TaskStopVerificationAck(
            message_id=question.message_id, generated_at=number, stop_tasks=tuple(to_stop)
        )

    # --- from the agent -------------------------------------------------------------------------------------------

    def receive(self, message: acs.ACSMessage | None, now: float) -> Question | None:
        """Take note of what the agent said; a question is for the gateway to answer. None: a type that is not known."""
        self.heard_at = now
        if isinstance(message, acs.AckRequest):
            if message.message_id == self._manifest:
                self._manifest_at, self._attempt = float("inf"), 0
            else:
                self.delivery.acknowledged(message.message_id)
        elif isinstance(message, acs.TaskStopVerificationMessage) and message.message_id == self._manifest:
            # Only the newest manifest counts: what an older one did not list may be listed now.
            return Question(message.message_id, message.stop_candidates)
        return None


def _messages(
    those: TaskAttachments, about: Mapping[str, Any], new_id: Callable[[], str]
) -> Iterator[acs.AttachTaskNetworkInterfacesMessage | acs.ConfirmAttachmentMessage]:
    """One for the interfaces of a task, one for each of its volumes."""
    if those.interfaces:
        yield acs.AttachTaskNetworkInterfacesMessage(
            message_id=new_id(), elastic_network_interfaces=those.interfaces, **about
        )
    for volume in those.volumes:
        yield acs.ConfirmAttachmentMessage(message_id=new_id(), attachment=volume, **about)
