"""What simulated containers do where their environment does not say it: read from a file that a test suite writes.

The file is a JSON list; the last entry counts whose ``image`` and ``container`` (shell patterns) fit. Its ``runs`` are
the SIMULATED_ variables of the first container that it fits, of the second, and so on; the last stands for all that
follow.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
VARIABLE = "AWSORCH_SIMULATED_SCRIPTS"


class Scripts:
    """The file at a path, which may change, be missing, or be in the middle of being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] = []
        self._seen: tuple[int, int] | None = None
        self._counts: Counter[str] = Counter()

    def environment(self, image: str, container: str) -> Mapping[str, str]:
        """The variables of a container that is made now."""
        for entry in reversed(self._read()):
            fits = fnmatch.fnmatchcase(image, entry["image"]) and fnmatch.fnmatchcase(container, entry["container"])
            if fits and entry["runs"]:
                number = self._counts[entry["id"]]
                self._counts[entry["id"]] += 1
                runs: list[dict[str, str]] = entry["runs"]
                return runs[min(number, len(runs) - 1)]
        return {}

    def _read(self) -> list[dict[str, Any]]:
        try:
            stat = self._path.stat()
            if self._seen != (stat.st_mtime_ns, stat.st_ino):
                self._entries = json.loads(self._path.read_text())
                self._seen = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            self._entries, self._seen = [], None
        except ValueError as error:
            LOG.warning("%s is not valid JSON: %s", self._path, error)
        return self._entries


@functools.cache
def scripts_at(path: Path) -> Scripts:
    """The one reader of a file in this process: all engines count together."""
    return Scripts(path)
