"""A small cluster that faults may befall: an engine of its own, an agent on it, and a controller, all real."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.e2e.conftest import ROOT, TASK_LABEL, until
from tests.e2e.private_engine import PrivateEngine

KEEPER = 'echo >> /board/$NAME.starts; trap "exit 9" TERM; sleep 3600 & wait'
JOB = "echo >> /board/$NAME.starts; until test -e /board/go; do sleep 0.1; done; touch /board/$NAME.end; exit 7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An engine of its own, an agent on it, a controller, and a folder in which containers leave traces."""

    engine: PrivateEngine
    ecs: Any
    board: Path

    def run(self, family: str, name: str) -> str:
        """RunTask; the containers of the task append a line to <name>.starts whenever they start."""
        environment = [{"name": "NAME", "value": name}]
        overrides = {"containerOverrides": [{"name": "app", "environment": environment}]}
        answer = self.ecs.run_task(taskDefinition=family, overrides=overrides, launchType="EXTERNAL")
        assert not answer["failures"]
        return str(answer["tasks"][0]["taskArn"])

    def describe(self, task: str) -> dict[str, Any]:
        (found,) = self.ecs.describe_tasks(tasks=[task])["tasks"]
        return dict(found)

    def becomes(self, status: str, *tasks: str) -> None:
        until(f"{status}: {tasks}", lambda: all(self.describe(task)["lastStatus"] == status for task in tasks))

    def is_connected(self) -> bool:
        (arn,) = self.ecs.list_container_instances()["containerInstanceArns"]
        (instance,) = self.ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
        return bool(instance["agentConnected"])

    def starts(self, name: str) -> int:
        """How often the program of a task was started, as it has written itself."""
        path = self.board / f"{name}.starts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def end_jobs(self, *names: str) -> None:
        """Let the jobs end, and wait until they have."""
        (self.board / "go").touch()
        until("the jobs end", lambda: all((self.board / f"{name}.end").exists() for name in names))

    def containers(self, task: str) -> int:
        """How many containers the engine has of a task."""
        return len(self.engine.client.containers(all=True, filters={"label": f"{TASK_LABEL}={task}"}))


@contextmanager
def site_at(folder: Path, *, live_restore: bool = False, **controller: str) -> Iterator[Site]:
    """A site whose controller and agent keep their state in a folder; `live_restore`: whether containers outlive the
    engine's restart. More settings are the controller's."""
    port = free_port()
    with ExitStack() as stack:
        engine = stack.enter_context(PrivateEngine(live_restore=live_restore))
        controller |= {"AWSORCH_PORT": str(port), "AWSORCH_DATA_DIR": str(folder / "store")}
        stack.enter_context(process("awsorch.app", {"AWSORCH_LOG_LEVEL": "WARNING"} | controller))
        until("the controller listens", lambda: listens(port))
        ecs = boto3.client(
            "ecs",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        stack.callback(ecs.close)
        ecs.create_cluster(clusterName="default")
        stack.enter_context(process("awsorch.agent", agent_settings(port, engine.host, folder / "agent")))
        until("the instance registers", lambda: bool(ecs.list_container_instances()["containerInstanceArns"]))
        made = Site(engine=engine, ecs=ecs, board=folder / "board")
        until("the agent connects", made.is_connected)
        made.board.mkdir()
        for family, script in (("keeper", KEEPER), ("job", JOB)):
            register(made, family, script)
        yield made


def agent_settings(port: int, engine: str, folder: Path) -> dict[str, str]:
    return {
        "DOCKER_HOST": engine,
        "ECS_BACKEND_HOST": f"http://127.0.0.1:{port}",
        "ECS_DATADIR": str(folder),
        "ECS_EXTERNAL": "true",
        "ECS_LOGLEVEL": "error",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
        "AWSORCH_INTROSPECTION_PORT": "0",
        "AWSORCH_TASK_ENDPOINT_PORT": "0",
    }


def register(site: Site, family: str, script: str, **more: Any) -> None:
    """A task definition of one container that runs a script; `more` goes into the container's."""
    container = {
        "name": "app",
        "image": site.engine.image,
        "command": ["sh", "-c", script],
        "memory": 16,
        "mountPoints": [{"sourceVolume": "board", "containerPath": "/board"}],
        "stopTimeout": 2,
        **more,
    }
    site.ecs.register_task_definition(
        family=family,
        containerDefinitions=[container],
        volumes=[{"name": "board", "host": {"sourcePath": str(site.board)}}],
    )


@contextmanager
def process(module: str, environment: dict[str, str]) -> Iterator[None]:
    """A program of awsorch, killed in the end."""
    started = subprocess.Popen((sys.executable, "-m", module), cwd=ROOT, env=environment)
    try:
        yield
        assert started.poll() is None, f"{module} ended with exit code {started.returncode}"
    finally:
        started.kill()
        started.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
