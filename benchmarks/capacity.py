"""How soon is a task that finds no room provided for, and how soon does it run once there is an instance for it?

First: from a RunTask that does not fit to the SetDesiredCapacity call that it causes, as an Auto Scaling endpoint sees
it. A RunTask that fits, answered when it is stored, is the floor in the same run; beyond its median 99 of 100 calls may
take 200 ms. Then: from an agent's registration to its first waiting task RUNNING, beside the same container created and
started straight through the Docker SDK: at most 1.25 times. One controller, real agents, this machine's Docker Engine;
only AWS is played. Ends with 1 where a figure is missed.

    python benchmarks/capacity.py [--samples 100] [--repeats 9]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import docker

sys.path.insert(0, os.path.dirname(__file__))
from api import client
from fake_scaling import ARN, GROUP, FakeScaling
from sink_agent import SinkAgents, free_port, running, wait_for_port
from start import COMMAND, FAMILY, FAMILY_LABEL, IMAGE, NO_CLEANUP, agent_settings, clear, direct, wait

#: A task of this many CPU units has an instance of the group to itself.
WHOLE = 2048
STRATEGY = [{"capacityProvider": GROUP, "weight": 1}]
SENT_LIMIT_S = 0.2
START_LIMIT = 1.25
#: So long anything may take. Seconds.
LIMIT_S = 60.0


@contextmanager
def controller(scaling: FakeScaling) -> Iterator[int]:
    """A controller whose cluster has the group's capacity provider; its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        settings = {
            "AWSORCH_PORT": str(port),
            "AWSORCH_DATA_DIR": data,
            "AWSORCH_LOG_LEVEL": "ERROR",
            "AWSORCH_AWS_ENDPOINT": scaling.url,
            "AWSORCH_IDLE_SECONDS": "3600",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        with running([sys.executable, "-m", "awsorch.app"], env=settings):
            wait_for_port(port)
            prepare(client(port))
            yield port


def prepare(ecs: Any) -> None:
    """The cluster, its capacity provider, and a task definition."""
    ecs.create_cluster(clusterName="default")
    provider = {"autoScalingGroupArn": ARN, "managedScaling": {"status": "ENABLED"}}
    ecs.create_capacity_provider(name=GROUP, autoScalingGroupProvider=provider)
    ecs.put_cluster_capacity_providers(cluster="default", capacityProviders=[GROUP], defaultCapacityProviderStrategy=[])
    deadline = time.monotonic() + LIMIT_S
    while attachments(ecs) != "UPDATE_COMPLETE":
        assert time.monotonic() < deadline, "the group was not seen"
        time.sleep(0.05)
    define(ecs)


def define(ecs: Any, **more: Any) -> None:
    """A task that needs a whole instance."""
    container = {"name": "app", "image": IMAGE, "command": COMMAND, "cpu": WHOLE, "memory": 16, **more}
    ecs.register_task_definition(family=FAMILY, containerDefinitions=[container])


def attachments(ecs: Any) -> str:
    found = ecs.describe_clusters(clusters=["default"], include=["ATTACHMENTS"])["clusters"][0]
    return str(found.get("attachmentsStatus"))


def run_one(ecs: Any, **where: Any) -> str:
    """RunTask for one; its ARN."""
    answer = ecs.run_task(taskDefinition=FAMILY, count=1, **where)
    assert answer["tasks"], answer["failures"]
    return str(answer["tasks"][0]["taskArn"])


# --- from RunTask to the scaling call ----------------------------------------------------------------------------


def measure_calls(samples: int) -> bool:
    """Print how long the scaling call takes, and say whether that is soon enough."""
    with FakeScaling() as scaling, controller(scaling) as port, SinkAgents(port, count=1, cpu=WHOLE * (samples + 2)):
        ecs = client(port)
        run_one(ecs, launchType="EC2")
        run_one(ecs, capacityProviderStrategy=STRATEGY)
        scaling.wait_for_size(1)
        fits, sent = [], []
        for number in range(samples):
            began = time.perf_counter()
            run_one(ecs, launchType="EC2")
            fits.append(time.perf_counter() - began)
            began = time.perf_counter()
            run_one(ecs, capacityProviderStrategy=STRATEGY)
            sent.append(scaling.wait_for_size(number + 2) - began)
        assert scaling.size == samples + 1, f"{samples + 1} tasks got {scaling.size} instances"
    floor = statistics.median(fits)
    middle, worst = (each - floor for each in (statistics.median(sent), percentile(sent)))
    good = worst < SENT_LIMIT_S
    print(
        f"RunTask to SetDesiredCapacity, {samples} times: p50 {1000 * statistics.median(sent):.1f} ms, "
        f"p99 {1000 * percentile(sent):.1f} ms; a RunTask that fits: p50 {1000 * floor:.1f} ms, "
        f"p99 {1000 * percentile(fits):.1f} ms; beyond that: p50 {1000 * middle:.1f} ms, p99 {1000 * worst:.1f} ms"
        f"{'' if good else '  MISSED'}",
        flush=True,
    )
    return good


def percentile(values: Sequence[float]) -> float:
    """The 99th: at most one in a hundred is larger."""
    return sorted(values)[-(len(values) // 100) - 1]


# --- from registration to RUNNING --------------------------------------------------------------------------------


def measure_starts(repeats: int) -> bool:
    """Print how long a waiting task takes to run, and say whether that is soon enough."""
    engine = docker.APIClient()
    ours, theirs = [], []
    with FakeScaling() as scaling, controller(scaling) as port:
        ecs = client(port)
        define(ecs, stopTimeout=2)
        for number in range(1, repeats + 2):
            floor = direct(engine, 1, 1)
            spent = first_start(ecs, engine, scaling, number, port)
            if number > 1:  # the first one warms everybody up
                theirs.append(floor)
                ours.append(spent)
    ratio = statistics.median(ours) / statistics.median(theirs)
    good = ratio <= START_LIMIT
    print(
        f"registration to the first waiting task RUNNING, {repeats} times: {statistics.median(ours):.3f} s, engine "
        f"alone {statistics.median(theirs):.3f} s, ratio {ratio:.2f}{'' if good else '  MISSED'}",
        flush=True,
    )
    return good


def first_start(ecs: Any, engine: Any, scaling: FakeScaling, number: int, port: int) -> float:
    """Seconds from the registration of an instance to RUNNING of the task that waited for it."""
    task = run_one(ecs, capacityProviderStrategy=STRATEGY)
    scaling.wait_for_size(number)
    instance = scaling.instance(number)
    with tempfile.TemporaryDirectory() as data:
        settings = agent_settings(port, data) | NO_CLEANUP
        settings |= {
            "ECS_EXTERNAL": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{scaling.url}/{instance}",
            "AWSORCH_INSTANCE_CPU": str(WHOLE),
            "AWSORCH_INSTANCE_MEMORY": "3800",
        }
        started = engine.events(decode=True, filters={"event": "start", "label": FAMILY_LABEL})
        with running([sys.executable, "-m", "awsorch.agent"], env=settings):
            next(started)
            wait(ecs, [task], "RUNNING", pause=0.005)
            ran = time.time()
            started.close()
            registered = registered_at(ecs, task)
            ecs.stop_task(task=task)
            wait(ecs, [task], "STOPPED", pause=0.1)
    clear(engine)
    return ran - registered


def registered_at(ecs: Any, task: str) -> float:
    """When the instance of a task registered, in seconds since the epoch."""
    (found,) = ecs.describe_tasks(tasks=[task])["tasks"]
    arn = found["containerInstanceArn"]
    (instance,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    return float(instance["registeredAt"].timestamp())


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if load > 0.5:
        print(f"this machine is busy with other things: a load of {load:.1f} a core")
    good = [measure_calls(options.samples), measure_starts(options.repeats)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
