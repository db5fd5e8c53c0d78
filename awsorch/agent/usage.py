"""What containers use, read from the kernel's own files: costs next to nothing and asks the engine nothing.

Only where agent and containers share a kernel and the engine's cgroups have their usual names; elsewhere there are
no figures, and the container is left out of the metrics.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from awsorch.agent.task_cgroup import CGROUP_ROOT, FOLDER, SLICE

PROC_ROOT = Path("/proc")
_SCOPE = "docker-{id}.scope"
_FORMS = (
    f"{FOLDER}/{{id}}",
    f"{FOLDER}/*/{{id}}",
    f"{SLICE}/{_SCOPE}",
    f"{SLICE}/*.slice/{_SCOPE}",
    "docker/{id}",
    f"system.slice/{_SCOPE}",
    "awsorch-*/{id}",
    "awsorch-*/*/{id}",
)
"""A container's cgroup: among the tasks' as the two drivers name it, alone or in its task's; where the engine puts it
by itself; or in a local instance's."""
_KNOWN = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What has gone through a container's interfaces in one direction since its start, its loopback left out."""

    bytes: int = 0
    packets: int = 0
    errors: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time since the container's start, in seconds; memory without the page cache, in bytes; bytes read from and
    written to disks since the start. `received` and `sent` are those of the network that its processes are in."""

    cpu: float
    memory: int
    bytes_read: int = 0
    bytes_written: int = 0
    received: Traffic | None = None
    sent: Traffic | None = None


class UsageSource(Protocol):
    def read(self, docker_id: str) -> Usage | None:
        """None when nothing is known of the container."""


class KernelUsage:
    """Usage from cgroup files, version 1 or 2, and from what /proc says of the network of a container's process."""

    def __init__(self, cgroups: Path = CGROUP_ROOT, proc: Path = PROC_ROOT) -> None:
        self._root = cgroups
        self._proc = proc
        self._cgroups = Cgroups(cgroups)
        self._is_v2 = (cgroups / "cgroup.controllers").exists()

    def read(self, docker_id: str) -> Usage | None:
        try:
            return self._read_v2(docker_id) if self._is_v2 else self._read_v1(docker_id)
        except (OSError, ValueError, LookupError):
            return None

    def _read_v1(self, docker_id: str) -> Usage | None:
        form = self._cgroups.find("cpuacct", docker_id)
        if form is None:
            return None
        cpu = int((self._root / "cpuacct" / form / "cpuacct.usage").read_text())
        folder = self._root / "memory" / form
        used = int((folder / "memory.usage_in_bytes").read_text())
        cache = fields_of(folder / "memory.stat")["total_cache"]
        disks = self._root / "blkio" / form / "blkio.throttle.io_service_bytes_recursive"
        words = [line.split() for line in lines_of(disks)]  # "8:0 Read 4096"; "Total 4096" comes last
        received, sent = self._traffic(folder)
        return Usage(
            cpu=cpu / 1e9,
            memory=max(used - cache, 0),
            bytes_read=sum(int(each[2]) for each in words if each[1] == "Read"),
            bytes_written=sum(int(each[2]) for each in words if each[1] == "Write"),
            received=received,
            sent=sent,
        )

    def _read_v2(self, docker_id: str) -> Usage | None:
        form = self._cgroups.find("", docker_id)
        if form is None:
            return None
        folder = self._root / form
        used = int((folder / "memory.current").read_text())
        inactive = fields_of(folder / "memory.stat")["inactive_file"]
        cpu = fields_of(folder / "cpu.stat")["usage_usec"]
        words = " ".join(lines_of(folder / "io.stat")).split()  # "8:0 rbytes=4096 wbytes=0 …" for each disk
        received, sent = self._traffic(folder)
        return Usage(
            cpu=cpu / 1e6,
            memory=max(used - inactive, 0),
            bytes_read=_sum_of("rbytes=", words),
            bytes_written=_sum_of("wbytes=", words),
            received=received,
            sent=sent,
        )

    def _traffic(self, folder: Path) -> tuple[Traffic | None, Traffic | None]:
        """Received and sent, in the network of the cgroup's first process; None when there is none."""
        try:
            process = (folder / "cgroup.procs").read_text().split()[0]
            lines = (self._proc / process / "net/dev").read_text().splitlines()[2:]
        except (OSError, IndexError):
            return None, None
        interfaces = [line.split(":") for line in lines]
        counts = [[int(each) for each in rest.split()] for name, rest in interfaces if name.strip() != "lo"]
        return _total(counts, first=0), _total(counts, first=8)


class NoUsage:
    """For containers that are simulated."""

    def read(self, docker_id: str) -> Usage | None:
        return None


class Cgroups:
    """Where containers' cgroups are below `root`; what was found is looked up no more while it is there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, str] = {}

    def find(self, hierarchy: str, docker_id: str) -> str | None:
        """A container's cgroup below the hierarchy's root."""
        top = self._root / hierarchy
        known = self._known.get(docker_id)
        if known is not None and (top / known).exists():
            return known
        found = next((path for form in _FORMS for path in top.glob(form.format(id=docker_id))), None)
        if found is None:
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[docker_id] = str(found.relative_to(top))
        return self._known[docker_id]

    def process_of(self, docker_id: str) -> int | None:
        """A container's first process, as this process counts: the engine may have another namespace of processes."""
        for hierarchy in ("", "memory"):
            form = self.find(hierarchy, docker_id)
            if form is not None:
                return int((self._root / hierarchy / form / "cgroup.procs").read_text().split()[0])
        return None


def fields_of(path: Path) -> dict[str, int]:
    """What a file of lines such as "name 12" says."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value in lines}


def lines_of(path: Path) -> list[str]:
    """No lines where the kernel does not count this."""
    return path.read_text().splitlines() if path.exists() else []


def _sum_of(prefix: str, words: Iterable[str]) -> int:
    return sum(int(word.removeprefix(prefix)) for word in words if word.startswith(prefix))


def _total(counts: list[list[int]], *, first: int) -> Traffic:
    """Of all interfaces; from column `first` on come bytes, packets, errors and drops."""
    columns = [sum(row[first + offset] for row in counts) for offset in range(4)]
    return Traffic(bytes=columns[0], packets=columns[1], errors=columns[2], dropped=columns[3])
