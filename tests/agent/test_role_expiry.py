"""Credentials that expire while no controller is there, as a real container finds them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.inside import agent_inside
from tests.agent.tasks import a_task, board_of
from tests.agent.test_docker_agent import shell
from tests.e2e.conftest import until

pytestmark = pytest.mark.docker

ID = "11111111-2222-4333-8444-555555555555"
ASKS = f"""
    while true; do
        url=${{ECS_AGENT_URI%/api/*}}/v2/credentials/{ID}
        wget -q -O /board/new $url 2> /board/error || cp /board/error /board/new
        mv /board/new /board/answer
        sleep 0.1
    done
"""


def credentials(key: str, expires_at: float) -> acs.IAMRoleCredentials:
    return acs.IAMRoleCredentials(
        credentials_id=ID,
        role_arn="arn:aws:iam::123456789012:role/t",
        access_key_id=key,
        secret_access_key="hush",
        session_token="token",
        expiration=datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def test_they_are_given_out_until_they_expire_and_again_when_others_come(
    tmp_path: Path, image: str, instance_arn: str
) -> None:
    board, mount = board_of(tmp_path)
    late = 0.0

    def clock() -> float:
        return time.time() + late

    async def finds(what: str) -> None:
        answer = tmp_path / "answer"
        await asyncio.to_thread(until, what, lambda: answer.exists() and what in answer.read_text(), 20.0)

    async def scenario(backend: Backend) -> None:
        nonlocal late
        async with agent_inside(backend, tmp_path / "agent", instance_arn, clock):
            hour = time.time() + 3600
            task = a_task(
                shell(image, ASKS, mount_points=(mount,)), role_credentials=credentials("FIRST", hour), volumes=(board,)
            )
            await backend.send_tasks(task)
            await finds('"AccessKeyId":"FIRST"')
            backend.refuse_control = [(503, "nobody is there")] * 1000
            await backend.cut_control()
            late = 3500.0
            (tmp_path / "answer").unlink()
            await finds('"AccessKeyId":"FIRST"')
            late = 3700.0
            await finds("503 Service Unavailable")
            assert [each["status"] for each in backend.reports(task.arn)] == ["RUNNING"]

            backend.refuse_control.clear()
            await backend.connected(2)
            assert backend.control_queries[-1]["sendCredentials"] == "true", "it asks for what it lacks"
            fresh = credentials("SECOND", hour + 3600)
            await backend.send(
                acs.IAMRoleCredentialsMessage(
                    message_id="r", task_arn=task.arn, role_type="TaskApplication", role_credentials=fresh
                )
            )
            await finds('"AccessKeyId":"SECOND"')
            await backend.cut_control()
            await backend.connected(3)
            assert backend.control_queries[-1]["sendCredentials"] == "false", "it has what it needs"

    async def whole() -> None:
        async with Backend() as backend:
            await scenario(backend)

    asyncio.run(whole())
