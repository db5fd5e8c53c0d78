"""What do idle agents cost, and how long until they are all back after the controller was killed?

The agents hold their control connections and answer heartbeats. Prints the controller's memory an agent, its CPU while
idle, and the time until all have connected again to a controller started on the same data.

    python benchmarks/agents.py [--agents 10000] [--seconds 60]
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from api import client
from sink_agent import SinkAgents, free_port, process_cpu, process_memory, running, wait_for_port


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        settings = {"AWSORCH_PORT": str(port), "AWSORCH_DATA_DIR": data, "AWSORCH_LOG_LEVEL": "WARNING"}
        command = [sys.executable, "-m", "awsorch.app"]
        with running(command, env=settings) as controller:
            wait_for_port(port)
            client(port).create_cluster(clusterName="default")
            empty = process_memory(controller.pid)
            print(f"idle controller: {empty:.0f} MiB")
            began = time.perf_counter()
            with SinkAgents(port, count=options.agents) as agents:
                print(f"{options.agents} agents registered and connected in {time.perf_counter() - began:.1f} s")
                idle(controller.pid, options.seconds, empty, options.agents)
                controller.kill()
                controller.wait()
                while agents.connected:
                    time.sleep(0.05)
                began = time.perf_counter()
                with running(command, env=settings) as again:
                    wait_for_port(port)
                    print(f"a new controller serves after {time.perf_counter() - began:.1f} s")
                    while agents.connected < options.agents:
                        time.sleep(0.05)
                    print(f"all agents are back after {time.perf_counter() - began:.1f} s")
                    idle(again.pid, options.seconds, empty, options.agents)


def idle(pid: int, seconds: float, empty: float, agents: int) -> None:
    """Watch a controller do nothing."""
    time.sleep(5)
    before = process_cpu(pid)
    time.sleep(seconds)
    share = (process_cpu(pid) - before) / seconds
    memory = process_memory(pid)
    print(f"idle: {share:.1%} of a core, {memory:.0f} MiB, {(memory - empty) * 1024 / agents:.1f} KiB an agent")


if __name__ == "__main__":
    main()
