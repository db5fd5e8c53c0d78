"""Containers that do not listen to their stop signal, on the real Docker Engine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from docker import APIClient

from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.tasks import a_task, board_of, stop
from tests.agent.test_docker_agent import shell

pytestmark = pytest.mark.docker

GRACES = {"default": 1.0, "own": 3.0}
"""Seconds: the agent's setting, and the definition's stopTimeout."""
LATE = 2.0
"""So much later than its time a kill may come, on a machine with other things to do."""


def test_a_container_that_ignores_its_stop_signal_is_killed_in_time(
    tmp_path: Path, docker: APIClient, image: str, instance_arn: str
) -> None:
    board, mount = board_of(tmp_path)
    deaf = 'trap "date +%s.%N > /board/$NAME" TERM; touch /board/$NAME.ready; while true; do sleep 0.1; done'

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        tasks = {}
        for name, grace in GRACES.items():
            container = shell(image, deaf, environment={"NAME": name}, mount_points=(mount,))
            if name == "own":
                container = msgspec.structs.replace(container, stop_timeout=int(grace))
            tasks[name] = a_task(container, volumes=(board,))
        await backend.send_tasks(*tasks.values())
        for name, task in tasks.items():
            await backend.reported(task.arn, "RUNNING")
            await backend.until((tmp_path / f"{name}.ready").exists)
        await backend.send_tasks(*(stop(task) for task in tasks.values()))
        for name, task in tasks.items():
            report = await backend.reported(task.arn, "STOPPED")
            (ended,) = report["containers"][-1:]
            assert (ended["exitCode"], ended.get("reason", "")) == (137, "")
            found = docker.inspect_container(ended["runtimeId"])["State"]
            assert not found["OOMKilled"]
            asked = (tmp_path / name).stat().st_mtime
            died = datetime.fromisoformat(found["FinishedAt"][:26] + "+00:00").timestamp()
            assert GRACES[name] - 0.5 < died - asked < GRACES[name] + LATE, (name, died - asked)
            assert abs(report["executionStoppedAt"] - died) < 1

    play(tmp_path / "agent", instance_arn, scenario, ECS_CONTAINER_STOP_TIMEOUT=f"{GRACES['default']:g}s")
