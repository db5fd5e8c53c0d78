"""How long do services take to start, roll over and heal, beside Docker Swarm and beside the same steps done by hand?

By hand means straight through the Docker SDK, on the same engine, just before: the floor. Swarm runs on an engine of
its own, in namespaces of its own (root is needed), with a floor of its own. What counts are the ratios to the floors.

    python benchmarks/rollout.py [--repeats 3] [--figures create,update,kill] [--without-swarm]
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.types import ContainerSpec, RestartPolicy, ServiceMode, TaskTemplate, UpdateConfig

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
from api import client
from sink_agent import free_port, running, wait_for_port
from start import agent_settings

from tests.e2e.private_engine import PrivateEngine

BASE = "awsorch/busybox:latest"
#: sleep does not hear SIGTERM: with this stop signal no figure has a time-out in it.
IMAGE = "awsorch/benchmark:latest"
COMMAND = ["sleep", "3600"]
LABEL = "awsorch.benchmark"
POLL_S = 0.03
LIMIT_S = 120.0
#: Allowed: times the floor.
LIMIT = 1.5
#: (order, at a time): minimumHealthyPercent and maximumPercent that mean the same for ten replicas.
BOUNDS = {
    ("stop-first", 1): (90, 100),
    ("stop-first", 2): (80, 100),
    ("start-first", 1): (100, 110),
    ("start-first", 2): (100, 120),
}


def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait for something outside."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about within {LIMIT_S:.0f} s")
        time.sleep(POLL_S)


class Floor:
    """The steps by hand on one engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def start(self, _: object = None) -> str:
        """One container, created and started."""
        host = self._engine.create_host_config(mem_limit="16m", log_config={"type": "json-file"})
        made = self._engine.create_container(IMAGE, COMMAND, host_config=host, labels=[LABEL])
        self._engine.start(made["Id"])
        return str(made["Id"])

    def create(self, count: int) -> float:
        """So many at once, by eight threads."""
        with ThreadPoolExecutor(min(8, count)) as pool:
            began = time.perf_counter()
            ids = list(pool.map(self.start, range(count)))
            spent = time.perf_counter() - began
        self._remove(ids)
        return spent

    def update(self, order: str, at_a_time: int) -> float:
        """Ten replaced by ten others."""
        with ThreadPoolExecutor(4) as pool:
            old = list(pool.map(self.start, range(10)))

        def one(container: str) -> str:
            if order == "stop-first":
                self._engine.stop(container)
            fresh = self.start()
            if order == "start-first":
                self._engine.stop(container)
            return fresh

        with ThreadPoolExecutor(at_a_time) as pool:
            began = time.perf_counter()
            new = list(pool.map(one, old))
            spent = time.perf_counter() - began
        self._remove(old + new)
        return spent

    def kill(self) -> float:
        """One killed, another one started as soon as the engine says that it died."""
        victim = self.start()
        events = self._engine.events(decode=True, filters={"event": "die", "container": victim})
        died = threading.Event()

        def watch() -> None:
            next(events)
            died.set()

        threading.Thread(target=watch, daemon=True).start()
        began = time.perf_counter()
        self._engine.kill(victim)
        died.wait(LIMIT_S)
        fresh = self.start()
        spent = time.perf_counter() - began
        events.close()
        self._remove([victim, fresh])
        return spent

    kill_without_delay = kill

    def _remove(self, ids: list[str]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: self._engine.remove_container(i, force=True), ids))


class Swarm:
    """A swarm of one node on an engine of its own."""

    name = "swarm"

    def __init__(self, engine: PrivateEngine) -> None:
        self._api = engine.client
        build(self._api)
        self._image = self._api.inspect_image(IMAGE)["Id"]
        self._api.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        self.floor = Floor(self._api)

    def create(self, count: int) -> float:
        """Replicas from nothing."""
        began = time.perf_counter()
        self._create(count)
        until("all replicas running", lambda: self._running() == count)
        spent = time.perf_counter() - began
        self._remove()
        return spent

    def update(self, order: str, at_a_time: int) -> float:
        """A rolling update of ten replicas."""
        update = UpdateConfig(parallelism=at_a_time, delay=0, order=order)
        self._create(10, update)
        until("all replicas running", lambda: self._running() == 10)
        began = time.perf_counter()
        known = self._api.inspect_service("web")["Version"]["Index"]
        template, mode = self._template("2"), ServiceMode("replicated", 10)
        self._api.update_service("web", known, name="web", task_template=template, mode=mode, update_config=update)
        until("all replicas new", lambda: self._running("2") == 10)
        spent = time.perf_counter() - began
        self._remove()
        return spent

    def kill(self) -> float:
        """One container of three killed; the restart delay is Swarm's own, five seconds."""
        return self._kill(None)

    def kill_without_delay(self) -> float:
        """The same with the restart delay taken away."""
        return self._kill(RestartPolicy(condition="any", delay=0))

    def _kill(self, restart: RestartPolicy | None) -> float:
        self._create(3, restart=restart)
        until("all replicas running", lambda: self._running() == 3)
        before = {task["ID"] for task in self._tasks()}
        victim = self._containers()[0]["Id"]
        began = time.perf_counter()
        self._api.kill(victim)
        until("it is replaced", lambda: self._running() == 3 and before != {task["ID"] for task in self._tasks()})
        spent = time.perf_counter() - began
        self._remove()
        return spent

    def _template(self, version: str, restart: RestartPolicy | None = None) -> Any:
        container = ContainerSpec(self._image, command=COMMAND, env=[f"VERSION={version}"])
        return TaskTemplate(container, restart_policy=restart)

    def _create(self, count: int, update: Any = None, restart: RestartPolicy | None = None) -> None:
        mode = ServiceMode("replicated", count)
        self._api.create_service(self._template("1", restart), name="web", mode=mode, update_config=update)

    def _tasks(self) -> list[Any]:
        return list(self._api.tasks(filters={"service": "web", "desired-state": "running"}))

    def _running(self, version: str = "") -> int:
        tasks = [task for task in self._tasks() if task["Status"]["State"] == "running"]
        return sum(any(e.endswith(version) for e in task["Spec"]["ContainerSpec"]["Env"]) for task in tasks)

    def _containers(self) -> list[Any]:
        return list(self._api.containers(filters={"label": "com.docker.swarm.service.name=web"}))

    def _remove(self) -> None:
        self._api.remove_service("web")
        until("the swarm's containers are gone", lambda: not self._api.containers(all=True))


class Awsorch:
    """A controller and an agent on the machine's own engine."""

    name = "awsorch"

    def __init__(self, ecs: Any, engine: Any) -> None:
        self._ecs = ecs
        self._engine = engine
        self._service = ""
        self._made = 0
        self.floor = Floor(engine)
        for version in ("1", "2"):
            environment = [{"name": "VERSION", "value": version}]
            container = {"name": "app", "image": IMAGE, "command": COMMAND, "memory": 16, "environment": environment}
            ecs.register_task_definition(family="bench", containerDefinitions=[container])

    def create(self, count: int) -> float:
        """Replicas from nothing."""
        began = time.perf_counter()
        self._create(count)
        until("all tasks running", lambda: self._running() == count)
        spent = time.perf_counter() - began
        self._remove()
        return spent

    def update(self, order: str, at_a_time: int) -> float:
        """A rolling update of ten tasks."""
        minimum, maximum = BOUNDS[order, at_a_time]
        self._create(10, minimum, maximum)
        until("all tasks running", lambda: self._running() == 10 and len(self._deployments()) == 1)
        began = time.perf_counter()
        self._ecs.update_service(service=self._service, taskDefinition="bench:2")
        until("all tasks new", lambda: self._running() == 10)
        spent = time.perf_counter() - began
        self._remove()
        return spent

    def kill(self) -> float:
        """One container of three killed."""
        self._create(3)
        until("all tasks running", lambda: self._running() == 3)
        before = self._ecs.list_tasks(serviceName=self._service)["taskArns"]
        victim = self._containers()[0]["Id"]
        began = time.perf_counter()
        self._engine.kill(victim)
        until(
            "it is replaced",
            lambda: self._running() == 3 and before != self._ecs.list_tasks(serviceName=self._service)["taskArns"],
        )
        spent = time.perf_counter() - began
        self._remove()
        return spent

    kill_without_delay = kill

    def _create(self, count: int, minimum: int = 100, maximum: int = 200) -> None:
        self._made += 1
        self._service = f"web-{self._made}"
        self._ecs.create_service(
            serviceName=self._service,
            taskDefinition="bench:1",
            desiredCount=count,
            launchType="EXTERNAL",
            deploymentConfiguration={"minimumHealthyPercent": minimum, "maximumPercent": maximum},
        )

    def _deployments(self) -> list[Any]:
        (service,) = self._ecs.describe_services(services=[self._service])["services"]
        return list(service["deployments"])

    def _running(self) -> int:
        return int(self._deployments()[0]["runningCount"])

    def _containers(self) -> list[Any]:
        label = "com.amazonaws.ecs.task-definition-family=bench"
        return list(self._engine.containers(filters={"label": label}))

    def _remove(self) -> None:
        self._ecs.delete_service(service=self._service, force=True)
        until("the tasks' containers are gone", lambda: not self._containers())


def build(engine: Any) -> None:
    """The base image with another stop signal."""
    dockerfile = io.BytesIO(f"FROM {BASE}\nSTOPSIGNAL SIGKILL\n".encode())
    for line in engine.build(fileobj=dockerfile, tag=IMAGE, rm=True, decode=True):
        if "error" in line:
            raise RuntimeError(line["error"])


@contextmanager
def own_cluster() -> Iterator[Awsorch]:
    """A controller that counts tasks without a health check as healthy at once, as Swarm does, and one agent."""
    engine = docker.APIClient()
    build(engine)
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        server = {"AWSORCH_PORT": str(port), "AWSORCH_DATA_DIR": data, "AWSORCH_LOG_LEVEL": "WARNING"}
        with running([sys.executable, "-m", "awsorch.app"], env=server | {"AWSORCH_SETTLE_SECONDS": "0"}):
            wait_for_port(port)
            ecs = client(port)
            ecs.create_cluster(clusterName="default")
            with running([sys.executable, "-m", "awsorch.agent"], env=agent_settings(port, data)):
                connected = "agentConnected == true"
                until(
                    "the agent", lambda: bool(ecs.list_container_instances(filter=connected)["containerInstanceArns"])
                )
                yield Awsorch(ecs, engine)
    for container in engine.containers(all=True, filters={"label": "com.amazonaws.ecs.task-definition-family=bench"}):
        engine.remove_container(container["Id"], force=True)


@contextmanager
def own_swarm() -> Iterator[Swarm]:
    """Docker Swarm on a private engine."""
    with PrivateEngine(live_restore=False) as engine:
        engine.run("ip", "link", "set", "lo", "up")
        engine.client.tag(engine.image, BASE)
        yield Swarm(engine)


def questions(figures: list[str]) -> Iterator[tuple[str, Callable[[Any], float]]]:
    """(what, how to ask it of Awsorch, Swarm or Floor)."""
    if "create" in figures:
        for count in (1, 10, 50):
            yield f"{count} replicas running", lambda side, n=count: side.create(n)
    if "update" in figures:
        for order, at_a_time in BOUNDS:
            yield (
                f"10 replicas, {order}, {at_a_time} at a time",
                lambda side, o=order, n=at_a_time: side.update(o, n),
            )
    if "kill" in figures:
        yield "a killed container replaced", lambda side: side.kill()
        yield "a killed container, no restart delay", lambda side: side.kill_without_delay()


def main() -> int:
    """Run it; 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--figures", default="create,update,kill")
    parser.add_argument("--without-swarm", action="store_true")
    options = parser.parse_args()
    missed = 0
    ratios: dict[str, dict[str, float]] = {}
    sides = [own_cluster] if options.without_swarm else [own_cluster, own_swarm]
    for make_side in sides:
        with make_side() as side:
            side.create(1)
            for what, ask in questions(options.figures.split(",")):
                pairs = [(ask(side.floor), ask(side)) for _ in range(options.repeats)]
                floor, spent = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratios.setdefault(what, {})[side.name] = spent / floor
                print(
                    f"{side.name:8} {what:38} {spent:7.3f} s, by hand {floor:7.3f} s: {spent / floor:5.2f} x",
                    flush=True,
                )
    for what, ratio in ratios.items():
        ahead = "swarm" not in ratio or ratio["awsorch"] <= ratio["swarm"] * (1.05 if "50" in what else 1.0)
        good = ratio["awsorch"] <= LIMIT and ahead
        missed += not good
        figures = "  ".join(f"{name} {value:5.2f} x" for name, value in ratio.items())
        print(f"{what:38} {figures}  {'' if good else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
