"""A task's own limits of CPU and memory, for all of its containers together: a cgroup between the tasks' and theirs.

It is made before the task's first container and removed with the task. Where the host's cgroups are not the agent's to
write, tasks run without it, as with ECS_ENABLE_TASK_CPU_MEM_LIMIT=false. Definitions cannot limit processes:
ECS_TASK_PIDS_LIMIT does, for each task of the instance; as in ECS there is no limit without it.
Source: ECS developer guide, "Task size"; agent protocol, Docker objects created (task cgroup).
"""

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path

from awsorch.agent.settings import LimitSettings
from awsorch.agent.task_cgroup import CGROUP_ROOT, SLICE, SYSTEMD_SECONDS
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024
LEAST_SHARES = 2
_CONTROLLERS = ("cpu", "memory", "pids")


class LimitError(Exception):
    """The cgroup cannot be made; the text is the container's reason."""


class TaskLimits:
    """The cgroups of one instance's tasks, below `parent`: a path, or systemd's slice; empty: there are none."""

    def __init__(
        self, settings: LimitSettings, parent: str, *, root: Path = CGROUP_ROOT, systemctl: str = "systemctl"
    ) -> None:
        self._settings = settings
        self._parent = parent if settings.enabled else ""
        self._root = root
        self._systemctl = systemctl
        self._is_v2 = (root / "cgroup.controllers").exists()

    async def make(self, task: acs.Task) -> str:
        """What to put into `CgroupParent`; empty for a task without limits of its own. Raises LimitError."""
        if not self._limits(task):
            return ""
        try:
            if self._parent == SLICE:
                return await asyncio.to_thread(self._make_slice, task)
            return await asyncio.to_thread(self._make_folder, task)
        except (OSError, subprocess.SubprocessError) as error:
            raise LimitError(f"CannotCreateContainerError: the limits of the task cannot be set: {error}") from error

    async def remove(self, task: acs.Task) -> None:
        """Of a task whose containers are gone; no error where there is nothing."""
        if not self._limits(task):
            return
        try:
            if self._parent == SLICE:
                await asyncio.to_thread(self._systemd, "revert", _slice(task))
            else:
                await asyncio.to_thread(self._remove_folder, task)
        except (OSError, subprocess.SubprocessError) as error:
            LOG.warning("the cgroup of task %s is left: %s", task.arn, error)

    def _limits(self, task: acs.Task) -> bool:
        """Whether the task has a cgroup: the limit of processes is for all of them, whatever they say of themselves."""
        return bool(self._parent and (task.cpu or task.memory or self._settings.pids))

    # Without systemd

    def _make_folder(self, task: acs.Task) -> str:
        name = f"{self._parent.strip('/')}/{_id(task)}"
        if self._is_v2:
            self._write(self._root / name, self._limits_v2(task))
        else:
            for controller, limits in self._limits_v1(task).items():
                self._write(self._root / controller / name, limits)
        return f"/{name}"

    def _write(self, folder: Path, limits: Mapping[str, str]) -> None:
        if self._is_v2:
            for above in (folder.parent.parent, folder.parent):
                above.mkdir(exist_ok=True)
                (above / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in _CONTROLLERS))
        folder.mkdir(exist_ok=True, parents=True)
        for file, value in limits.items():
            (folder / file).write_text(value)

    def _limits_v1(self, task: acs.Task) -> dict[str, dict[str, str]]:
        limits: dict[str, dict[str, str]] = {"cpu": {}, "memory": {}, "pids": {}}
        if task.cpu:
            limits["cpu"] = {
                "cpu.cfs_period_us": str(self._period_us),
                "cpu.cfs_quota_us": str(round(task.cpu * self._period_us)),
                "cpu.shares": str(max(round(task.cpu * 1024), LEAST_SHARES)),
            }
        else:
            limits["cpu"] = {"cpu.shares": str(_shares(task))}
        if task.memory:
            limits["memory"] = {"memory.limit_in_bytes": str(task.memory * MEBIBYTE)}
        if self._settings.pids:
            limits["pids"] = {"pids.max": str(self._settings.pids)}
        return {controller: files for controller, files in limits.items() if files}

    def _limits_v2(self, task: acs.Task) -> dict[str, str]:
        limits = {}
        if task.cpu:
            limits["cpu.max"] = f"{round(task.cpu * self._period_us)} {self._period_us}"
        else:
            limits["cpu.weight"] = str(_weight(task))
        if task.memory:
            limits["memory.max"] = str(task.memory * MEBIBYTE)
        if self._settings.pids:
            limits["pids.max"] = str(self._settings.pids)
        return limits

    @property
    def _period_us(self) -> int:
        return round(self._settings.cpu_period * 1_000_000)

    def _remove_folder(self, task: acs.Task) -> None:
        name = f"{self._parent.strip('/')}/{_id(task)}"
        for folder in [self._root / name] if self._is_v2 else list(self._root.glob(f"*/{name}")):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()

    # With systemd

    def _make_slice(self, task: acs.Task) -> str:
        """systemd makes the slice with its first container; told now, it keeps to the limits from then on."""
        properties = []
        if task.cpu:
            properties += [f"CPUQuota={task.cpu * 100:g}%", f"CPUQuotaPeriodSec={self._period_us}us"]
        else:
            properties.append(f"CPUWeight={_weight(task)}")
        if task.memory:
            properties.append(f"MemoryMax={task.memory}M")
        if self._settings.pids:
            properties.append(f"TasksMax={self._settings.pids}")
        self._systemd("set-property", "--runtime", _slice(task), *properties)
        return _slice(task)

    def _systemd(self, *arguments: str) -> None:
        command = (self._systemctl, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMD_SECONDS, check=False)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")


def _id(task: acs.Task) -> str:
    return task.arn.rpartition("/")[2]


def _shares(task: acs.Task) -> int:
    """Of a task that says nothing of its own: what its containers would have beside the others' without it."""
    return max(sum(each.cpu for each in task.containers), LEAST_SHARES)


def _weight(task: acs.Task) -> int:
    """The same as version 2 counts it, as runc converts it for containers."""
    return 1 + (_shares(task) - LEAST_SHARES) * 9999 // 262142


def _slice(task: acs.Task) -> str:
    return f"{SLICE.removesuffix('.slice')}-{_id(task)}.slice"
