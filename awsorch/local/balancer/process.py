"""HAProxy as a child process of the local cloud: where it is, how it is started, the folder that it finds.

It runs as a master with a worker, under the supervisor and not under the controller, so that requests go on while the
controller is killed and comes back. Needs HAProxy 2.6 or later (servers with checks, added while it runs).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from awsorch.local.balancer.configuration import configure, error_pages
from awsorch.local.balancer.model import Wish
from awsorch.local.balancer.runtime import MASTER_SOCKET
from awsorch.local.files import write_private
from awsorch.local.supervisor import ChildSpec

CHILD = "haproxy"
CONFIGURATION = "haproxy.cfg"
_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where distributions have it, which not every user's PATH has."""
_NICE = -10
_AHEAD = f'{{ echo {_NICE} > /proc/self/autogroup; }} 2> /dev/null; exec nice -n {_NICE} "$@"'


class HaproxyMissing(RuntimeError):
    """There is no HAProxy here; the message says what to do."""


def find_haproxy(path: str) -> str:
    """HAProxy's program, looked for on a PATH and where distributions have it. Raises HaproxyMissing."""
    found = shutil.which("haproxy", path=":".join((path, *_PLACES)))
    if found is None:
        raise HaproxyMissing(
            "HAProxy, which carries the local load balancers, is not here: install it (apt-get install haproxy)"
        )
    return found


def child_spec(folder: Path, environment: Mapping[str, str]) -> ChildSpec:
    """HAProxy for the supervisor, on a folder that `prepare` has seen. Raises HaproxyMissing."""
    program = find_haproxy(environment.get("PATH", ""))
    options = ("-W", "-db", "-S", f"unix@{MASTER_SOCKET},mode,600", "-C", str(folder), "-f", CONFIGURATION)
    return ChildSpec(name=CHILD, command=(*_ahead(), program, *options), environment=dict(environment))


def _ahead() -> tuple[str, ...]:
    """What gives requests the CPU before the containers that a rollout starts. Only root may ask for it, and what is
    refused is gone on without.

    Where the kernel groups processes by session (autogroups, see sched(7)) a nice value counts only within a session,
    and the session, which the supervisor makes for each child, has a nice value of its own.
    """
    return ("sh", "-c", _AHEAD, CHILD) if os.geteuid() == 0 else ()


def prepare(folder: Path, connections: int) -> None:
    """Write what HAProxy needs to start with nothing to carry. Only before it runs. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in error_pages().items():
        with (folder / name).open("w", newline="") as file:
            file.write(text)
    write_private(folder / CONFIGURATION, configure(Wish(), {}, connections).text())
