"""How long do containers wait for what the agent tells them of themselves?

Real containers on this machine's Docker Engine; their agent's metadata endpoint is asked at a steady rate, the
containers taking turns, as when each of them looks at itself all the time. Prints the latency of a task's metadata and
of a container's statistics, and how that compares with asking the engine each time.

    python benchmarks/task_metadata.py [--containers 5] [--rate 200] [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
from docker import APIClient

sys.path.insert(0, str(Path(__file__).parents[1]))
from awsorch.agent.assignment import Assignment, fresh_life
from awsorch.agent.container_stats import ContainerStats
from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.kernel_stats import KernelStats
from awsorch.agent.metadata import Place
from awsorch.agent.metadata_routes import TaskMetadata
from awsorch.agent.plan import names_for
from awsorch.agent.rates import RateLimit
from awsorch.agent.settings import EngineSettings, load
from awsorch.agent.states import Status
from awsorch.agent.task_endpoint import TaskEndpoint
from tests.agent.tasks import a_container, a_task
from tests.support.images import ensure_test_image


class NoCalls:
    """ECS, which is not asked."""

    async def call(self, operation: str, request: object) -> dict[str, object]:
        raise AssertionError(operation)


@contextmanager
def containers(count: int) -> Iterator[list[str]]:
    """So many containers that run until they are removed."""
    docker = APIClient(version="auto")
    image, made = ensure_test_image(docker), []
    try:
        for _ in range(count):
            made.append(docker.create_container(image, ["sleep", "3600"], stop_signal="SIGKILL")["Id"])
            docker.start(made[-1])
        yield made
    finally:
        for each in made:
            docker.remove_container(each, force=True)
        docker.close()


def running(number: int, docker_id: str) -> Assignment:
    """A task whose one container is this."""
    task = a_task(a_container("app"))
    assignment = Assignment(task, fresh_life(task, names_for(task, lambda: f"e{number}"), load({})), load({}))
    known = replace(assignment.state.containers["app"], known=Status.RUNNING, docker_id=docker_id)
    assignment.state = replace(assignment.state, known=Status.RUNNING, containers={"app": known})
    return assignment


async def steadily(ask: Callable[[int], Awaitable[None]], rate: float, seconds: float) -> list[float]:
    """How long each call took, sorted. Seconds."""
    took: list[float] = []

    async def timed(number: int) -> None:
        began = time.perf_counter()
        await ask(number)
        took.append(time.perf_counter() - began)

    began, under_way = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))
        under_way.append(asyncio.create_task(timed(number)))
    await asyncio.gather(*under_way)
    return sorted(took)


def told(what: str, took: list[float]) -> float:
    """Print it; the 99th of a hundred."""
    middle, late = took[len(took) // 2], took[len(took) * 99 // 100]
    print(f"{what:<28} p50 {middle * 1000:7.1f} ms   p99 {late * 1000:7.1f} ms")
    return late


async def measure(ids: list[str], rate: float, seconds: float) -> None:
    """Ask the agent, then the engine."""
    tasks = {each.arn: each for each in (running(number, docker_id) for number, docker_id in enumerate(ids))}
    engine = DockerEngine(EngineSettings())
    stats = ContainerStats(KernelStats(), engine)
    metadata = TaskMetadata(tasks, engine, stats, NoCalls(), place=Place(cluster="c"), instance_arn="arn")
    endpoint = TaskEndpoint(RateLimit(1e6, 1e6, time.monotonic))
    metadata.serve(endpoint)
    base = f"http://127.0.0.1:{await endpoint.start('127.0.0.1', 0)}/v4/e"
    try:
        async with aiohttp.ClientSession() as http:

            async def get(url: str) -> None:
                async with http.get(url) as answer:
                    await answer.read()
                    assert answer.status == 200

            await asyncio.gather(*(get(f"{base}{number}/stats") for number in range(len(ids))))
            ours = told("a task's metadata", await steadily(lambda n: get(f"{base}{n % len(ids)}/task"), rate, seconds))
            told(
                "a container's statistics", await steadily(lambda n: get(f"{base}{n % len(ids)}/stats"), rate, seconds)
            )

        async def inspect(number: int) -> None:
            await engine.describe(ids[number % len(ids)])

        theirs = told("the engine, asked each time", await steadily(inspect, rate, seconds))
        print(f"the engine's p99 is {theirs / ours:.1f} times the agent's")
    finally:
        await endpoint.close()
        await engine.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=5)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with containers(options.containers) as ids:
        asyncio.run(measure(ids, options.rate, options.seconds))


if __name__ == "__main__":
    main()
