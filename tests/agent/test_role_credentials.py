"""Credentials of tasks' roles: what containers get, what nobody gets, and how containers are led there."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from awsorch.agent import plan
from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.environment import credentials_id, variables
from awsorch.agent.role_credentials import RoleCredentials
from awsorch.agent.role_store import RoleCredentialsStore
from awsorch.agent.settings import SettingError, Settings
from awsorch.agent.task_endpoint import BY_HOST
from awsorch.wire import acs
from tests.agent.bench import Bench, play
from tests.agent.tasks import a_container, a_task
from tests.agent.test_task_endpoint import environment_of
from tests.agent.worlds import PLACE

ID, OWN_ID = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
GIVEN = acs.IAMRoleCredentials(
    credentials_id=ID,
    role_arn="arn:aws:iam::123456789012:role/t",
    access_key_id="AK",
    secret_access_key="hush",
    session_token="TK",
    expiration="2030-01-01T00:00:00Z",
)
OWN = acs.IAMRoleCredentials(credentials_id=OWN_ID, role_arn="arn:e", secret_access_key="hush", expiration="2030")
SHOWN = {
    "RoleArn": "arn:aws:iam::123456789012:role/t",
    "AccessKeyId": "AK",
    "SecretAccessKey": "hush",
    "Token": "TK",
    "Expiration": "2030-01-01T00:00:00Z",
}


async def ask(bench: Bench, path: str) -> tuple[int, Any]:
    """What a container is answered."""
    base = environment_of(bench)["ECS_AGENT_URI"].partition("/api/")[0]
    async with aiohttp.ClientSession() as http, http.get(base + path) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


def refusal(status: int, code: str, text: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "message": f"CredentialsV2Request: {text}", "HTTPErrorCode": status}


def test_a_container_gets_its_role_s_credentials_and_no_others(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        task = a_task(role_credentials=GIVEN, execution_role_credentials=OWN)
        await bench.backend.send_tasks(task)
        await bench.backend.reported(task.arn, "RUNNING")
        assert await ask(bench, f"/v2/credentials/{ID}") == (200, SHOWN)
        assert await ask(bench, f"/v1/credentials?id={ID}") == (200, SHOWN)
        assert await ask(bench, "/v2/credentials/") == refusal(400, "NoIdInRequest", "No ID in the request")
        assert await ask(bench, "/v1/credentials") == refusal(400, "NoIdInRequest", "No ID in the request")
        unknown = refusal(400, "InvalidIdInRequest", "Credentials not found")
        assert await ask(bench, f"/v2/credentials/{ID[:-1]}6") == unknown
        status, given = await ask(bench, f"/v2/credentials/{OWN_ID}")
        assert (status, given["SecretAccessKey"]) == (200, "hush"), "the host's engine sends logs in that role's name"
        fresh = msgspec.structs.replace(GIVEN, access_key_id="AK2")
        message = acs.IAMRoleCredentialsMessage(
            message_id="r", task_arn=task.arn, role_type="TaskApplication", role_credentials=fresh
        )
        await bench.backend.send(message)
        ack = acs.IAMRoleCredentialsAckRequest(message_id="r", credentials_id=ID, expiration=fresh.expiration)
        await bench.backend.until(lambda: ack in bench.backend.from_control)
        assert await ask(bench, f"/v2/credentials/{ID}") == (200, SHOWN | {"AccessKeyId": "AK2"})

    play(tmp_path, scenario)


def test_after_a_restart_containers_wait_for_what_is_not_on_the_disk(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        task = a_task(role_credentials=GIVEN)
        await bench.backend.send_tasks(task)
        await bench.backend.reported(task.arn, "RUNNING")
        await bench.stop()
        assert b"hush" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
        await bench.start()
        late = refusal(503, "CredentialsUninitialized", "Credentials uninitialized for ID")
        assert await ask(bench, f"/v2/credentials/{ID}") == late
        assert bench.backend.control_queries[-1]["sendCredentials"] == "true"
        message = acs.IAMRoleCredentialsMessage(
            message_id="r", task_arn=task.arn, role_type="TaskApplication", role_credentials=GIVEN
        )
        await bench.backend.send(message)
        ack = acs.IAMRoleCredentialsAckRequest(message_id="r", credentials_id=ID, expiration=GIVEN.expiration)
        await bench.backend.until(lambda: ack in bench.backend.from_control)
        assert await ask(bench, f"/v2/credentials/{ID}") == (200, SHOWN)

    play(tmp_path, scenario)


def test_containers_do_not_get_the_execution_role_s() -> None:
    async def scenario() -> None:
        task = a_task(role_credentials=GIVEN, execution_role_credentials=OWN)
        assignment = Assignment(task, fresh_life(task, plan.names_for(task, lambda: "0f"), Settings()), Settings())
        store = RoleCredentialsStore({task.arn: assignment}, lambda: 0.0)
        store.take_task(task)
        served = RoleCredentials(store)
        statuses = {
            (wanted, by_host): (await served._give({"id": wanted, BY_HOST: by_host})).status
            for wanted in (ID, OWN_ID)
            for by_host in ("", "true")
        }
        assert statuses == {(ID, ""): 200, (ID, "true"): 200, (OWN_ID, ""): 400, (OWN_ID, "true"): 200}

    asyncio.run(scenario())


def test_containers_are_told_the_path_where_it_leads_somewhere() -> None:
    task = a_task(a_container("app"), role_credentials=GIVEN)
    led = dataclasses.replace(PLACE, is_routed=True)
    told = f"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/{ID}"
    assert told in variables(task, task.containers[0], "0f", led)
    assert told not in variables(task, task.containers[0], "0f", PLACE)
    plain = a_task(a_container("app"))
    assert credentials_id(plain) == ""
    assert not [each for each in variables(plain, plain.containers[0], "0f", led) if "CREDENTIALS" in each]


def test_an_agent_that_cannot_lead_containers_there_says_so_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def scenario(bench: Bench) -> None:
        with pytest.raises(SettingError, match=r"ECS_ENABLE_TASK_IAM_ROLE is set, but .* iptables-restore: .*No such"):
            await bench.agent(ECS_ENABLE_TASK_IAM_ROLE="true").run()

    play(tmp_path, scenario)


def test_plans_name_no_credentials() -> None:
    """What an engine is told of a container, and so `docker inspect`, has the path and no secret."""
    task = a_task(a_container("app"), role_credentials=GIVEN)
    names = plan.names_for(task, lambda: "0f")
    led = dataclasses.replace(PLACE, is_routed=True)
    body = plan.create_arguments(task, task.containers[0], names=names, bindings=(), place=led).body
    assert "hush" not in repr(body)
    assert ID in repr(body)
