"""The Docker Engine of a local instance that is a namespace: where it keeps what, and what is left to remove of it.

Its images and containers stay in the data folder when the instance is switched off, as on a disk. Its sockets are under
/run, since the path of a socket may have 107 characters at most. Containers' cgroups are in one of the instance's own;
the engine is in another, as a service of an instance is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from awsorch.agent.task_cgroup import SERVICES_PER_CPU, weigh_folder
from awsorch.local.files import remove_folder, write_private
from awsorch.local.netns import Space
from awsorch.local.netns_cgroup import seat_engine

_log = logging.getLogger(__name__)

_CGROUPS = Path("/sys/fs/cgroup")
_RUN = Path("/run/awsorch")
_FOLDER = "engines"

CONTAINERD = Path("/run/containerd")
"""An engine that finds a containerd here takes it for its own, and this machine's would start its containers outside.
Each container's shim has a socket here too, whichever containerd it is of.
"""

_JOIN = 'until [ "$1" = -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


class HostEngine:
    """One instance's engine, by the data folder of the local cloud and the instance's id."""

    def __init__(self, data: Path, instance_id: str) -> None:
        self._data = engines_folder(data) / instance_id
        self._run = run_folder(data) / instance_id
        self._seats: list[Path] = []
        self._cgroup = f"awsorch-{instance_id}"
        self._own_cgroup = f"{self._cgroup}-engine"

    @property
    def socket(self) -> Path:
        """Where the engine itself listens."""
        return self._run / "engine.sock"

    @property
    def front(self) -> Path:
        """Where the agent finds it."""
        return self._run / "docker.sock"

    @property
    def cgroup(self) -> str:
        """Where its containers are."""
        return f"/{self._cgroup}"

    def command(self, space: Space) -> tuple[str, ...]:
        """The command that runs it in its instance's namespaces and in the cgroup of its own."""
        return (
            *("sh", "-c", _JOIN, "join", *map(str, self._seats), "--"),
            *space.enter("net", "mnt", "pid"),
            *("dockerd", "--log-level", "warn", "--config-file", str(self._configuration)),  # not this machine's
            *("--data-root", str(self._data), "--exec-root", str(self._run / "exec")),
            *("--pidfile", str(self._run / "docker.pid"), "--host", f"unix://{self.socket}"),
            *("--cgroup-parent", self.cgroup),
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),  # systemd knows no other namespace's process ids
        )

    def prepare(self) -> None:
        """Make what it needs to start, with nothing left of when it last ran. Blocking. Raises OSError."""
        self.clear()
        self._data.mkdir(parents=True, exist_ok=True)
        self._run.mkdir(mode=0o700, parents=True)
        write_private(self._configuration, "{}")
        try:
            weigh_folder(self._cgroup, SERVICES_PER_CPU * (os.cpu_count() or 1))
            self._seats = seat_engine(self._own_cgroup)
        except OSError as error:
            _log.warning("the engine and its containers get no share of the CPU of their own: %s", error)

    def clear(self) -> None:
        """Remove what an engine that has ended leaves outside its namespaces and its data. Blocking. Raises OSError."""
        for name in (self._cgroup, self._own_cgroup):
            for group in (*_CGROUPS.glob(name), *_CGROUPS.glob(f"*/{name}")):
                for path, _, _ in os.walk(group, topdown=False):
                    with contextlib.suppress(FileNotFoundError):
                        os.rmdir(path)
        remove_folder(self._run)  # last: `left_over` goes by it

    def remove(self) -> None:
        """Remove its images and containers as well. Blocking. Raises OSError."""
        self.clear()
        remove_folder(self._data)

    @property
    def _configuration(self) -> Path:
        return self._run / "daemon.json"


def engines_folder(data: Path) -> Path:
    """Where a local cloud's engines keep images and containers."""
    return data / _FOLDER


def run_folder(data: Path) -> Path:
    """Where the sockets of a local cloud's engines are: for each data folder another one."""
    return _RUN / f"{zlib.crc32(str(data).encode()):08x}"


def left_over(data: Path) -> Iterator[HostEngine]:
    """The engines of which anything is left of an earlier run."""
    for folder in sorted(run_folder(data).glob("i-*")):
        yield HostEngine(data, folder.name)
