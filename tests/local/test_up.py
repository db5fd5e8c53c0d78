"""The whole local cloud in real processes, its containers simulated: killed, cut off, stopped, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from awsorch.local import up
from awsorch.local.user_data import cluster_user_data
from tests.local.processes import is_gone, soon

IMAGE = "awsorch/busybox:latest"
pytestmark = pytest.mark.timeout(300)

OPTIONS: dict[str, Any] = {"engine": "simulated", "port": 0, "access_keys": {"AKIDLOCAL": "a-secret"}}


def options(data: Path, **changes: Any) -> up.Options:
    return up.Options(data=data, **(OPTIONS | changes))


def client(ready: up.Ready, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=ready.endpoint,
        region_name=ready.environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=ready.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ready.environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=30),
    )


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder, on which nothing runs any more when the test is over."""
    yield tmp_path / "data"
    up.stop(tmp_path / "data", remove=True)


def wait(condition: Callable[[], Any]) -> None:
    """Wait for something of the cloud's, which may not answer at all meanwhile."""

    def holds() -> bool:
        try:
            return bool(condition())
        except (ClientError, BotoCoreError):
            return False

    asyncio.run(soon(holds))


def connected(ecs: Any, cluster: str = "default") -> dict[str, str]:
    """EC2 instance id → container instance ARN, of those whose agents are connected."""
    arns = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
    if not arns:
        return {}
    described = ecs.describe_container_instances(cluster=cluster, containerInstances=arns)["containerInstances"]
    return {each["ec2InstanceId"]: each["containerInstanceArn"] for each in described if each["agentConnected"]}


def children(ready: up.Ready) -> dict[str, int]:
    """Module → process id of the supervisor's children."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{ready.process_id}/task/{ready.process_id}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just been waited for
        if len(words) > 2:  # else it is dead, or not itself yet
            found[words[2].decode()] = int(child)
    return found


def is_replaced(ready: up.Ready, module: str, killed: int) -> bool:
    return children(ready).get(module, killed) != killed


def test_it_comes_up_and_carries_on_after_all_that_may_happen_to_it(data: Path) -> None:
    ready = up.start_detached(options(data))
    ecs, ec2 = client(ready, "ecs"), client(ready, "ec2")
    instances = {each.id for each in ready.instances}
    arns = connected(ecs)
    assert set(arns) == instances
    assert up.status(data) == ready
    described = ec2.describe_instances(InstanceIds=sorted(instances))["Reservations"]
    addresses = {each["Instances"][0]["PrivateIpAddress"] for each in described}
    assert addresses == {each.address for each in ready.instances}
    assert len({each.zone for each in ready.instances}) == 2

    with pytest.raises(up.CannotStart, match=f"already .process {ready.process_id} at {ready.endpoint}"):
        up.start_detached(options(data))
    with pytest.raises(up.CannotStart, match="already"):
        up.run(options(data), on_ready=lambda _: None)

    for module in ("awsorch.app", "awsorch.agent", "awsorch.local.moto_child"):
        killed = children(ready)[module]
        os.kill(killed, signal.SIGKILL)
        wait(partial(is_replaced, ready, module, killed))
        wait(lambda: connected(ecs) == arns)
        wait(
            lambda: (
                {each["Instances"][0]["InstanceId"] for each in ec2.describe_instances()["Reservations"]} == instances
            )
        )

    everything = children(ready)
    os.kill(ready.process_id, signal.SIGKILL)
    wait(lambda: up.status(data) is None)
    ready = up.start_detached(options(data))
    assert connected(client(ready, "ecs")) == arns
    assert all(is_gone(process_id) for process_id in everything.values()), "they do not share the data with the new"

    everything = children(ready)
    assert up.stop(data) is True
    assert up.status(data) is None
    assert all(is_gone(process_id) for process_id in everything.values())

    again = up.start_detached(options(data))
    assert {each.id: each.address for each in again.instances} == {each.id: each.address for each in ready.instances}
    assert connected(client(again, "ecs")) == arns


def test_instances_come_and_go_through_the_door(data: Path) -> None:
    ready = up.start_detached(options(data, instances=1))
    ecs, ec2 = client(ready, "ecs"), client(ready, "ec2")
    ecs.create_cluster(clusterName="prod")
    run = ec2.run_instances(
        ImageId="ami-12345678", InstanceType="m5.large", MinCount=1, MaxCount=1, UserData=cluster_user_data("prod")
    )
    theirs = run["Instances"][0]["InstanceId"]
    wait(lambda: theirs in connected(ecs, "prod"))
    arn = connected(ecs, "prod")[theirs]
    (described,) = ecs.describe_container_instances(cluster="prod", containerInstances=[arn])["containerInstances"]
    registered = {each["name"]: each.get("integerValue") for each in described["registeredResources"]}
    assert (registered["CPU"], registered["MEMORY"]) == (2048, 7766)

    ec2.stop_instances(InstanceIds=[theirs])
    wait(lambda: theirs not in connected(ecs, "prod"))
    ec2.start_instances(InstanceIds=[theirs])
    wait(lambda: connected(ecs, "prod") == {theirs: arn})

    ec2.terminate_instances(InstanceIds=[theirs])
    wait(lambda: not ecs.list_container_instances(cluster="prod")["containerInstanceArns"])
    wait(lambda: not (data / "instances" / theirs).exists())
    wait(lambda: set(connected(ecs)) == {ready.instances[0].id})


def test_a_foreground_run_says_when_it_is_ready_and_ends_with_a_signal(data: Path) -> None:
    seen: list[up.Ready] = []

    def on_ready(ready: up.Ready) -> None:
        seen.append(ready)
        os.kill(os.getpid(), signal.SIGTERM)

    began = time.monotonic()
    assert up.run(options(data, instances=1), on_ready) == 0
    assert time.monotonic() - began < 60
    assert seen[0].environment["AWS_ENDPOINT_URL"] == seen[0].endpoint
    assert up.status(data) is None


def test_what_keeps_it_from_starting_is_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(up.CannotStart, match="instance type"):
        up.start_detached(options(data, instance_type="t9.colossal"))
    assert up.status(data) is None
    monkeypatch.setenv("DOCKER_HOST", "unix:///nobody/listens.sock")
    with pytest.raises(up.CannotStart, match="Docker Engine does not answer"):
        up.start_detached(options(data, engine="docker"))


def test_containers_run_on_while_it_is_down_and_go_with_their_instance(data: Path) -> None:
    ready = up.start_detached(options(data, engine="docker"))
    ecs = client(ready, "ecs")
    container = {"name": "app", "image": IMAGE, "command": ["sleep", "1000"], "memory": 16, "essential": True}
    ecs.register_task_definition(family="sleeper", networkMode="none", containerDefinitions=[container])
    ran = ecs.run_task(taskDefinition="sleeper", count=2, placementStrategy=[{"type": "spread", "field": "instanceId"}])
    tasks = [each["taskArn"] for each in ran["tasks"]]

    def statuses(of: Any) -> list[str]:
        return [each["lastStatus"] for each in of.describe_tasks(tasks=tasks)["tasks"]]

    def containers() -> set[str]:
        label = "com.amazonaws.ecs.task-arn"
        with closing(docker.from_env()) as engine:
            found = engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)
            return {str(each.id) for each in found if each.labels[label] in tasks and each.status == "running"}

    wait(lambda: statuses(ecs) == ["RUNNING", "RUNNING"])
    running = containers()
    assert len(running) == 2
    assert up.stop(data)
    assert containers() == running

    ready = up.start_detached(options(data, engine="docker"))
    ecs, ec2 = client(ready, "ecs"), client(ready, "ec2")
    assert statuses(ecs) == ["RUNNING", "RUNNING"]
    assert containers() == running

    ec2.terminate_instances(InstanceIds=[ready.instances[0].id])
    wait(lambda: sorted(statuses(ecs)) == ["RUNNING", "STOPPED"])
    wait(lambda: len(containers()) == 1)

    assert up.stop(data, remove=True)
    assert containers() == set()
