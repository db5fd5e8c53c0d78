"""The cgroup of all tasks' containers: made and weighed, or left alone."""

import asyncio
import logging
import os
from pathlib import Path

import pytest
from docker import APIClient

from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.engine import INSTANCE_LABEL, CreateArguments
from awsorch.agent.settings import EngineSettings
from awsorch.agent.task_cgroup import FOLDER, SLICE, claim_cgroup


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def a_systemctl(folder: Path, words: str) -> str:
    """A program that notes what it is asked, then does as the shell says."""
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n{words}\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(("cpus", "shares"), [(1, "4096"), (2, "8192"), (128, "262144")])
def test_version_1_has_shares(tmp_path: Path, cpus: int, shares: str) -> None:
    (tmp_path / "cpu").mkdir()
    assert claim_cgroup("cgroupfs", cpus, root=tmp_path) == "/ecs"
    assert (tmp_path / "cpu/ecs/cpu.shares").read_text() == shares


@pytest.mark.parametrize(("cpus", "weight"), [(1, "400"), (2, "800"), (128, "10000")])
def test_version_2_has_a_weight_once_the_controller_is_on(tmp_path: Path, cpus: int, weight: str) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert claim_cgroup("cgroupfs", cpus, root=tmp_path) == "/ecs"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    assert (tmp_path / "ecs/cpu.weight").read_text() == weight


def test_another_agent_may_have_made_it(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    claims = [claim_cgroup("cgroupfs", 1, root=tmp_path) for _ in range(2)]
    assert claims == ["/ecs", "/ecs"]


def test_systemd_is_told(tmp_path: Path) -> None:
    assert claim_cgroup("systemd", 2, root=tmp_path, systemctl=a_systemctl(tmp_path, "")) == "ecstasks.slice"
    assert (tmp_path / "asked").read_text() == "set-property --runtime ecstasks.slice CPUWeight=800\n"


def test_a_refusal_leaves_containers_where_the_engine_puts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    denied = a_systemctl(tmp_path, "echo Access denied >&2; exit 1")
    assert claim_cgroup("cgroupfs", 2, root=tmp_path / "none") == ""
    assert claim_cgroup("systemd", 2, root=tmp_path, systemctl=denied) == ""
    assert claim_cgroup("systemd", 2, root=tmp_path, systemctl=str(tmp_path / "missing")) == ""
    folder, access, missing = refusals(caplog)
    assert "No such file or directory" in folder
    assert access.endswith("ecstasks.slice CPUWeight=800: Access denied")
    assert "No such file or directory" in missing


def test_an_engine_without_cgroups_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert claim_cgroup("none", 2, root=tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert refusals(caplog) == []


@pytest.mark.docker
@pytest.mark.parametrize("own", ["", "/elsewhere"])
def test_containers_are_created_in_it_unless_they_name_another(
    docker: APIClient, image: str, instance_arn: str, own: str
) -> None:
    driver = docker.info()["CgroupDriver"]
    ours = {"cgroupfs": f"/{FOLDER}", "systemd": SLICE}[driver] if os.geteuid() == 0 else ""
    theirs = own and {"cgroupfs": own, "systemd": "elsewhere.slice"}[driver]
    body = {"Image": image, "Labels": {INSTANCE_LABEL: instance_arn}}
    if theirs:
        body["HostConfig"] = {"CgroupParent": theirs}

    async def scenario() -> str:
        engine = DockerEngine(EngineSettings())
        try:
            await engine.facts()
            return await engine.create(CreateArguments(name=f"awsorch-cgroup-{os.getpid()}", body=body))
        finally:
            await engine.close()

    created = docker.inspect_container(asyncio.run(scenario()))
    assert created["HostConfig"]["CgroupParent"] == (theirs or ours)
