"""Images that somebody removes at the wrong moment, on the real Docker Engine."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient
from docker.errors import ImageNotFound

from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.tasks import a_task, board_of
from tests.agent.test_docker_agent import shell
from tests.e2e.conftest import until

pytestmark = pytest.mark.docker


@pytest.fixture
def own_image(docker: APIClient, image: str) -> Iterator[str]:
    """An image that no other test has, of its own id."""
    name = f"awsorch/test-{uuid.uuid4().hex[:12]}:1"
    container = docker.create_container(image, ["true"], environment={"ONLY": name})["Id"]
    docker.commit(container, *name.split(":"))
    docker.remove_container(container)
    yield name
    if docker.images(name):
        docker.remove_image(name, force=True)


def test_an_image_removed_between_its_pull_and_the_container(
    tmp_path: Path, docker: APIClient, image: str, own_image: str, instance_arn: str
) -> None:
    board, mount = board_of(tmp_path)

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        before = shell(
            image, "until test -e /board/go; do sleep 0.05; done", "before", essential=False, mount_points=(mount,)
        )
        waits = (acs.ContainerDependency(container_name="before", condition="SUCCESS"),)
        task = a_task(before, shell(own_image, "exit 3", depends_on=waits), volumes=(board,))
        await backend.send_tasks(task)
        await backend.until(lambda: backend.containers(task.arn).get("before", {}).get("status") == "RUNNING")
        docker.remove_image(own_image, force=True)
        (tmp_path / "go").touch()
        ended = (await backend.reported(task.arn, "STOPPED"))["containers"][-1]
        assert ended["reason"] == f"CannotCreateContainerError: Error response from daemon: No such image: {own_image}"
        assert "exitCode" not in ended
        after = a_task(shell(image, "exit 4"))
        await backend.send_tasks(after)
        assert (await backend.reported(after.arn, "STOPPED"))["containers"][-1]["exitCode"] == 4

    play(tmp_path / "agent", instance_arn, scenario)


def test_an_image_removed_while_its_container_is_between_two_runs(
    tmp_path: Path, docker: APIClient, own_image: str, instance_arn: str
) -> None:
    """The engine keeps what a container was made of, so it starts again."""
    board, mount = board_of(tmp_path)

    def is_running(container: str) -> bool:
        return bool(docker.inspect_container(container)["State"]["Running"])

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        container = shell(
            own_image,
            "echo >> /board/starts; until test -e /board/go; do sleep 0.05; done; rm /board/go; exit 3",
            restart_policy=acs.RestartPolicy(enabled=True, restart_attempt_period=0),
            mount_points=(mount,),
        )
        task = a_task(container, volumes=(board,))
        await backend.send_tasks(task)
        await backend.reported(task.arn, "RUNNING")
        docker_id = backend.containers(task.arn)["app"]["runtimeId"]
        os.kill(agent.pid, signal.SIGSTOP)  # so that it does not start it again yet
        (tmp_path / "go").touch()
        await asyncio.to_thread(until, "its first run ends", lambda: not is_running(docker_id))
        docker.remove_image(own_image, force=True)
        with pytest.raises(ImageNotFound):
            docker.inspect_image(own_image)
        os.kill(agent.pid, signal.SIGCONT)
        await asyncio.to_thread(until, "it starts again", lambda: len((tmp_path / "starts").read_text()) == 2)
        assert is_running(docker_id)
        assert [each["status"] for each in backend.reports(task.arn)] == ["RUNNING"]

    play(tmp_path / "agent", instance_arn, scenario)
