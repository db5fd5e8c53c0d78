"""Credentials of tasks' roles: what containers get, what nobody gets, and how containers are led there."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from awsorch.agent import link_local, plan
from awsorch.agent.environment import credentials_id, variables
from awsorch.agent.link_local import CannotRouteError, route
from awsorch.agent.settings import SettingError
from awsorch.wire import acs
from tests.agent.backend import Backend
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
        assert await ask(bench, f"/v2/credentials/{OWN_ID}") == unknown, "the execution role is the agent's"
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


def nat_rules() -> list[str]:
    listed = subprocess.run(("iptables", "-w", "5", "-t", "nat", "-S"), capture_output=True, text=True, check=True)
    return [each for each in listed.stdout.splitlines() if link_local.CHAIN in each]


@pytest.fixture
def clean_rules() -> Iterator[None]:
    """Takes the rules away in the end."""
    yield
    for rule in nat_rules():
        if rule.startswith(("-A PREROUTING", "-A OUTPUT")):
            subprocess.run(("iptables", "-w", "5", "-t", "nat", "-D", *rule.split()[1:]), check=True)
    subprocess.run(("iptables", "-w", "5", "-t", "nat", "-F", link_local.CHAIN), check=False)
    subprocess.run(("iptables", "-w", "5", "-t", "nat", "-X", link_local.CHAIN), check=False)


@pytest.mark.docker
@pytest.mark.usefixtures("clean_rules")
def test_real_containers_find_their_credentials_where_sdks_look(tmp_path: Path, image: str, instance_arn: str) -> None:
    """The rules too: one test, since they are the host's."""
    from tests.agent import processes
    from tests.agent.test_docker_agent import shell

    script = """
        path=$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
        while true; do
            rm -f /tmp/in; mkfifo /tmp/in
            timeout 5 nc 169.254.170.2 80 < /tmp/in > /tmp/out & exec 3> /tmp/in
            printf 'GET %s HTTP/1.0\\r\\nHost: agent\\r\\n\\r\\n' $path >&3
            wait; exec 3>&-
            case $path in
                /v2/*) grep -q '"AccessKeyId":"AK"' /tmp/out && path=/${ECS_CONTAINER_METADATA_URI_V4#http://*/}/task ;;
                *) grep -q '"IPv4Addresses":."'$(hostname -i)'"' /tmp/out && exit 7 ;;
            esac
            sleep 0.2
        done
    """

    async def scenario(backend: Backend, agent: processes.AgentProcess) -> None:
        await route("127.0.0.1", 1, on_host=False)  # what a former life at another port left
        await agent.start()
        task = a_task(shell(image, script), role_credentials=GIVEN)
        await backend.send_tasks(task)
        report = await backend.reported(task.arn, "STOPPED")
        assert [each["exitCode"] for each in report["containers"]] == [7]
        rules = nat_rules()
        assert len([each for each in rules if each.startswith("-A PREROUTING")]) == 1
        assert len([each for each in rules if each.startswith(f"-A {link_local.CHAIN}")]) == 1
        assert not [each for each in rules if each.startswith("-A OUTPUT")]
        with pytest.raises(CannotRouteError, match="iptables-restore"):
            await route("nonsense", 1, on_host=False)
        assert nat_rules() == rules, "all or nothing"

    processes.play(tmp_path, instance_arn, scenario, ECS_ENABLE_TASK_IAM_ROLE="true")


def test_plans_name_no_credentials() -> None:
    """What an engine is told of a container, and so `docker inspect`, has the path and no secret."""
    task = a_task(a_container("app"), role_credentials=GIVEN)
    names = plan.names_for(task, lambda: "0f")
    led = dataclasses.replace(PLACE, is_routed=True)
    body = plan.create_arguments(task, task.containers[0], names=names, bindings=(), place=led).body
    assert "hush" not in repr(body)
    assert ID in repr(body)
