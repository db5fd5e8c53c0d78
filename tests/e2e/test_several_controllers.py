"""Several controllers on one PostgreSQL, behind what an internal Network Load Balancer does: one leads, the others take
over when it ends, dies or hangs, and containers that run do not notice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest
from botocore.config import Config

from awsorch.agent.engine import CLUSTER_LABEL
from awsorch.local.balancer.process import find_haproxy
from awsorch.local.options import take_port
from tests.e2e.conftest import until
from tests.support.images import ensure_test_image
from tests.support.postgresql import PostgresqlServer, postgresql

pytestmark = pytest.mark.docker
CLUSTER = "of-several-controllers"
KEY = ("AKIDOPERATOR", "an operator's secret")
CONTAINER = {"name": "app", "image": "awsorch/busybox:latest", "memory": 16, "command": ["sleep", "3600"]}
BALANCER = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
listen controllers
    bind 127.0.0.1:{port}
    option httpchk GET /awsorch/health
    option redispatch
    default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


class Controller:
    """One process of ``python -m awsorch.app``."""

    def __init__(self, port: int, database: str, folder: Path) -> None:
        self.port = port
        self._log = folder / f"controller-{port}.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "AWSORCH_PORT": str(port),
            "AWSORCH_STORE": "postgresql",
            "AWSORCH_DATABASE_URL": database,
            "AWSORCH_ACCESS_SECRET": "that nobody guesses and all of them know",
            "AWSORCH_ACCESS_KEYS": json.dumps(dict([KEY])),
            "AWSORCH_LEASE_SECONDS": "3",
            "AWSORCH_SETTLE_SECONDS": "1",
        }
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen((sys.executable, "-m", "awsorch.app"), env=self._environment, stderr=log)

    def again(self) -> None:
        self.process = self._start()

    @property
    def health(self) -> int:
        """The status of its health check; 0 where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/awsorch/health", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    @property
    def log(self) -> str:
        return self._log.read_text()


class Site:
    """Two controllers, what balances between them, and the cluster's API by way of that."""

    def __init__(self, server: PostgresqlServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        database = server.database()
        self.controllers = [Controller(take_port("127.0.0.1", 0), database, folder) for _ in range(2)]
        port = take_port("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{port}"
        servers = "\n".join(f"    server c{each.port} 127.0.0.1:{each.port}" for each in self.controllers)
        configuration = folder / "haproxy.cfg"
        configuration.write_text(BALANCER.format(port=port, servers=servers))
        self._balancer = subprocess.Popen((find_haproxy(os.environ["PATH"]), "-db", "-q", "-f", str(configuration)))
        self.ecs = boto3.client(
            "ecs",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY[0],
            aws_secret_access_key=KEY[1],
            config=Config(retries={"total_max_attempts": 10, "mode": "standard"}),
        )

    def leader(self) -> Controller:
        (one,) = (each for each in self.controllers if each.health == 200)
        return one

    def other(self, than: Controller) -> Controller:
        (one,) = (each for each in self.controllers if each is not than)
        return one

    def tasks(self) -> dict[str, str]:
        """Container by task, of those that run."""
        arns = self.ecs.list_tasks(cluster=CLUSTER)["taskArns"]
        tasks = self.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
        return {t["taskArn"]: t["containers"][0]["runtimeId"] for t in tasks if t["lastStatus"] == "RUNNING"}

    def instance(self) -> dict[str, Any]:
        arns = self.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
        found = self.ecs.describe_container_instances(cluster=CLUSTER, containerInstances=arns) if arns else {}
        one: dict[str, Any] = found.get("containerInstances", [{}])[0]
        return one

    def close(self) -> None:
        self._balancer.kill()
        self._balancer.wait()
        for each in self.controllers:
            each.process.kill()
            each.process.wait()


@contextmanager
def agent(site: Site) -> Iterator[None]:
    """A real agent that knows the balancer's address alone."""
    created = site.ecs.create_cluster(clusterName=CLUSTER)["cluster"]
    assert created["status"] == "ACTIVE"
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    environment |= {
        "ECS_CLUSTER": CLUSTER,
        "ECS_EXTERNAL": "true",
        "ECS_BACKEND_HOST": site.url,
        "ECS_DATADIR": str(site.folder / "agent"),
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
        "ECS_CONTAINER_STOP_TIMEOUT": "1s",
        "ECS_DISABLE_IMAGE_CLEANUP": "true",
        "AWSORCH_INTROSPECTION_PORT": "0",
        "AWSORCH_TASK_ENDPOINT_PORT": "0",
        "AWS_ACCESS_KEY_ID": KEY[0],
        "AWS_SECRET_ACCESS_KEY": KEY[1],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    process = subprocess.Popen((sys.executable, "-m", "awsorch.agent"), env=environment)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    client = docker.from_env()
    ensure_test_image(client.api)
    with postgresql() as server:
        site = Site(server, tmp_path)
        try:
            until("one leads", lambda: sorted(each.health for each in site.controllers) == [200, 503])
            with agent(site):
                yield site
        finally:
            site.close()
            for container in client.containers.list(all=True, filters={"label": f"{CLUSTER_LABEL}={CLUSTER}"}):
                container.remove(force=True, v=True)
            client.close()


def test_another_leads_when_the_leader_ends_dies_or_hangs_and_containers_go_on(site: Site) -> None:
    until("the instance is there", lambda: bool(site.instance().get("agentConnected")))
    site.ecs.register_task_definition(family="app", containerDefinitions=[CONTAINER])
    site.ecs.create_service(
        cluster=CLUSTER, serviceName="app", taskDefinition="app", launchType="EXTERNAL", desiredCount=2
    )
    until("two tasks run", lambda: len(site.tasks()) == 2)
    before = site.tasks()

    def followed(former: Controller) -> None:
        until("the other leads", lambda: site.other(former).health == 200)
        until("the agent is back", lambda: bool(site.instance().get("agentConnected")))
        assert site.tasks() == before

    # It is killed: its lease expires.
    killed = site.leader()
    killed.process.kill()
    followed(killed)
    killed.process.wait()
    killed.again()
    until("it stands by", lambda: killed.health == 503)
    until("it says whom it waits for", lambda: "owned by" in killed.log)

    # It is told to end: it gives its leases back.
    ended = site.leader()
    ended.process.send_signal(signal.SIGTERM)
    assert ended.process.wait(20) == 0
    followed(ended)
    ended.again()
    until("it stands by", lambda: ended.health == 503)

    # It hangs: who was followed meanwhile ends by itself when it goes on.
    hung = site.leader()
    hung.process.send_signal(signal.SIGSTOP)
    until("the other leads", lambda: site.other(hung).health == 200)
    hung.process.send_signal(signal.SIGCONT)
    assert hung.process.wait(20) == 1
    assert "leads no longer" in hung.log
    followed(hung)

    # The database dies and comes back: nobody else leads, and what was committed is there.
    leader = site.leader()
    site.server.kill()
    site.server.start()
    until("it writes again", lambda: site.ecs.tag_resource(**tags(site))["ResponseMetadata"]["HTTPStatusCode"] == 200)
    assert site.leader() is leader
    site.ecs.update_service(cluster=CLUSTER, service="app", desiredCount=3)
    until("three tasks run", lambda: len(site.tasks()) == 3)
    assert site.tasks().items() >= before.items()


def tags(site: Site) -> dict[str, Any]:
    arn = site.ecs.describe_clusters(clusters=[CLUSTER])["clusters"][0]["clusterArn"]
    return {"resourceArn": arn, "tags": [{"key": "written", "value": "again"}]}
