"""A whole local cloud, as a user starts one: real processes, the machine's Docker Engine, a folder and port of its own.

Nothing here is skipped when the engine is missing: these tests are what shows that the parts fit together.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest

ROOT = Path(__file__).resolve().parents[2]
AWSORCH = Path(sys.executable).with_name("awsorch")
TASK_LABEL = "com.amazonaws.ecs.task-arn"
COMMAND_SECONDS = 100
CONDITION_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A running cloud: where it is, a client of its API, and the command line pointed at it."""

    data: Path
    endpoint: str
    ecs: Any

    def awsorch(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run an `awsorch` command and check its exit code."""
        done = run_awsorch(*arguments, endpoint=self.endpoint)
        assert done.returncode == code, f"awsorch {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def describe(self, task: str) -> dict[str, Any]:
        (found,) = self.ecs.describe_tasks(tasks=[task])["tasks"]
        return dict(found)

    def run(self, count: int = 1, **request: Any) -> list[str]:
        """The ARNs of so many started tasks; agents that are away and interfaces to be given back are waited for."""
        started: list[str] = []

        def all_placed() -> bool:
            answer = self.ecs.run_task(count=count - len(started), **request)
            assert {failure["reason"] for failure in answer["failures"]} <= {"AGENT", "RESOURCE:ENI"}
            started.extend(task["taskArn"] for task in answer["tasks"])
            return len(started) == count

        until("the tasks are placed", all_placed)
        return started

    def kill_agents(self) -> None:
        """Kill every instance's agent, each of which must be up for it: they come and go."""
        instances = len(list((self.data / "instances").iterdir()))
        until("every agent is up", lambda: len(self.agents()) == instances)
        for agent in self.agents():
            os.kill(agent, signal.SIGKILL)

    def agents(self) -> list[int]:
        """The process ids of its agents: their data folders are in its own."""
        command = ("pgrep", "-f", "--", r"-m awsorch\.agent$")
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not found.stderr, found.stderr
        return [pid for pid in map(int, found.stdout.split()) if str(self.data).encode() in _environment(pid)]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def run_awsorch(*arguments: str, endpoint: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS")}
    if endpoint:
        environment["AWS_ENDPOINT_URL"] = endpoint
    return subprocess.run(
        (str(AWSORCH), *arguments),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def until(what: str, true: Callable[[], bool], seconds: float = CONDITION_SECONDS) -> None:
    """Wait for something outside to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of two instances; afterwards it, its containers and their volumes are gone."""
    data = tmp_path_factory.mktemp("cloud")
    volumes: set[str] = set()
    try:
        started = run_awsorch("up", "--detach", "--json", "--port", "0", "--data", str(data))
        assert started.returncode == 0, started.stderr + logs_of(data)
        endpoint = json.loads(started.stdout)["endpoint"]
        ecs = boto3.client(
            "ecs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        yield Cloud(data=data, endpoint=endpoint, ecs=ecs)
        volumes = volumes_of(ecs)
        ecs.close()
    finally:
        stopped = run_awsorch("down", "--remove", "--data", str(data))
    assert stopped.returncode == 0, stopped.stderr
    engine = docker.from_env()
    left = [volume for volume in engine.volumes.list() if volume.name in volumes]
    for volume in left:
        volume.remove()
    engine.close()
    # What is shared belongs to no task, and outlives them all.
    assert not [volume.name for volume in left if volume.name.startswith("ecs-")], "down --remove left tasks' volumes"


def volumes_of(ecs: Any) -> set[str]:
    """The named volumes that the containers of a cloud's tasks have on the engine, which others use too."""
    lists = (ecs.list_tasks(desiredStatus=status)["taskArns"] for status in ("RUNNING", "STOPPED"))
    arns = {arn for some in lists for arn in some}
    engine = docker.from_env()
    found = engine.containers.list(all=True, filters={"label": TASK_LABEL}, ignore_removed=True)
    mounts = [mount for one in found if one.labels[TASK_LABEL] in arns for mount in one.attrs["Mounts"]]
    engine.close()
    return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}


def logs_of(data: Path) -> str:
    """The end of every log of a cloud, for the message of a test that failed."""
    ends = []
    for log in sorted((data / "logs").glob("*.log")):
        ends.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))
    return "\n".join(ends)
