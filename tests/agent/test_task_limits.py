"""Limits of whole tasks: the cgroup between the tasks' and their containers'."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from docker import APIClient

from awsorch.agent.settings import LimitSettings
from awsorch.agent.task_cgroup import SLICE
from awsorch.agent.task_limits import LimitError, TaskLimits
from awsorch.agent.usage import KernelUsage
from awsorch.wire import acs
from tests.agent import processes
from tests.agent.backend import Backend
from tests.agent.tasks import a_container, a_task
from tests.agent.test_docker_agent import shell
from tests.agent.test_task_cgroup import a_systemctl

SETTINGS = LimitSettings(pids=100)


def a_sized_task(cpu: float = 0.25, memory: int = 64) -> acs.Task:
    return a_task(cpu=cpu, memory=memory)


def id_of(task: acs.Task) -> str:
    return task.arn.rpartition("/")[2]


def make(limits: TaskLimits, task: acs.Task) -> str:
    return asyncio.run(limits.make(task))


def test_version_1(tmp_path: Path) -> None:
    task = a_sized_task()
    limits = TaskLimits(SETTINGS, "/ecs", root=tmp_path)
    assert make(limits, task) == make(limits, task) == f"/ecs/{id_of(task)}", "again is no error"
    read = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.*")}
    assert read == {
        f"cpu/ecs/{id_of(task)}/cpu.cfs_period_us": "100000",
        f"cpu/ecs/{id_of(task)}/cpu.cfs_quota_us": "25000",
        f"cpu/ecs/{id_of(task)}/cpu.shares": "256",
        f"memory/ecs/{id_of(task)}/memory.limit_in_bytes": str(64 * 1024 * 1024),
        f"pids/ecs/{id_of(task)}/pids.max": "100",
    }


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    task = a_sized_task(cpu=2.0)
    assert make(TaskLimits(SETTINGS, "/ecs", root=tmp_path), task) == f"/ecs/{id_of(task)}"
    folder = tmp_path / "ecs" / id_of(task)
    read = {path.name: path.read_text() for path in folder.iterdir()}
    assert read == {"cpu.max": "200000 100000", "memory.max": str(64 * 1024 * 1024), "pids.max": "100"}
    assert (tmp_path / "ecs/cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_systemd(tmp_path: Path) -> None:
    task = a_sized_task()
    limits = TaskLimits(SETTINGS, SLICE, systemctl=a_systemctl(tmp_path, ""))
    assert make(limits, task) == f"ecstasks-{id_of(task)}.slice"
    said = "CPUQuota=25% CPUQuotaPeriodSec=100000us MemoryMax=64M TasksMax=100"
    assert (tmp_path / "asked").read_text() == f"set-property --runtime ecstasks-{id_of(task)}.slice {said}\n"
    asyncio.run(limits.remove(task))
    assert (tmp_path / "asked").read_text() == f"revert ecstasks-{id_of(task)}.slice\n"


def test_tasks_without_limits_and_hosts_without_cgroups(tmp_path: Path) -> None:
    assert make(TaskLimits(LimitSettings(), "/ecs", root=tmp_path), a_task()) == ""
    assert make(TaskLimits(SETTINGS, "", root=tmp_path), a_sized_task()) == ""
    assert make(TaskLimits(LimitSettings(enabled=False), "/ecs", root=tmp_path), a_sized_task()) == ""
    assert list(tmp_path.iterdir()) == []


def test_all_tasks_have_a_limit_of_processes(tmp_path: Path) -> None:
    """Also those that say nothing of themselves; the CPU is shared as if their cgroup were not there."""
    task = a_task(a_container("a", cpu=512), a_container("b", cpu=514))
    assert make(TaskLimits(SETTINGS, "/ecs", root=tmp_path / "1"), task) == f"/ecs/{id_of(task)}"
    read = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.*")}
    assert read == {
        f"1/cpu/ecs/{id_of(task)}/cpu.shares": "1026",
        f"1/pids/ecs/{id_of(task)}/pids.max": "100",
    }
    second = tmp_path / "2"
    second.mkdir()
    (second / "cgroup.controllers").write_text("cpu memory pids")
    make(TaskLimits(SETTINGS, "/ecs", root=second), task)
    folder = second / "ecs" / id_of(task)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"cpu.weight": "40", "pids.max": "100"}
    slices = TaskLimits(SETTINGS, SLICE, systemctl=a_systemctl(tmp_path, ""))
    make(slices, a_task(a_container(cpu=0)))
    assert (tmp_path / "asked").read_text().endswith(".slice CPUWeight=1 TasksMax=100\n")


def test_a_refusal_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text("no folder")
    with pytest.raises(LimitError, match="CannotCreateContainerError: the limits of the task cannot be set: "):
        make(TaskLimits(SETTINGS, "/ecs", root=tmp_path), a_sized_task())
    denied = a_systemctl(tmp_path, "echo Access denied >&2; exit 1")
    with pytest.raises(LimitError, match="Access denied"):
        make(TaskLimits(SETTINGS, SLICE, systemctl=denied), a_sized_task())


@pytest.mark.docker
def test_containers_of_a_task_share_its_limits(tmp_path: Path, image: str, instance_arn: str) -> None:
    """One forks until the task may not, one takes more memory than the task has: both without limits of their own."""

    async def scenario(backend: Backend, agent: processes.AgentProcess) -> None:
        await agent.start()
        hungry = "x=0123456789abcdef; while true; do x=$x$x; done"
        greedy = a_task(shell(image, hungry, memory=0), cpu=0.5, memory=32)
        forks = a_task(
            shell(image, "n=0; while [ $n -lt 200 ]; do sleep 60 & n=$((n+1)); done; wait"), cpu=0.5, memory=64
        )
        idle = a_task(
            shell(image, "sleep 600", memory=0), a_container("side", image, command=("sleep", "600")), memory=64
        )
        await backend.send_tasks(greedy, forks, idle)
        ended = await backend.reported(greedy.arn, "STOPPED")
        assert ended["containers"][-1]["exitCode"] == 137
        assert (await backend.reported(forks.arn, "STOPPED"))["containers"][-1]["exitCode"] != 0
        await backend.reported(idle.arn, "RUNNING")
        client = APIClient(version="auto")
        try:
            found = client.containers(filters={"label": f"com.amazonaws.ecs.task-arn={idle.arn}"})
            parents = {client.inspect_container(each)["HostConfig"]["CgroupParent"] for each in found}
        finally:
            client.close()
        assert len(found) == 2
        assert parents == {f"/ecs/{id_of(idle)}"}
        assert all(KernelUsage().read(each["Id"]) for each in found)

    processes.play(tmp_path, instance_arn, scenario, ECS_TASK_PIDS_LIMIT="50")
