"""The cgroup of a local host's Docker Engine, and of all that it starts which is no container.

While an engine starts containers, it is in the kernel for milliseconds at a time (namespaces, mounts, firewall tables),
and a kernel that is built for servers gives its CPU to nobody meanwhile, whatever the weights. In an account the load
balancer and most instances are other machines. So the engines of local hosts leave one CPU, the same for all of them,
to everybody else, and weigh on the others what one service does. Without a cgroup the kernel would give each session
that an engine opens, some for every container, as much CPU time as the load balancer has (autogroups, sched(7)).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from awsorch.agent.task_cgroup import CGROUP_ROOT, weigh_folder


def seat_engine(name: str, *, root: Path = CGROUP_ROOT, cpus: Sequence[int] | None = None) -> list[Path]:
    """Make the cgroup of that name. `cpus`: the numbers of those there are; this process's own unless told.

    The files that take a process id to put it there: one for each hierarchy. Raises OSError.
    """
    seats = [weigh_folder(name, 1, root=root)]
    theirs = sorted(os.sched_getaffinity(0) if cpus is None else cpus)[1:]
    if theirs:
        seats.append(_confine(name, theirs, root))
    return list(dict.fromkeys(seats))


def _confine(name: str, cpus: Sequence[int], root: Path) -> Path:
    if (root / "cgroup.controllers").exists():  # version 2
        (root / "cgroup.subtree_control").write_text("+cpuset")
        folder = root / name
    else:
        folder = root / "cpuset" / name
        folder.mkdir(exist_ok=True)
        (folder / "cpuset.mems").write_text((root / "cpuset" / "cpuset.mems").read_text())
    (folder / "cpuset.cpus").write_text(",".join(map(str, cpus)))
    return folder / "cgroup.procs"
