"""The whole local cloud on hosts of their own: real engines in namespaces, whose images come from this machine's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest
from botocore.exceptions import ClientError

from awsorch.local import up
from awsorch.local.netns_engine import HostEngine, engines_folder, run_folder
from tests.local.processes import is_gone
from tests.support.images import ensure_test_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SERVER = "echo here > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
LIMIT_SECONDS = 90.0


@pytest.fixture(scope="module")
def image() -> str:
    """The test image, on this machine's engine only."""
    machine = docker.APIClient(version="auto")
    try:
        return ensure_test_image(machine)
    finally:
        machine.close()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    up.stop(tmp_path / "data", remove=True)


def options(data: Path) -> up.Options:
    return up.Options(data=data, hosts="netns", instances=2, port=0)


def client(ready: up.Ready, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=ready.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def until(what: str, condition: Callable[[], Any]) -> None:
    async def holds() -> None:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while not condition():  # noqa: ASYNC110  (other processes set no events)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"not in time: {what}")

    asyncio.run(holds())


def running(ecs: Any) -> dict[str, list[dict[str, Any]]]:
    """EC2 instance → its running tasks."""
    arns = ecs.list_tasks(serviceName="web")["taskArns"]
    tasks = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
    hosts = ecs.describe_container_instances(
        containerInstances=ecs.list_container_instances()["containerInstanceArns"]
    )["containerInstances"]
    names = {each["containerInstanceArn"]: each["ec2InstanceId"] for each in hosts}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for task in tasks:
        if task["lastStatus"] == task["desiredStatus"] == "RUNNING" and task["containerInstanceArn"] in names:
            found[names[task["containerInstanceArn"]]].append(task)
    return found


def says(address: str, task: dict[str, Any]) -> str:
    """What a task's web server says at its instance's address."""
    (binding,) = task["containers"][0]["networkBindings"]
    with urllib.request.urlopen(f"http://{address}:{binding['hostPort']}/", timeout=10) as answer:
        return str(answer.read().decode())


def serve_web(ecs: Any, image: str) -> None:
    ecs.register_task_definition(
        family="web",
        containerDefinitions=[
            {
                "name": "app",
                "image": image,
                "memory": 32,
                "command": ["sh", "-c", SERVER],
                "portMappings": [{"containerPort": 80}],
            }
        ],
    )
    ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=2)


def outage(ready: up.Ready, instance: str, what: str) -> None:
    url = f"{ready.endpoint}/awsorch/local/instances/{instance}/{what}"
    with urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="POST"), timeout=60) as answer:
        assert answer.status == 200


CALLER = """
    path=$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    while true; do
        rm -f /tmp/in; mkfifo /tmp/in
        timeout 5 nc 169.254.170.2 80 < /tmp/in > /tmp/out & exec 3> /tmp/in
        printf 'GET %s HTTP/1.0\\r\\nHost: agent\\r\\n\\r\\n' $path >&3
        wait; exec 3>&-
        case $path in
            /v2/*) grep -q '"RoleArn":"arn:aws:iam::123456789012:role/app"' /tmp/out && path=$METADATA_PATH ;;
            *) grep -q '"TaskARN":"arn:aws:ecs' /tmp/out && exit 7 ;;
        esac
        sleep 0.2
    done
"""
"""Asks for its role's credentials, then for its task's metadata, and ends with 7 when it has had both."""


def roles_are_found(ready: up.Ready, image: str) -> None:
    """Containers on bridges, and in their host's network, find their agent where SDKs look."""
    ecs = client(ready, "ecs")
    trusts = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    client(ready, "iam").create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps({"Statement": [trusts]}))
    for mode in ("bridge", "host"):
        script = "METADATA_PATH=/${ECS_CONTAINER_METADATA_URI_V4#http://*/}/task\n" + CALLER
        ecs.register_task_definition(
            family=f"roles-{mode}",
            taskRoleArn="arn:aws:iam::123456789012:role/app",
            networkMode=mode,
            containerDefinitions=[{"name": "app", "image": image, "memory": 32, "command": ["sh", "-c", script]}],
        )
        (task,) = ecs.run_task(taskDefinition=f"roles-{mode}")["tasks"]

        def ended(arn: str = task["taskArn"]) -> bool:
            (found,) = ecs.describe_tasks(tasks=[arn])["tasks"]
            return [each.get("exitCode") for each in found["containers"]] == [7]

        until(f"a task with a role, {mode}", ended)


def test_instances_are_hosts_that_can_be_cut_off_rebooted_killed_and_leave_nothing(data: Path, image: str) -> None:
    ready = up.start_detached(options(data))
    ecs, ec2 = client(ready, "ecs"), client(ready, "ec2")
    addresses = {each.id: each.address for each in ready.instances}
    first, second = addresses
    assert all(each.startswith("10.") for each in addresses.values())

    serve_web(ecs, image)
    until("a task on each", lambda: [len(tasks) for tasks in running(ecs).values()] == [1, 1])
    for instance, tasks in running(ecs).items():
        assert [says(addresses[instance], task) for task in tasks] == ["here\n"]
        engine = docker.APIClient(f"unix://{run_folder(data)}/{instance}/docker.sock", version="auto")
        (container,) = engine.containers()  # this machine's engine has none of them
        process = engine.inspect_container(container)["State"]["Pid"]
        engine.close()
        programs = programs_in(f"awsorch-{instance}-engine")
        assert {"dockerd", "containerd"} <= set(programs), "its own share of the CPU"
        every = os.sched_getaffinity(0)
        assert os.sched_getaffinity(programs["dockerd"]) == (set(sorted(every)[1:]) or every)
        assert affinity(engine_process=programs["dockerd"], process=process) == every

    roles_are_found(ready, image)
    ended = {task["taskArn"] for tasks in running(ecs).values() for task in tasks}
    ec2.reboot_instances(InstanceIds=[first, second])
    until("others after the reboot", lambda: two_others(running(ecs), ended))

    outage(ready, first, "cut")
    until("both on the other", lambda: len(running(ecs)[second]) == 2)
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        urllib.request.urlopen(f"http://{addresses[first]}:80/", timeout=1)

    outage(ready, first, "kill")
    until("the other alone", lambda: {name: len(tasks) for name, tasks in running(ecs).items()} == {second: 2})
    until("its disk is gone", lambda: {each.name for each in (data / "engines").iterdir()} == {second})

    os.kill(ready.process_id, signal.SIGKILL)
    until("its end", lambda: is_gone(ready.process_id) and up.status(data) is None)
    again = up.start_detached(options(data))
    assert second in {each.id for each in again.instances}
    until("the service again", lambda: count(client(again, "ecs")) == 2)

    up.stop(data, remove=True)
    assert not run_folder(data).exists()
    assert not (data / "engines").exists()
    assert not cgroups(f"awsorch-{second}*")


def cgroups(name: str) -> list[Path]:
    """The folders of a cgroup, one for each controller in version 1."""
    root = Path("/sys/fs/cgroup")
    return [*root.glob(name), *root.glob(f"*/{name}")]


def programs_in(name: str) -> dict[str, int]:
    """What runs in a cgroup directly under the root, with a process id; processes may end meanwhile."""
    found = {}
    for process in [each for folder in cgroups(name) for each in (folder / "cgroup.procs").read_text().split()]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[Path(f"/proc/{process}/comm").read_text().strip()] = int(process)
    return found


def affinity(*, engine_process: int, process: int) -> set[int]:
    """The CPUs of a process that an engine knows by a number of its own namespace's."""
    enter = ("nsenter", f"--target={engine_process}", "--mount", "--pid", "--", "cat", f"/proc/{process}/status")
    status = subprocess.run(enter, check=True, capture_output=True, text=True).stdout
    listed = next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list:"))
    found = set()
    for part in listed.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def two_others(found: dict[str, list[dict[str, Any]]], ended: set[str]) -> bool:
    return len([task for tasks in found.values() for task in tasks if task["taskArn"] not in ended]) == 2


def count(ecs: Any) -> int:
    try:
        return sum(len(each) for each in running(ecs).values())
    except ClientError:
        return 0


def test_what_a_killed_cloud_left_goes_with_its_data(data: Path) -> None:
    engine = HostEngine(data, f"i-{os.getpid()}")
    engine.prepare()
    (data / "run").mkdir()
    root = next(each for each in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")) if each.exists())
    group = root / f"awsorch-i-{os.getpid()}"
    (group / "container").mkdir(parents=True)

    up.stop(data, remove=True)

    assert not group.exists()
    assert not run_folder(data).exists()
    assert not engines_folder(data).exists()
