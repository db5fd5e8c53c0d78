"""What the scenes of the demo stand on: a cloud of their own, the command line, and ways to look and to insist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import docker
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from docker.errors import APIError, DockerException, NotFound
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
AWSORCH = Path(sys.executable).with_name("awsorch")
IMAGE = "awsorch/busybox:latest"
TASK_ID = re.compile(r"\b[0-9a-f]{32}\b")
TASK_LABEL = "com.amazonaws.ecs.task-arn"
REGION = "us-east-1"
INSTANCES = 2
LONG_SECONDS = 45.0
"""How long anything may take before the demo says that it does not work."""
console = Console(highlight=False)


class Disappointed(Exception):
    """Something was not as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """The demo's own cloud: where its data is, where it listens, a client, and the ids of the tasks it was given."""

    data: Path
    port: int
    ecs: Any
    tasks: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def awsorch(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run an `awsorch` command, show it and what it prints, and check how it ends."""
        done = run_command(arguments, os.environ | {"AWS_ENDPOINT_URL": self.endpoint})
        show(f"$ awsorch {shlex.join(arguments)}", style="bold")
        show((done.stdout + done.stderr).rstrip())
        if arguments[0] == "run":
            self.tasks.extend(TASK_ID.findall(done.stdout + done.stderr))
        expect(done.returncode == code, f"`awsorch {arguments[0]}` ends with {code}, not {done.returncode}")
        return done

    def quietly(self, *arguments: str) -> str:
        """Run an `awsorch` command and answer what it prints."""
        done = run_command(arguments, os.environ | {"AWS_ENDPOINT_URL": self.endpoint})
        expect(done.returncode == 0, f"`awsorch {arguments[0]}` works: {done.stderr.strip()}")
        return done.stdout

    def client(self, service: str) -> Any:
        """A boto3 client of another service of the same cloud."""
        return client_of(service, self.port)

    def describe(self, task: str) -> dict[str, Any]:
        answer = self.ecs.describe_tasks(tasks=[task])
        expect(not answer["failures"], f"DescribeTasks knows task {task[:8]}")
        found: dict[str, Any] = answer["tasks"][0]
        return found

    def controller(self) -> int | None:
        """The process id of the controller: the child of the cloud's own process that runs awsorch.app."""
        cloud = json.loads((self.data / "run" / "ready.json").read_text())["process_id"]
        return next((pid for pid in children_of(cloud) if b"awsorch.app" in command_of(pid)), None)


@contextmanager
def made_cloud() -> Iterator[Cloud]:
    """A data folder, a port and a client; afterwards everything is taken down, whatever happened."""
    data = Path(tempfile.mkdtemp(prefix="awsorch-demo-"))
    port = free_port()
    ecs = client_of("ecs", port)
    cloud = Cloud(data=data, port=port, ecs=ecs)
    try:
        yield cloud
    except BaseException:
        show_logs(data)
        raise
    finally:
        run_command(("down", "--data", str(data)), os.environ)
        shutil.rmtree(data, ignore_errors=True)
        if cloud.tasks:
            remove_containers(cloud.tasks)


def client_of(service: str, port: int) -> Any:
    """A client of the cloud at this port."""
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=2, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4}),
    )


def exit_codes(task: dict[str, Any]) -> dict[str, int | None]:
    return {one["name"]: one.get("exitCode") for one in task["containers"]}


def runtime_ids(task: dict[str, Any]) -> set[str]:
    return {one["runtimeId"] for one in task["containers"]}


def connected(cloud: Cloud) -> int:
    arns = cloud.ecs.list_container_instances()["containerInstanceArns"]
    instances = cloud.ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
    return sum(bool(one["agentConnected"]) for one in instances)


def children_of(parent: int) -> list[int]:
    return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if parent_of(pid) == parent]


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None  # it has ended since


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def fetch(task: dict[str, Any]) -> str:
    """GET / from the port that the task's server has published."""
    bindings = [one for container in task["containers"] for one in container.get("networkBindings", [])]
    expect(len(bindings) == 1, "DescribeTasks shows the published port")
    host, port = bindings[0]["bindIP"], bindings[0]["hostPort"]
    with urllib.request.urlopen(f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/", timeout=5) as response:
        return str(response.read().decode()).rstrip()


def answers(cloud: Cloud) -> bool:
    try:
        with urllib.request.urlopen(f"{cloud.endpoint}/awsorch/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def until(what: str, true: Callable[[], bool]) -> None:
    """Wait for something to become true; that it does not is a disappointment."""
    deadline = time.monotonic() + LONG_SECONDS
    while not true():
        expect(time.monotonic() < deadline, f"{what} within {LONG_SECONDS:.0f} s")
        time.sleep(0.1)


def expect(fact: bool, what: str) -> None:
    if not fact:
        raise Disappointed(f"not so: {what}")


def run_command(arguments: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (str(AWSORCH), *arguments),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * LONG_SECONDS,
        check=False,
    )


def containers_of(tasks: list[str]) -> list[Any]:
    """The engine's containers of these tasks, running or not."""
    engine = docker.from_env()
    found = engine.containers.list(all=True, filters={"label": TASK_LABEL}, ignore_removed=True)
    return [one for one in found if one.labels[TASK_LABEL].rpartition("/")[2] in tasks]


def remove_containers(tasks: list[str]) -> None:
    """Remove the containers of these tasks and the volumes that only they use."""
    engine = docker.from_env()
    volumes: set[str] = set()
    for container in containers_of(tasks):
        volumes |= {one["Name"] for one in container.attrs["Mounts"] if one["Type"] == "volume"}
        try:
            container.remove(force=True, v=True)
        except NotFound:
            continue
    for name in volumes:
        try:
            engine.volumes.get(name).remove()
        except (NotFound, APIError):
            continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show_logs(data: Path) -> None:
    """The end of every log of the cloud: what one wants to see when the demo fails."""
    for log in sorted((data / "logs").glob("*")):
        lines = log.read_text(errors="replace").splitlines()[-15:]
        show(f"--- the end of {log.name}\n" + "\n".join(lines))


def title(text: str) -> None:
    show("")
    show(f"▶ {text}", style="bold cyan")


def show(text: str, style: str = "") -> None:
    indent = "" if style.startswith("bold ") or not text else "  "
    for line in text.splitlines() or [""]:
        console.print(Text(indent + line, style=style), soft_wrap=True)


def play(scenes: Iterable[Callable[[Cloud], None]]) -> int:
    """Play them on a cloud made for them; the exit code, 0 only when all was as it should be."""
    began = time.monotonic()
    try:
        with made_cloud() as cloud:
            for scene in scenes:
                scene(cloud)
    except (Disappointed, BotoCoreError, ClientError, DockerException, OSError, subprocess.SubprocessError) as problem:
        show(f"✗ {problem}", style="bold red")
        return 1
    except KeyboardInterrupt:
        return 130
    show("")
    show(f"✓ All as it should be, in {time.monotonic() - began:.0f} s. Nothing is left behind.", style="bold green")
    return 0
