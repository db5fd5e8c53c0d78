"""Records of why a task is where it is and as it is. Values, like all records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryEntry:
    """One thing that happened to a task: when, what, and the id of the event or request that caused it."""

    at: float
    what: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """How many instances one placement filter turned away, why, and (a few of) which."""

    filter: str
    reason: str
    instances: int
    instance_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Why a task is where it is: instances looked at, the refusals of each filter, and the choice."""

    considered: int
    refused: tuple[Refused, ...] = ()
    chosen: str | None = None
