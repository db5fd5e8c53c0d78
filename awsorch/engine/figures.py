"""What the engine counts of itself, for whoever wants to look: plain numbers that only grow while a controller runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class WriterFigures:
    """What a partition's writer has done. Times in seconds."""

    events: int = 0
    commits: int = 0
    failed_commits: int = 0
    step_seconds: float = 0.0
    commit_seconds: float = 0.0


@dataclass(slots=True)
class OutboxFigures:
    """Commands that were carried out, and those that failed, by their kind."""

    sent: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
