"""What containers use, read from the kernel's own files: costs next to nothing and asks the engine nothing.

Only where agent and containers share a kernel and the engine's cgroups have their usual names; elsewhere there are
no figures, and the container is left out of the metrics.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CGROUP_ROOT = Path("/sys/fs/cgroup")
_V2_FORMS = ("docker/{id}", "system.slice/docker-{id}.scope")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time since the container's start, in seconds, and memory without the page cache, in bytes."""

    cpu: float
    memory: int


class UsageSource(Protocol):
    def read(self, docker_id: str) -> Usage | None:
        """None when nothing is known of the container."""


class CgroupUsage:
    """Usage from cgroup files, version 1 or 2."""

    def __init__(self, root: Path = CGROUP_ROOT) -> None:
        self._root = root
        self._is_v2 = (root / "cgroup.controllers").exists()

    def read(self, docker_id: str) -> Usage | None:
        try:
            return self._read_v2(docker_id) if self._is_v2 else self._read_v1(docker_id)
        except (OSError, ValueError, KeyError):
            return None

    def _read_v1(self, docker_id: str) -> Usage:
        cpu = int((self._root / "cpuacct/docker" / docker_id / "cpuacct.usage").read_text())
        folder = self._root / "memory/docker" / docker_id
        used = int((folder / "memory.usage_in_bytes").read_text())
        cache = _fields(folder / "memory.stat")["total_cache"]
        return Usage(cpu=cpu / 1e9, memory=max(used - cache, 0))

    def _read_v2(self, docker_id: str) -> Usage | None:
        for form in _V2_FORMS:
            folder = self._root / form.format(id=docker_id)
            if folder.exists():
                used = int((folder / "memory.current").read_text())
                inactive = _fields(folder / "memory.stat")["inactive_file"]
                cpu = _fields(folder / "cpu.stat")["usage_usec"]
                return Usage(cpu=cpu / 1e6, memory=max(used - inactive, 0))
        return None


class NoUsage:
    """For containers that are simulated."""

    def read(self, docker_id: str) -> Usage | None:
        return None


def _fields(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value in lines}
