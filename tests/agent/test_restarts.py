"""Restart policies, on the real Docker Engine that is not always there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from docker import APIClient

from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, EngineDoor, play
from tests.agent.tasks import a_task, board_of
from tests.agent.test_docker_agent import shell, sleeper, starts_by_name
from tests.e2e.conftest import until

pytestmark = pytest.mark.docker


def test_what_ends_while_the_engine_is_away_is_started_again_once(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    """Where a policy says so: somebody was there, though he could not see it."""
    board, mount = board_of(tmp_path)
    began = time.time()

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        async with EngineDoor(tmp_path / "engine.sock") as door:
            await agent.start()
            container = shell(
                image,
                "until test -e /board/go; do sleep 0.05; done; rm /board/go; exit 3",
                restart_policy=acs.RestartPolicy(enabled=True, restart_attempt_period=0),
                mount_points=(mount,),
            )
            task, later = a_task(container, volumes=(board,)), a_task(sleeper(image))
            await backend.send_tasks(task)
            await backend.reported(task.arn, "RUNNING")
            await door.shut()
            (tmp_path / "go").touch()
            docker_id = backend.containers(task.arn)["app"]["runtimeId"]
            await asyncio.to_thread(docker.wait, docker_id)
            await door.listen()
            await backend.send_tasks(later)
            await backend.reported(later.arn, "RUNNING")
            await asyncio.to_thread(
                until, "it runs again", lambda: docker.inspect_container(docker_id)["State"]["Running"]
            )
            assert [each["status"] for each in backend.reports(task.arn)] == ["RUNNING"]
            await agent.kill()
            assert sorted(starts_by_name(docker, instance_arn, began).values()) == [1, 2]

    play(tmp_path, instance_arn, scenario, DOCKER_HOST=f"unix://{tmp_path}/engine.sock")
