"""Containers that mean harm, on the real Docker Engine: they get nothing that is others', and hurt nobody else."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from docker import APIClient

from awsorch.agent.callers import CONNECTIONS
from awsorch.wire import acs
from tests.agent.backend import Backend
from tests.agent.processes import AgentProcess, play
from tests.agent.tasks import a_container, a_task, board_of, stop
from tests.agent.test_docker_agent import shell, sleeper
from tests.e2e.conftest import ROOT, until

pytestmark = pytest.mark.docker

PIDS = 40
OTHER_FILES = 100
"""More than an agent that is left in peace has open."""
LONGEST_SECONDS = 5.0
"""In which a neighbour of a flood is answered, on a machine whose CPUs are taken too."""
UNHURRIED = {"ECS_TASK_METADATA_RPS_LIMIT": "2000,2000"}
"""So that every question is answered, and none refused for coming too soon."""
IMAGE = "awsorch/sdk:latest"

ASKS = """
import json, os, urllib.error, urllib.request, uuid
base = os.environ["ECS_AGENT_URI"].partition("/api/")[0]
own, victim = os.environ["OWN"], os.environ["VICTIM"]
def ask(base, path):
    try:
        with urllib.request.urlopen(base + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
others = [victim, own[:-1] + ("0" if own[-1] != "0" else "1"), str(uuid.uuid4()), "*", "%00"]
paths = ["/v2/credentials", "/v2/credentials/", "/v1/credentials", "/v4//task", "/v2/metadata", "/", "/v1/tasks"]
for other in others:
    paths += [f"/v2/credentials/{other}", f"/v1/credentials?id={other}", f"/v2/credentials/{own}/../{other}"]
    paths += [f"/v2/credentials/%2e%2e%2f{other}", f"/v4/{other}", f"/v4/{other}/task", f"/v3/{other}/stats"]
    paths += [f"/api/{other}/task-protection/v1/state", f"//v2/credentials/{other}", f"/v2/credentials/../../{other}"]
answers = {}
for each in [base, *os.environ["OTHER_AGENTS"].split()]:
    for path in paths:
        answers[each + path] = ask(each, path)
for each in os.environ["OTHER_AGENTS"].split():
    answers[each + " own id"] = ask(each, "/v2/credentials/" + own)
answers["own"] = ask(base, "/v2/credentials/" + own)
json.dump(answers, open("/board/answers", "w"))
"""

FLOODS = """
import os, socket, threading, time
host, _, port = os.environ["ECS_AGENT_URI"].partition("://")[2].partition("/")[0].partition(":")
def hold():
    held = []
    while True:
        try:
            one = socket.create_connection((host, int(port)), 2)
            one.send(b"GET /v4/x HTTP/1.1\\r\\nX: ")
            held.append(one)
        except OSError:
            time.sleep(0.001)
        del held[:-500]
def ask():
    while True:
        try:
            with socket.create_connection((host, int(port)), 2) as one:
                one.send(b"GET /v4/x/task HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" * 50)
                while one.recv(65536): pass
        except OSError:
            time.sleep(0.001)
for work in (hold, ask, ask):
    threading.Thread(target=work).start()
time.sleep(0.5)
open("/board/flooding", "w")
"""

FORKS = """
import os, time
while True:
    try:
        if not os.fork():
            time.sleep(600)
    except OSError:
        open("/board/full", "w")
        time.sleep(0.01)
"""

GOES_ON = """
import json, os, time, urllib.request
url = os.environ["ECS_AGENT_URI"].partition("/api/")[0] + "/v2/credentials/" + os.environ["OWN"]
took, keys = [], set()
for _ in range(30):
    began = time.monotonic()
    keys.add(json.load(urllib.request.urlopen(url, timeout=10))["AccessKeyId"])
    took.append(time.monotonic() - began)
    time.sleep(0.05)
json.dump([sorted(keys), max(took)], open("/board/victim", "w"))
"""


@pytest.fixture(scope="module")
def python(docker: APIClient) -> str:
    """An image with Python in it."""
    subprocess.run((sys.executable, str(ROOT / "scripts" / "sdk_image.py")), check=True, timeout=120)
    return IMAGE


def role(number: int) -> acs.IAMRoleCredentials:
    return acs.IAMRoleCredentials(
        credentials_id=f"0000000{number}-1111-4222-8333-444444444444",
        role_arn=f"arn:aws:iam::123456789012:role/role-{number}",
        access_key_id=f"KEY{number}",
        secret_access_key=f"hush-{number}",
        session_token=f"token-{number}",
        expiration="2130-01-01T00:00:00Z",
    )


def runs(image: str, code: str, mount: acs.MountPoint, **environment: str) -> acs.Container:
    return a_container(
        "app", image, command=("python", "-c", code), environment=environment, memory=128, mount_points=(mount,)
    )


def address_of(docker: APIClient, container: str) -> str:
    """Where a container's agent listens for it."""
    variables = dict(each.split("=", 1) for each in docker.inspect_container(container)["Config"]["Env"])
    return variables["ECS_AGENT_URI"].partition("/api/")[0]


def test_a_container_gets_its_own_credentials_only(
    tmp_path: Path, docker: APIClient, python: str, image: str, instance_arn: str, other_instance_arn: str
) -> None:
    """Not those of its neighbour, nor its own execution role's, nor anything of another instance's agent."""
    board, mount = board_of(tmp_path)

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        other = AgentProcess(backend, tmp_path / "other", other_instance_arn, **UNHURRIED)
        try:
            neighbour, far = (a_task(sleeper(image), role_credentials=role(each)) for each in (2, 3))
            await backend.send_tasks(neighbour)
            await backend.reported(neighbour.arn, "RUNNING")
            await other.start()
            await backend.send_tasks(far)
            await backend.reported(far.arn, "RUNNING")
            there = address_of(docker, backend.containers(far.arn)["app"]["runtimeId"])
            await agent.kill()  # so that what is sent next is for it: it connects last
            await agent.start()
            own = role(1)
            attacker = runs(
                python, ASKS, mount, OWN=own.credentials_id, VICTIM=neighbour.arn.rpartition("/")[2], OTHER_AGENTS=there
            )
            task = a_task(attacker, role_credentials=own, execution_role_credentials=role(4), volumes=(board,))
            await backend.send_tasks(task)
            report = await backend.reported(task.arn, "STOPPED")
            assert report["containers"][-1].get("exitCode") == 0, report
        finally:
            await other.kill()

    play(tmp_path / "agent", instance_arn, scenario, **UNHURRIED)
    answers: dict[str, tuple[int, str]] = json.loads((tmp_path / "answers").read_text())
    status, given = answers.pop("own")
    assert (status, json.loads(given)["AccessKeyId"]) == (200, "KEY1")
    assert len(answers) > 100
    assert {status for status, _ in answers.values()} <= {400, 404, 405, 500}, answers
    assert not [path for path, (_, said) in answers.items() if "hush" in said or "KEY" in said]


def test_a_flood_of_connections_and_calls(
    tmp_path: Path, docker: APIClient, python: str, image: str, instance_arn: str
) -> None:
    """A neighbour is answered, tasks come and go, and the agent keeps its files for those who need them."""
    board, mount = board_of(tmp_path)

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        floods = a_task(runs(python, FLOODS, mount), volumes=(board,))
        await backend.send_tasks(floods)
        await asyncio.to_thread(until, "the flood has begun", (tmp_path / "flooding").exists)
        own = role(1)
        victim = a_task(runs(python, GOES_ON, mount, OWN=own.credentials_id), role_credentials=own, volumes=(board,))
        server, job = a_task(sleeper(image)), a_task(shell(image, "exit 3"))
        await backend.send_tasks(victim, server, job)
        assert (await backend.reported(job.arn, "STOPPED"))["containers"][-1]["exitCode"] == 3
        await backend.reported(server.arn, "RUNNING")
        await backend.send_tasks(stop(server))
        await backend.reported(server.arn, "STOPPED")
        ended = await backend.reported(victim.arn, "STOPPED")
        assert ended["containers"][-1]["exitCode"] == 0, ended
        keys, longest = json.loads((tmp_path / "victim").read_text())
        assert keys == ["KEY1"]
        assert longest < LONGEST_SECONDS
        files: list[int] = []

        def are_taken() -> bool:
            files.append(len(list(Path(f"/proc/{agent.pid}/fd").iterdir())))
            return files[-1] >= CONNECTIONS

        await asyncio.to_thread(until, "the flood takes what it may", are_taken)
        assert max(files) < CONNECTIONS + OTHER_FILES, "one container takes the files of all"
        await backend.send_tasks(stop(floods))
        assert (await backend.reported(floods.arn, "STOPPED"))["containers"][-1]["exitCode"] == 137

    play(tmp_path / "agent", instance_arn, scenario)


def test_forks_until_the_limit_of_processes(
    tmp_path: Path, docker: APIClient, python: str, image: str, instance_arn: str
) -> None:
    """A task that says nothing of its size; the limit is the agent's, for each task."""
    board, mount = board_of(tmp_path)

    async def scenario(backend: Backend, agent: AgentProcess) -> None:
        await agent.start()
        forks = a_task(runs(python, FORKS, mount), volumes=(board,))
        await backend.send_tasks(forks)
        await asyncio.to_thread(until, "it may not fork any more", (tmp_path / "full").exists)
        docker_id = backend.containers(forks.arn)["app"]["runtimeId"]
        assert len(docker.top(docker_id)["Processes"]) == PIDS
        job = a_task(shell(image, f"for each in $(seq {PIDS - 5}); do sleep 1 & done; wait; exit 3"))
        await backend.send_tasks(job)
        assert (await backend.reported(job.arn, "STOPPED"))["containers"][-1]["exitCode"] == 3
        await backend.send_tasks(stop(forks))
        assert (await backend.reported(forks.arn, "STOPPED"))["containers"][-1]["exitCode"] == 137

    play(tmp_path / "agent", instance_arn, scenario, ECS_TASK_PIDS_LIMIT=str(PIDS))
