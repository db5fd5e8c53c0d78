"""How fast is the API? boto3 against awsorch (commits included), moto's server, and a server that answers a constant.

The last one is the client's own floor: what the same client needs when the server does nothing. Prints medians in
milliseconds and their ratio to the floor. All in one run, because machines are noisy:

    python benchmarks/api.py [--sizes 400,1000,10000] [--calls 200] [--no-moto]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).parent))
from sink_agent import SinkAgents, free_port, running, wait_for_port

Call = Callable[[Any, int], Any]
#: moto is not asked for more tasks than this: filling it takes minutes.
MOTO_LIMIT = 1000
#: Calls of one server before the other's turn.
ROUND = 16
CONTAINERS = [{"name": "app", "image": "busybox", "cpu": 1, "memory": 8, "essential": True}]


def client(port: int) -> Any:
    """A boto3 client that keeps enough connections for eight threads."""
    return boto3.session.Session().client(
        "ecs",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=16, retries={"total_max_attempts": 1}),
    )


class Constant(BaseHTTPRequestHandler):
    """Answers every call with the bytes last put in ``answer``."""

    protocol_version = "HTTP/1.1"
    answer = b"{}"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {len(self.answer)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + self.answer)


@contextmanager
def constant_server() -> Iterator[int]:
    """The floor, in a process of its own: it takes the answer to give on its standard input."""
    port = free_port()
    with running([sys.executable, __file__, "--constant", str(port)], stdin=subprocess.PIPE) as process:
        wait_for_port(port)
        process.stdin.write(json.dumps({}).encode() + b"\n")
        process.stdin.flush()
        Floor.process = process
        yield port


class Floor:
    """Sets what the constant server answers."""

    process: subprocess.Popen[bytes]

    @classmethod
    def answer(cls, value: Any) -> None:
        cls.process.stdin.write(json.dumps(value, default=lambda t: t.timestamp()).encode() + b"\n")
        cls.process.stdin.flush()
        time.sleep(0.05)


def serve_constant(port: int) -> None:
    """The process behind ``constant_server``."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Constant)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin.buffer:
        Constant.answer = line.strip()


def timed(calls: tuple[Call, Call], clients: tuple[Any, Any], count: int, threads: int) -> tuple[float, float]:
    """Median milliseconds of two calls as their clients see them, turn and turn about, so that noise hits both."""
    spans: tuple[list[float], list[float]] = ([], [])

    def one(which: int, index: int) -> None:
        began = time.perf_counter()
        calls[which](clients[which], index)
        spans[which].append((time.perf_counter() - began) * 1000)

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, count, ROUND):
            for which in (0, 1):
                if threads == 1:
                    for index in range(first, min(first + ROUND, count)):
                        one(which, index)
                else:
                    list(pool.map(one, [which] * ROUND, range(first, first + ROUND)))
    return statistics.median(spans[0]), statistics.median(spans[1])


class Subject:
    """One server with some tasks in it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.ecs = client(port)
        self.arns: list[str] = []

    def prepare(self) -> None:
        """A cluster and a task definition."""
        self.ecs.create_cluster(clusterName="default")
        self.ecs.register_task_definition(family="bench", containerDefinitions=CONTAINERS)

    def fill(self, size: int) -> None:
        """Run tasks until there are this many."""
        missing = size - len(self.arns)
        while missing > 0:
            answer = self.ecs.run_task(taskDefinition="bench:1", count=min(10, missing), launchType="EC2")
            assert answer["tasks"], answer["failures"]
            self.arns += [task["taskArn"] for task in answer["tasks"]]
            missing = size - len(self.arns)

    def calls(self) -> dict[str, Call]:
        """The calls to time, by name."""
        arns = self.arns
        stops = iter(list(arns))
        return {
            "DescribeTasks 1": lambda ecs, i: ecs.describe_tasks(tasks=[arns[i % len(arns)]]),
            "DescribeTasks 100": lambda ecs, i: ecs.describe_tasks(tasks=arns[:100]),
            "ListTasks page": lambda ecs, i: ecs.list_tasks(),
            "RunTask": lambda ecs, i: ecs.run_task(taskDefinition="bench:1", launchType="EC2"),
            "RegisterTaskDefinition": lambda ecs, i: ecs.register_task_definition(
                family="more", containerDefinitions=CONTAINERS
            ),
            "StopTask": lambda ecs, i: ecs.stop_task(task=next(stops)),
        }


def all_pages(ecs: Any) -> float:
    """Seconds to list every task."""
    began = time.perf_counter()
    pages = list(ecs.get_paginator("list_tasks").paginate())
    assert pages
    return time.perf_counter() - began


def measure(subject: Subject, floor: Any, count: int) -> None:
    """Print one subject's lines at its present size."""
    for name, call in subject.calls().items():
        Floor.answer(_sample(call, subject.ecs))
        for threads in (1, 8):
            base, span = timed((call_floor(name), call), (floor, subject.ecs), count, threads)
            print(
                f"{subject.name:8} {len(subject.arns):>6} {name:23} {threads} threads "
                f"{span:8.2f} ms  floor {base:6.2f} ms  ratio {span / base:6.2f}",
                flush=True,
            )
    print(
        f"{subject.name:8} {len(subject.arns):>6} all pages of ListTasks   {all_pages(subject.ecs):8.3f} s", flush=True
    )


def _sample(call: Call, ecs: Any) -> Any:
    answer = call(ecs, 0)
    answer.pop("ResponseMetadata")
    return answer


def call_floor(name: str) -> Call:
    """The same call in the client's eyes, to the constant server."""
    arn = f"arn:aws:ecs:us-east-1:123456789012:task/default/{'0' * 32}"
    return {
        "DescribeTasks 1": lambda ecs, i: ecs.describe_tasks(tasks=[arn]),
        "DescribeTasks 100": lambda ecs, i: ecs.describe_tasks(tasks=[arn] * 100),
        "ListTasks page": lambda ecs, i: ecs.list_tasks(),
        "RunTask": lambda ecs, i: ecs.run_task(taskDefinition="bench:1", launchType="EC2"),
        "RegisterTaskDefinition": lambda ecs, i: ecs.register_task_definition(
            family="more", containerDefinitions=CONTAINERS
        ),
        "StopTask": lambda ecs, i: ecs.stop_task(task=arn),
    }[name]


@contextmanager
def awsorch_server() -> Iterator[int]:
    """A controller with an SQLite store and one boundless instance whose agent takes everything."""
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        settings = {"AWSORCH_PORT": str(port), "AWSORCH_DATA_DIR": data, "AWSORCH_LOG_LEVEL": "WARNING"}
        with running([sys.executable, "-m", "awsorch.app"], env=settings):
            wait_for_port(port)
            client(port).create_cluster(clusterName="default")
            with SinkAgents(port, count=1, cpu=2_000_000, memory=20_000_000):
                yield port


@contextmanager
def moto_server() -> Iterator[int]:
    """moto's server with one instance registered."""
    port = free_port()
    with running([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL):
        wait_for_port(port)
        ecs = client(port)
        ecs.create_cluster(clusterName="default")
        ec2 = boto3.client(
            "ec2",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        image = ec2.describe_images()["Images"][0]["ImageId"]
        # moto gives an instance 3,768 MiB: ten hold 4,710 of our tasks.
        for instance in ec2.run_instances(ImageId=image, MinCount=10, MaxCount=10)["Instances"]:
            document = {"instanceId": instance["InstanceId"], "region": "us-east-1"}
            ecs.register_container_instance(cluster="default", instanceIdentityDocument=json.dumps(document))
        yield port


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="400,1000,10000")
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--no-moto", action="store_true")
    parser.add_argument("--constant", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.constant:
        serve_constant(options.constant)
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    with constant_server() as floor_port:
        floor = client(floor_port)
        servers = [("awsorch", awsorch_server)] + ([] if options.no_moto else [("moto", moto_server)])
        for name, server in servers:
            with server() as port:
                subject = Subject(name, port)
                subject.prepare()
                for size in sizes if name == "awsorch" else [size for size in sizes if size <= MOTO_LIMIT]:
                    subject.fill(size)
                    measure(subject, floor, options.calls)


if __name__ == "__main__":
    main()
