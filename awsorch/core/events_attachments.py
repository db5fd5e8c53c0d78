"""Events about what tasks have from EC2 for themselves: what came of asking for it, and what agents see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from awsorch.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentProvided(Event):
    """It is attached to the task's instance. ``details`` is what ECS shows of it, ``facts`` what its agent needs."""

    task_id: str
    attachment_id: str
    details: Mapping[str, str]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRefused(Event):
    """EC2 will not give it; ``reason`` is the task's."""

    task_id: str
    attachment_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentReleased(Event):
    """EC2 has it no more."""

    task_id: str
    attachment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentsReported(Event):
    """SubmitTaskStateChange, or SubmitAttachmentStateChanges, which names no task: ``attached`` are ids of attachments
    that an agent has."""

    attached: tuple[str, ...]
    task_id: str | None = None
