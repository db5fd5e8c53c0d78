"""What a container uses, from the kernel's own files, in the shape in which the Docker Engine tells it.

It exists because the engine answers once a second at best and keeps a caller waiting that long. Only where agent and
containers share a kernel; elsewhere the engine has to be asked.
Source: Docker Engine API, GET /containers/{id}/stats; the kernel's documentation of cgroups, versions 1 and 2.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from awsorch.agent.task_cgroup import CGROUP_ROOT
from awsorch.agent.usage import PROC_ROOT, Cgroups, fields_of, lines_of

Stats = Mapping[str, Any]
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds of what the kernel counts CPU time in."""
_COUNTERS = ("bytes", "packets", "errors", "dropped")
_NO_BLOCKS: dict[str, Any] = {
    f"{each}_recursive": None
    for each in ("io_queue", "io_service_time", "io_wait_time", "io_merged", "io_time", "sectors")
}
"""What Docker's statistics have room for and kernels do not count for containers any more."""


class StatsSource(Protocol):
    def read(self, docker_id: str, name: str) -> Stats | None:
        """At once; None when nothing is known of the container. `name` is its name in Docker."""


class KernelStats:
    """Reads cgroup files, version 1 or 2, and /proc. `clock` gives nanoseconds since the epoch."""

    def __init__(
        self, cgroups: Path = CGROUP_ROOT, proc: Path = PROC_ROOT, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._root = cgroups
        self._proc = proc
        self._clock = clock
        self._cgroups = Cgroups(cgroups)
        self._is_v2 = (cgroups / "cgroup.controllers").exists()

    def read(self, docker_id: str, name: str) -> Stats | None:
        try:
            read = self._read_v2(docker_id) if self._is_v2 else self._read_v1(docker_id)
            if read is None:
                return None
            common = {
                "id": docker_id,
                "name": f"/{name}",
                "read": _docker_time(self._clock()),
                "num_procs": 0,
                "storage_stats": {},
            }
            return {**common, **read}
        except (OSError, ValueError, LookupError):
            return None

    def _read_v1(self, docker_id: str) -> dict[str, Any] | None:
        form = self._cgroups.find("memory", docker_id)
        if form is None:
            return None
        cpu, memory, blocks = (self._root / each / form for each in ("cpuacct", "memory", "blkio"))
        ticks = fields_of(cpu / "cpuacct.stat")
        usage = {
            "total_usage": _number(cpu / "cpuacct.usage"),
            "percpu_usage": [int(each) for each in (cpu / "cpuacct.usage_percpu").read_text().split()],
            "usage_in_kernelmode": ticks["system"] * TICK,
            "usage_in_usermode": ticks["user"] * TICK,
        }
        throttled = fields_of(self._root / "cpu" / form / "cpu.stat")
        return {
            "pids_stats": _pids(self._root / "pids" / form),
            "blkio_stats": _NO_BLOCKS
            | {
                "io_service_bytes_recursive": list(_blocks_v1(blocks / "blkio.throttle.io_service_bytes_recursive")),
                "io_serviced_recursive": list(_blocks_v1(blocks / "blkio.throttle.io_serviced_recursive")),
            },
            "cpu_stats": self._cpu(usage, throttled, throttled.get("throttled_time", 0)),
            "memory_stats": {
                "usage": _number(memory / "memory.usage_in_bytes"),
                "max_usage": _number(memory / "memory.max_usage_in_bytes"),
                "stats": fields_of(memory / "memory.stat"),
                "limit": min(_number(memory / "memory.limit_in_bytes"), self._memory()),
            },
            **self._networks(memory),
        }

    def _read_v2(self, docker_id: str) -> dict[str, Any] | None:
        form = self._cgroups.find("", docker_id)
        if form is None:
            return None
        folder = self._root / form
        cpu = fields_of(folder / "cpu.stat")
        usage = {
            "total_usage": cpu["usage_usec"] * 1000,
            "usage_in_kernelmode": cpu["system_usec"] * 1000,
            "usage_in_usermode": cpu["user_usec"] * 1000,
        }
        limit = (folder / "memory.max").read_text().strip()
        return {
            "pids_stats": _pids(folder),
            "blkio_stats": _NO_BLOCKS
            | {
                "io_service_bytes_recursive": list(_blocks_v2(folder / "io.stat", "bytes")),
                "io_serviced_recursive": None,
            },
            "cpu_stats": self._cpu(usage, cpu, cpu.get("throttled_usec", 0) * 1000),
            "memory_stats": {
                "usage": _number(folder / "memory.current"),
                "stats": fields_of(folder / "memory.stat"),
                "limit": self._memory() if limit == "max" else min(int(limit), self._memory()),
            },
            **self._networks(folder),
        }

    def _cpu(self, usage: Mapping[str, Any], throttled: Mapping[str, int], time_throttled: int) -> dict[str, Any]:
        lines = lines_of(self._proc / "stat")
        return {
            "cpu_usage": usage,
            "system_cpu_usage": sum(int(each) for each in lines[0].split()[1:8]) * TICK,
            "online_cpus": sum(line.startswith("cpu") for line in lines) - 1,
            "throttling_data": {
                "periods": throttled.get("nr_periods", 0),
                "throttled_periods": throttled.get("nr_throttled", 0),
                "throttled_time": time_throttled,
            },
        }

    def _memory(self) -> int:
        """The host's, in bytes."""
        return int(lines_of(self._proc / "meminfo")[0].split()[1]) * 1024

    def _networks(self, folder: Path) -> dict[str, Any]:
        """The interfaces of a container with a network of its own."""
        try:
            process = self._proc / (folder / "cgroup.procs").read_text().split()[0]
            if os.readlink(process / "ns/net") == os.readlink(self._proc / "self/ns/net"):
                return {}
            lines = (process / "net/dev").read_text().splitlines()[2:]
        except (OSError, IndexError):
            return {}
        networks = {}
        for line in lines:
            name, _, rest = line.partition(":")
            counts = [int(each) for each in rest.split()]
            received = {f"rx_{what}": counts[place] for place, what in enumerate(_COUNTERS)}
            sent = {f"tx_{what}": counts[8 + place] for place, what in enumerate(_COUNTERS)}
            networks[name.strip()] = received | sent
        networks.pop("lo", None)
        return {"networks": networks} if networks else {}


class NoKernelStats:
    """For containers that are not this kernel's."""

    def read(self, docker_id: str, name: str) -> Stats | None:
        return None


def _number(path: Path) -> int:
    return int(path.read_text())


def _pids(folder: Path) -> dict[str, int]:
    if not (folder / "pids.current").exists():
        return {}
    limit = (folder / "pids.max").read_text().strip()
    current = {"current": _number(folder / "pids.current")}
    return current if limit == "max" else current | {"limit": int(limit)}


def _blocks_v1(path: Path) -> Iterator[dict[str, Any]]:
    """Of lines such as "8:0 Read 4096"; the total has no device."""
    for device, operation, value in (line.split() for line in lines_of(path) if not line.startswith("Total")):
        major, _, minor = device.partition(":")
        yield {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}


def _blocks_v2(path: Path, what: str) -> Iterator[dict[str, Any]]:
    """Of lines such as "8:0 rbytes=4096 wbytes=0 rios=1"."""
    for line in lines_of(path):
        device, *counts = line.split()
        major, _, minor = device.partition(":")
        for name, _, value in (each.partition("=") for each in counts):
            operation = {f"r{what}": "read", f"w{what}": "write"}.get(name)
            if operation is not None:
                yield {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}


def _docker_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
