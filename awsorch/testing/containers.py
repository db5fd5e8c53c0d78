"""What simulated containers do in a test: declared, for images by pattern, before tasks start."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One container's life. ``seconds`` until it exits with ``exit_code``, None: until it is stopped; ``logs`` are the
    lines that it prints at its start. ``health`` is "healthy", "unhealthy", or either after seconds: "healthy:0.5".
    ``start_seconds``: how long its start takes. ``ignores_stop``: only SIGKILL ends it."""

    exit_code: int = 0
    seconds: float | None = None
    logs: Sequence[str] = ()
    health: str = ""
    start_seconds: float = 0.0
    ignores_stop: bool = False

    def variables(self) -> dict[str, str]:
        """As the simulated engine takes it. Raises ValueError for what it can't do."""
        if any("|" in line or "\n" in line for line in self.logs):
            raise ValueError("a log line of a simulated container can't have | or a line's end in it")
        if self.exit_code and self.seconds is None:
            raise ValueError(f"exit_code {self.exit_code} needs seconds: a container without runs until it is stopped")
        found: dict[str, Any] = {"SIMULATED_EXIT_CODE": self.exit_code}
        if self.seconds is not None:
            found["SIMULATED_RUN_SECONDS"] = self.seconds
        if self.logs:
            found["SIMULATED_PRINTS"] = "|".join(self.logs)
        if self.health:
            found["SIMULATED_HEALTH"] = self.health
        if self.start_seconds:
            found["SIMULATED_START_SECONDS"] = self.start_seconds
        if self.ignores_stop:
            found["SIMULATED_STOP"] = "ignore"
        return {name: str(value) for name, value in found.items()}


class ContainerScripts:
    """Scripts of the cloud on a data folder. What is declared last counts."""

    def __init__(self, data: Path) -> None:
        self._path = data / "run" / "containers.json"
        self._entries: list[dict[str, Any]] = []

    def script(self, image: str, *runs: Run, container: str = "*", **run: Any) -> None:
        """Containers of images like ``image`` (a shell pattern) do this: the first of them the first of ``runs``, and
        so on, the last of them for all that follow; or one ``Run`` with these members."""
        if runs and run:
            raise TypeError("give runs, or the members of one, not both")
        lives = runs or (Run(**run),)
        variables = [each.variables() for each in lives]
        entry = {"id": uuid.uuid4().hex, "image": image, "container": container, "runs": variables}
        self._entries.append(entry)
        self._write()

    def clear(self) -> None:
        """Containers run until they are stopped again."""
        self._entries.clear()
        self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._entries))
        os.replace(fresh, self._path)
