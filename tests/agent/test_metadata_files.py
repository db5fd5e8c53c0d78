"""The file that says what a container is: what it says when, who sees it, and that it keeps nobody from working."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent.assignment import Assignment
from awsorch.agent.engine import CreateArguments, EngineError
from awsorch.agent.metadata_files import FILE, VARIABLE, HostFacts, MetadataFiles
from awsorch.agent.ports import Binding
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.tasks import a_container, a_task
from tests.agent.test_measurements import running
from tests.agent.test_metadata import DESCRIBED

HOST = HostFacts(cluster="c1", instance_arn="arn:i", private_ip="10.0.0.7", public_ip="203.0.113.7")
PLAIN = CreateArguments(name="x", body={"Env": ["A=b"], "HostConfig": {"Binds": ["/a:/b"]}})


class Engine:
    """Describes every container as DESCRIBED, or fails."""

    failing = False

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        if self.failing:
            raise EngineError("away")
        return {**DESCRIBED, "Name": "/ecs-web-7-app-0f"}


def given(folder: Path, *, private: bool = False) -> tuple[MetadataFiles, Assignment, Path]:
    """A container that was created with its file, and where that is on the host."""
    files, assignment = MetadataFiles(folder, HOST, private=private), running(a_container())
    arguments = files.give(assignment, "app", PLAIN)
    known, (bind, variable) = (
        arguments.body["HostConfig"]["Binds"][0],
        (
            arguments.body["HostConfig"]["Binds"][1],
            arguments.body["Env"][1],
        ),
    )
    assert (known, arguments.body["Env"][0]) == ("/a:/b", "A=b")
    source, inside, mode = bind.split(":")
    assert variable == f"{VARIABLE}={inside}/{FILE}"
    assert inside.startswith("/opt/ecs/metadata/")
    assert mode == ("ro,Z" if private else "ro")
    return files, assignment, Path(source) / FILE


@pytest.mark.parametrize("private", [False, True])
def test_what_is_known_before_the_start_is_there_from_the_beginning(private: bool, tmp_path: Path) -> None:
    _, assignment, path = given(tmp_path, private=private)
    assert json.loads(path.read_text()) == {
        "Cluster": "c1",
        "ContainerInstanceARN": "arn:i",
        "TaskARN": assignment.arn,
        "TaskDefinitionFamily": "web",
        "TaskDefinitionRevision": "7",
        "ContainerName": "app",
    }


def test_a_container_that_runs_is_described_as_a_whole(tmp_path: Path) -> None:
    files, assignment, path = given(tmp_path)
    assignment.bindings["app"] = (Binding(container_port=80, host_port=8080, protocol="tcp", bind_ip="0.0.0.0"),)
    asyncio.run(files.complete(assignment, "app", Engine()))
    said = json.loads(path.read_text())
    assert said["MetadataFileStatus"] == "READY"
    assert said["ContainerID"] == "45a5"
    assert said["DockerContainerName"] == "/ecs-web-7-app-0f"
    assert (said["ImageID"], said["ImageName"]) == ("sha256:1f", "simulated")
    assert said["PortMappings"] == [{"ContainerPort": 80, "HostPort": 8080, "BindIp": "0.0.0.0", "Protocol": "tcp"}]
    assert said["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.2"]}]
    assert (said["HostPrivateIPv4Address"], said["HostPublicIPv4Address"]) == ("10.0.0.7", "203.0.113.7")
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_what_a_former_life_left_unfinished_is_completed(tmp_path: Path) -> None:
    files, assignment, path = given(tmp_path)
    engine = Engine()
    engine.failing = True
    asyncio.run(files.catch_up([assignment], engine))
    assert "MetadataFileStatus" not in json.loads(path.read_text())
    engine.failing = False
    asyncio.run(files.catch_up([assignment], engine))
    written = path.stat().st_mtime_ns
    asyncio.run(files.catch_up([assignment], engine))
    assert json.loads(path.read_text())["MetadataFileStatus"] == "READY"
    assert path.stat().st_mtime_ns == written


def test_a_container_without_a_file_is_given_none_later(tmp_path: Path) -> None:
    files, assignment = MetadataFiles(tmp_path, HOST), running(a_container())
    asyncio.run(files.complete(assignment, "app", Engine()))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_keeps_no_container_from_starting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert MetadataFiles(tmp_path / "file", HOST).give(running(a_container()), "app", PLAIN) == PLAIN


def test_where_they_are_not_wanted_there_are_none() -> None:
    files, assignment = MetadataFiles(), running(a_container())
    assert files.give(assignment, "app", PLAIN) == PLAIN
    asyncio.run(files.catch_up([assignment], Engine()))
    files.remove(assignment)


def test_a_task_s_files_go_with_it(tmp_path: Path) -> None:
    files, assignment, path = given(tmp_path)
    files.remove(assignment)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.docker
def test_a_real_container_reads_its_file(tmp_path: Path, image: str, instance_arn: str) -> None:
    script = f"""
        set -e
        while ! grep -q READY ${VARIABLE}; do sleep 0.1; done
        grep -q '"ContainerName": "app"' ${VARIABLE}; grep -q "$HOSTNAME" ${VARIABLE}
        ! touch ${VARIABLE} 2>/dev/null
        exit 42
    """

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        task = a_task(a_container("app", image, command=("sh", "-c", script)))
        await backend.send_tasks(task)
        stopped = await backend.reported(task.arn, "STOPPED")
        assert stopped["containers"][0]["exitCode"] == 42

    play(tmp_path, instance_arn, scenario, ECS_ENABLE_CONTAINER_METADATA="true")
