"""UpdateContainerAgent on a real agent with real containers: wheels of this very tree under other version numbers."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import os
import re
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

import awsorch
from awsorch.agent.engine import CLUSTER_LABEL
from awsorch.settings import Settings
from tests.e2e.conftest import until
from tests.support.images import ensure_test_image
from tests.support.served_app import ServedApp, served_app

pytestmark = pytest.mark.docker
# Tests share one engine: whose containers these are is told by their cluster, so no other test may use its name.
CLUSTER = "of-agent-updates"
SETTINGS = {
    "ECS_UPDATES_ENABLED": "true",
    "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
    "ECS_CONTAINER_STOP_TIMEOUT": "1s",
    "ECS_DISABLE_IMAGE_CLEANUP": "true",
    "AWSORCH_INTROSPECTION_PORT": "0",
    "AWSORCH_TASK_ENDPOINT_PORT": "0",
}


class Keeper:
    """What systemd is on an instance: starts the agent again whenever it ends, but for exit code 5."""

    def __init__(self, environment: dict[str, str], *joining: str) -> None:
        self.codes: list[int] = []
        self._command = (sys.executable, "-m", "awsorch.agent", *joining)
        self._environment = environment
        self._closing = False
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment)

    def _keep(self) -> None:
        while True:
            code = self._process.wait()
            self.codes.append(code)
            if self._closing or code == 5:
                return
            self._process = self._start()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._closing = True
        self._process.terminate()
        self._thread.join(30)
        self._process.kill()


def a_wheel(folder: Path, version: str, spoil: Callable[[str, str], str] = lambda name, text: text) -> str:
    """A wheel of the tree under test with this version; ``spoil`` may change its files. It finds what it depends on
    where the tree does. Answers its path with pip's fragment."""
    path = folder / f"awsorch-{version}-py3-none-any.whl"
    about = f"awsorch-{version}.dist-info"
    root = Path(awsorch.__file__).parent
    files = {f"awsorch/{each.relative_to(root)}": each.read_bytes() for each in root.rglob("*.py")}
    files = {name: spoil(name, body.decode()).encode() for name, body in files.items()}
    files |= {
        "dependencies_of_the_test.pth": sysconfig.get_path("purelib").encode(),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: awsorch\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        record = []
        for name, body in files.items():
            wheel.writestr(name, body)
            digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(body)}\n")
        wheel.writestr(f"{about}/RECORD", "".join(record) + f"{about}/RECORD,,\n")
    return f"{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


def without_words(name: str, text: str) -> str:
    """An agent that imports well, and dies as soon as it runs."""
    if name != "awsorch/agent/agent.py":
        return text
    broken = re.sub(
        r"(    async def run\(self\) -> None:\n)", r'\1        raise OSError("this release is broken")\n', text
    )
    assert broken != text
    return broken


class Site:
    """A controller, one instance whose agent is kept running, a service of two tasks, and a place for wheels."""

    def __init__(self, served: ServedApp, keeper: Keeper, folder: Path, url: str) -> None:
        self.served, self.keeper, self.folder, self._url = served, keeper, folder, url

    def offer(self, wheel: str) -> None:
        settings = Settings.read({"AWSORCH_AGENT_PACKAGE": f"{self._url}/{wheel}"})
        self.served.app._endpoint.agent_package = settings.agent_package

    def instance(self) -> dict[str, Any]:
        arns = self.served.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
        if not arns:
            return {}
        described = self.served.ecs.describe_container_instances(cluster=CLUSTER, containerInstances=arns)
        found: dict[str, Any] = described["containerInstances"][0]
        return found

    def update(self) -> dict[str, Any]:
        arn = self.instance()["containerInstanceArn"]
        answer = self.served.ecs.update_container_agent(cluster=CLUSTER, containerInstance=arn)
        assert answer["containerInstance"]["agentUpdateStatus"] == "PENDING"
        until("the update has ended", lambda: self.instance()["agentUpdateStatus"] in ("UPDATED", "FAILED"), 120)
        return self.instance()

    def containers(self) -> dict[str, Any]:
        """Which containers there are, and since when."""
        arns = self.served.ecs.list_tasks(cluster=CLUSTER)["taskArns"]
        tasks = self.served.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
        return {each["containers"][0].get("runtimeId", ""): each.get("startedAt") for each in tasks}


@contextmanager
def wheels(folder: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    client = docker.from_env()
    ensure_test_image(client.api)
    folder = tmp_path / "wheels"
    folder.mkdir()
    # Services would replace the tasks of an agent that is away for 5 seconds, and a release that dies three times is.
    with served_app(tmp_path / "controller", silence_seconds=60.0) as served, wheels(folder) as url:
        served.ecs.create_cluster(clusterName=CLUSTER)
        made = served.call("POST", "/awsorch/activations", {"cluster": CLUSTER})[1]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        joining = ("join", "--endpoint", served.url, "--activation-id", made["activationId"])
        joining += ("--activation-code", made["activationCode"])
        keeper = Keeper({**kept, **SETTINGS, "ECS_DATADIR": str(tmp_path / "agent")}, *joining)
        site = Site(served, keeper, folder, url)
        try:
            until("the instance is there", lambda: site.instance().get("agentConnected"))
            container = {"name": "app", "image": "awsorch/busybox:latest", "memory": 16, "command": ["sleep", "3600"]}
            served.ecs.register_task_definition(family="app", containerDefinitions=[container])
            served.ecs.create_service(
                cluster=CLUSTER, serviceName="app", taskDefinition="app", launchType="EXTERNAL", desiredCount=2
            )
            until("two tasks run", lambda: sum(1 for since in site.containers().values() if since) == 2)
            yield site
        finally:
            keeper.close()
            for container in client.containers.list(all=True, filters={"label": f"{CLUSTER_LABEL}={CLUSTER}"}):
                container.remove(force=True, v=True)
            client.close()


def test_an_agent_becomes_another_release_and_no_task_notices(site: Site) -> None:
    before = site.containers()
    ecs, arn = site.served.ecs, site.instance()["containerInstanceArn"]
    with pytest.raises(ecs.exceptions.NoUpdateAvailableException, match="AWSORCH_AGENT_PACKAGE"):
        ecs.update_container_agent(cluster=CLUSTER, containerInstance=arn)

    site.offer(a_wheel(site.folder, "99.0"))
    updated = site.update()
    assert (updated["agentUpdateStatus"], updated["versionInfo"]["agentHash"]) == ("UPDATED", "awsorch-99.0")
    assert (updated["containerInstanceArn"], updated["runningTasksCount"]) == (arn, 2)
    assert site.keeper.codes == [42]
    assert site.containers() == before
    with pytest.raises(ecs.exceptions.NoUpdateAvailableException, match=r"awsorch 99\.0 already"):
        ecs.update_container_agent(cluster=CLUSTER, containerInstance=arn)

    # It comes up as the new release whenever it starts, and no longer on trial.
    for ends in range(1, 5):
        site.keeper.kill()
        until("it has ended", lambda: len(site.keeper.codes) > ends)  # noqa: B023  (called at once)
        until("it is back", lambda: site.instance()["agentConnected"])
    assert site.keeper.codes == [42, -9, -9, -9, -9]
    assert site.instance()["versionInfo"]["agentHash"] == "awsorch-99.0"

    # A wheel that is not what was promised changes nothing.
    site.offer(re.sub("sha256=....", "sha256=0000", a_wheel(site.folder, "99.1")))
    ends = len(site.keeper.codes)
    assert site.update()["agentUpdateStatus"] == "FAILED"
    assert len(site.keeper.codes) == ends

    # A release that dies whenever it runs is given up for the one before.
    site.offer(a_wheel(site.folder, "100.0", without_words))
    refused = site.update()
    until("the release before is back", lambda: site.instance()["agentConnected"])
    assert site.keeper.codes[ends:] == [42, 1, 1, 1]
    assert (site.instance()["agentUpdateStatus"], refused["runningTasksCount"]) == ("FAILED", 2)
    assert site.instance()["versionInfo"]["agentHash"] == "awsorch-99.0"
    assert site.containers() == before
