"""How many tasks a second, from RunTask calls to all of them stored and sent to their agents?

Eight boto3 threads call RunTask with count 10 against a controller with SQLite (full synchronisation); the agents only
take what they are sent. The client works on the other core, so the figure to watch is the controller's CPU a task.

    python benchmarks/pipeline.py [--tasks 5000] [--instances 100]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from api import CONTAINERS, client
from sink_agent import SinkAgents, free_port, process_cpu, process_memory, running, wait_for_port


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--instances", type=int, default=100)
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        settings = {"AWSORCH_PORT": str(port), "AWSORCH_DATA_DIR": data, "AWSORCH_LOG_LEVEL": "WARNING"}
        with running([sys.executable, "-m", "awsorch.app"], env=settings) as controller:
            wait_for_port(port)
            ecs = client(port)
            ecs.create_cluster(clusterName="default")
            ecs.register_task_definition(family="bench", containerDefinitions=CONTAINERS)
            with SinkAgents(port, count=options.instances, cpu=10_000, memory=100_000) as agents:
                run(options.tasks, port, agents, controller.pid)


def run(tasks: int, port: int, agents: SinkAgents, pid: int) -> None:
    """Time one flood of RunTask calls."""
    clients = [client(port) for _ in range(8)]
    before = process_cpu(pid)
    began = time.perf_counter()

    def one(index: int) -> None:
        answer = clients[index % 8].run_task(taskDefinition="bench:1", count=10)
        assert len(answer["tasks"]) == 10, answer["failures"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(tasks // 10)))
    answered = time.perf_counter() - began
    while agents.received < tasks:
        time.sleep(0.005)
    sent = time.perf_counter() - began
    cpu = process_cpu(pid) - before
    print(f"{tasks} tasks: answered after {answered:.2f} s, all sent after {sent:.2f} s: {tasks / sent:.0f} tasks/s")
    print(f"controller: {cpu / tasks * 1000:.3f} ms of CPU a task = {tasks / cpu:.0f} tasks/s a core")
    print(f"controller: {process_memory(pid):.0f} MiB with {tasks} tasks")


if __name__ == "__main__":
    main()
