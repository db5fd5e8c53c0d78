from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound

from awsorch.local.containers import INSTANCE_LABEL, EngineDown, InstanceContainers, container_instance_arns

IMAGE = "awsorch/busybox:latest"


def an_arn() -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:container-instance/test/{uuid.uuid4().hex}"


def a_folder(path: Path, arn: str) -> Path:
    """The data folder of an agent that is registered under an ARN."""
    path.mkdir()
    with sqlite3.connect(path / "agent.db") as state:
        state.execute("CREATE TABLE facts (name TEXT, value TEXT)")
        state.execute("INSERT INTO facts VALUES ('instance', ?)", (arn,))
    state.close()
    return path


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def test_only_the_instances_own_containers_end_and_go(tmp_path: Path, engine: docker.DockerClient) -> None:
    ours, other = an_arn(), an_arn()
    folder = a_folder(tmp_path / "ours", ours)
    options: dict[str, Any] = {"command": ["sleep", "1000"], "network_mode": "none"}
    running = engine.containers.run(IMAGE, detach=True, labels={INSTANCE_LABEL: ours}, **options)
    created = engine.containers.create(IMAGE, labels={INSTANCE_LABEL: ours}, **options)
    volume = engine.volumes.create(labels={INSTANCE_LABEL: ours})
    others = engine.containers.run(IMAGE, detach=True, labels={INSTANCE_LABEL: other}, **options)
    try:
        containers = InstanceContainers()
        containers.kill(folder)
        assert running.wait()["StatusCode"] == 137
        created.reload()
        assert created.status == "created"
        containers.remove(folder)
        containers.remove(folder)
        for gone in (running, created, volume):
            with pytest.raises(NotFound):
                gone.reload()
        others.reload()
        assert others.status == "running"
    finally:
        others.remove(force=True)


def test_the_arns_are_those_that_the_agents_state_names(tmp_path: Path) -> None:
    arn = an_arn()
    assert container_instance_arns(a_folder(tmp_path / "agent", arn)) == {arn}
    assert container_instance_arns(tmp_path / "none") == set()


def test_an_engine_that_does_not_answer_is_said() -> None:
    containers = InstanceContainers(lambda: docker.DockerClient(base_url="unix:///nobody/listens.sock"))
    with pytest.raises(EngineDown, match="Docker Engine does not answer"):
        containers.check()


class Going:
    """A container that is on its way out: each call fails as the engine's does then."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def kill(self) -> None:
        raise self.error

    def remove(self, **_: object) -> None:
        raise self.error


class Client:
    """An engine with one such container, and one such volume."""

    def __init__(self, error: Exception) -> None:
        self.containers = self.volumes = self
        self.error = error

    def list(self, **_: object) -> list[Going]:
        return [Going(self.error)]

    def close(self) -> None:
        pass


def api_error(status: int) -> APIError:
    return APIError("no", response=type("Response", (), {"status_code": status, "reason": "", "url": ""})())


@pytest.mark.parametrize("error", [NotFound("gone"), api_error(409)])
def test_a_container_that_ends_or_goes_by_itself_meanwhile_is_no_error(tmp_path: Path, error: Exception) -> None:
    folder = a_folder(tmp_path / "agent", an_arn())
    containers = InstanceContainers(lambda: Client(error))
    containers.kill(folder)
    containers.remove(folder)


def test_other_errors_of_the_engine_are(tmp_path: Path) -> None:
    containers = InstanceContainers(lambda: Client(api_error(500)))
    with pytest.raises(EngineDown):
        containers.remove(a_folder(tmp_path / "agent", an_arn()))
