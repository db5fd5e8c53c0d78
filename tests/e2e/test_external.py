"""A real agent that joins a real controller by an activation, and runs tasks on the machine's Docker Engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from awsorch.agent.engine import CLUSTER_LABEL
from tests.e2e.conftest import until
from tests.support.images import ensure_test_image
from tests.support.served_app import ServedApp, served_app

pytestmark = pytest.mark.docker
CLUSTER = "of-external-instances"  # no other test's: what its agents leave on the shared engine is told by it
SETTINGS = {
    "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
    "ECS_CONTAINER_STOP_TIMEOUT": "1s",
    "ECS_DISABLE_IMAGE_CLEANUP": "true",
    "AWSORCH_INTROSPECTION_PORT": "0",
    "AWSORCH_TASK_ENDPOINT_PORT": "0",
}


@contextmanager
def agent(*arguments: str, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`awsorch-agent` with no key but what it is given; asked to end, it ends well."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    process = subprocess.Popen(
        (sys.executable, "-m", "awsorch.agent", *arguments), env={**kept, **SETTINGS, "ECS_DATADIR": str(data)}
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def end_of(*arguments: str, data: Path) -> str:
    """What an agent says that ends for good, as its exit code tells systemd."""
    done = subprocess.run(
        (sys.executable, "-m", "awsorch.agent", *arguments),
        env={"PATH": os.environ["PATH"], **SETTINGS, "ECS_DATADIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    return done.stderr


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    """A controller with one cluster; what its instances leave on the engine is taken away."""
    client = docker.from_env()
    ensure_test_image(client.api)
    with served_app(tmp_path / "controller") as served:
        served.ecs.create_cluster(clusterName=CLUSTER)
        yield served
        for container in client.containers.list(all=True, filters={"label": f"{CLUSTER_LABEL}={CLUSTER}"}):
            container.remove(force=True, v=True)
    client.close()


def instances(served: ServedApp) -> list[dict[str, Any]]:
    arns = served.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
    if not arns:
        return []
    found: list[dict[str, Any]] = served.ecs.describe_container_instances(cluster=CLUSTER, containerInstances=arns)[
        "containerInstances"
    ]
    return found


def connected(served: ServedApp) -> bool:
    return [each["agentConnected"] for each in instances(served)] == [True]


def running(served: ServedApp, service: str) -> int:
    (found,) = served.ecs.describe_services(cluster=CLUSTER, services=[service])["services"]
    count: int = found["runningCount"]
    return count


def register(served: ServedApp) -> None:
    container = {"name": "app", "image": "awsorch/busybox:latest", "memory": 16, "command": ["sleep", "3600"]}
    container["portMappings"] = [{"containerPort": 80}]
    served.ecs.register_task_definition(family="app", containerDefinitions=[container])


def test_a_machine_joins_runs_tasks_and_comes_back(served: ServedApp, tmp_path: Path) -> None:
    made = served.call("POST", "/awsorch/activations", {"cluster": CLUSTER, "attributes": {"site": "attic"}})[1]
    joining = ("join", "--endpoint", served.url, "--activation-id", made["activationId"])
    joining += ("--activation-code", made["activationCode"])
    data = tmp_path / "agent"
    register(served)
    with agent(*joining, data=data):
        until("the instance is there", lambda: connected(served))
        (instance,) = instances(served)
        attributes = {each["name"]: each.get("value") for each in instance["attributes"]}
        assert instance["ec2InstanceId"].startswith("mi-")
        assert (attributes["site"], "ecs.capability.external" in attributes) == ("attic", True)
        refused = served.ecs.run_task(cluster=CLUSTER, taskDefinition="app")
        assert [each["reason"] for each in refused["failures"]] == ["MemberOf placement constraint unsatisfied."]
        served.ecs.create_service(
            cluster=CLUSTER, serviceName="app", taskDefinition="app", launchType="EXTERNAL", desiredCount=2
        )
        served.ecs.create_service(
            cluster=CLUSTER,
            serviceName="watch",
            taskDefinition="app",
            launchType="EXTERNAL",
            schedulingStrategy="DAEMON",
        )
        until("both services run", lambda: (running(served, "app"), running(served, "watch")) == (2, 1))
    until("its silence is seen", lambda: not connected(served))
    with agent(data=data):
        until("it is back without the code", lambda: connected(served))
        assert instances(served)[0]["containerInstanceArn"] == instance["containerInstanceArn"]
    spent = "is spent: it was for one machine, which has joined."
    assert spent in end_of(*joining, "--data-folder", str(tmp_path / "another"), data=data)
    machine = instance["ec2InstanceId"]
    assert served.call("DELETE", f"/awsorch/activations/{machine}")[0] == 200
    assert f"The key of {machine} is good no more: it was revoked" in end_of(data=data)
