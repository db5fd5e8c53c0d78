"""The cgroup of all tasks' containers, with the CPU weight of what the instance is there for.

It exists because all containers of an engine together weigh, by default, as much as one service of the host: those that
serve would wait for the engine while it starts others. Weights count only while there is too little CPU time. kubelet
puts its pods into a weighed cgroup for the same reason; the names are those of the official agent. Nothing here touches
another cgroup, and where the kernel or systemd refuses this one, containers stay where the engine puts them.
"""

import logging
import subprocess
from pathlib import Path

LOG = logging.getLogger(__name__)

CGROUP_ROOT = Path("/sys/fs/cgroup")
FOLDER, SLICE = "ecs", "ecstasks.slice"
_DEFAULT_SHARES, _MAXIMUM_SHARES = 1024, 262144
_DEFAULT_WEIGHT, _MAXIMUM_WEIGHT = 100, 10000
SERVICES_PER_CPU = 4
"""So many services of the host all tasks weigh: an engine that starts containers keeps a fifth of a busy core."""
SYSTEMD_SECONDS = 10.0


def claim_cgroup(driver: str, cpus: int, *, root: Path = CGROUP_ROOT, systemctl: str = "systemctl") -> str:
    """Make and weigh the cgroup for an engine of this cgroup driver ("cgroupfs" or "systemd") on so many CPUs.

    What to put into `CgroupParent`; empty for the engine's own choice, with a line in the log where it was refused.
    """
    try:
        if driver == "cgroupfs":
            weigh_folder(FOLDER, SERVICES_PER_CPU * cpus, root=root)
            return f"/{FOLDER}"
        if driver == "systemd":
            _weigh_slice(systemctl, cpus)
            return SLICE
    except (OSError, subprocess.SubprocessError) as error:
        LOG.warning("tasks' containers get no CPU weight of their own: %s", error)
    return ""


def weigh_folder(name: str, services: int, *, root: Path = CGROUP_ROOT) -> Path:
    """Make and weigh a cgroup directly under the root, without systemd; it weighs as much as so many services.

    The file that takes a process id to put it there. Raises OSError.
    """
    if (root / "cgroup.controllers").exists():  # version 2
        (root / "cgroup.subtree_control").write_text("+cpu")
        folder, file, weight = root / name, "cpu.weight", _weight(services)
    else:
        folder, file, weight = root / "cpu" / name, "cpu.shares", min(_DEFAULT_SHARES * services, _MAXIMUM_SHARES)
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(str(weight))
    return folder / "cgroup.procs"


def _weigh_slice(systemctl: str, cpus: int) -> None:
    """systemd makes the slice with its first container; told now, it keeps to the weight from then on."""
    command = (systemctl, "set-property", "--runtime", SLICE, f"CPUWeight={_weight(SERVICES_PER_CPU * cpus)}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMD_SECONDS, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")


def _weight(services: int) -> int:
    return min(_DEFAULT_WEIGHT * services, _MAXIMUM_WEIGHT)
