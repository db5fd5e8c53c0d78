"""How long from RunTask to RUNNING, beside the same containers created and started straight through the Docker SDK?

One controller, one agent, this machine's Docker Engine. Each repetition times both; the ratio of their medians counts.
The CPU of controller and agent is that from RunTask to RUNNING. To wait costs them next to nothing: the engine tells
when the containers run, and only then DescribeTasks is asked, until it says so too.

    python benchmarks/start.py [--counts 1,10,50] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker

sys.path.insert(0, str(Path(__file__).parent))
from api import client
from sink_agent import free_port, process_cpu, process_memory, running, wait_for_port

IMAGE = "awsorch/busybox:latest"
COMMAND = ["sleep", "3600"]
#: What ECS gives a container that asks for no CPU. On a busy machine it counts from the first instruction.
CPU_SHARES = 2
FAMILY = "bench-start"
FAMILY_LABEL = f"com.amazonaws.ecs.task-definition-family={FAMILY}"
#: Cleaning up belongs to no start: clear() does it.
NO_CLEANUP = {"ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "1h"}


def direct(engine: Any, count: int, threads: int) -> float:
    """Seconds to create and start the containers by hand."""
    ids: list[str] = []

    def one(_: int) -> None:
        host = engine.create_host_config(mem_limit="16m", cpu_shares=CPU_SHARES, log_config={"type": "json-file"})
        made = engine.create_container(IMAGE, COMMAND, host_config=host, stop_signal="SIGKILL")
        ids.append(made["Id"])
        engine.start(made["Id"])

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(count)))
    spent = time.perf_counter() - began
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: engine.remove_container(i, force=True), ids))
    return spent


def through_ecs(ecs: Any, engine: Any, count: int, pids: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    """Seconds from the first RunTask call until DescribeTasks shows all RUNNING, and the CPU seconds of controller
    and agent meanwhile; then the tasks are stopped."""
    started = engine.events(decode=True, filters={"event": "start", "label": FAMILY_LABEL})
    before = tuple(process_cpu(pid) for pid in pids)
    began = time.perf_counter()
    arns: list[str] = []
    while len(arns) < count:
        answer = ecs.run_task(taskDefinition=FAMILY, count=min(10, count - len(arns)), launchType="EXTERNAL")
        assert answer["tasks"], answer["failures"]
        arns += [task["taskArn"] for task in answer["tasks"]]
    for _ in range(count):
        next(started)
    wait(ecs, arns, "RUNNING", pause=0.005)
    spent = time.perf_counter() - began
    controller, agent = (process_cpu(pid) - old for pid, old in zip(pids, before, strict=True))
    started.close()
    for arn in arns:
        ecs.stop_task(task=arn)
    wait(ecs, arns, "STOPPED", pause=0.1)
    clear(engine)
    return spent, (controller, agent)


def wait(ecs: Any, arns: list[str], status: str, pause: float) -> None:
    """Until every task has this status."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        tasks = ecs.describe_tasks(tasks=arns)["tasks"]
        if all(task["lastStatus"] == status for task in tasks):
            return
        assert status == "STOPPED" or all(task["lastStatus"] != "STOPPED" for task in tasks), tasks
        time.sleep(pause)
    raise TimeoutError(f"not all tasks became {status}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="1,10,50")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--idle-seconds", type=float, default=60)
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        server = {"AWSORCH_PORT": str(port), "AWSORCH_DATA_DIR": data, "AWSORCH_LOG_LEVEL": "WARNING"}
        with running([sys.executable, "-m", "awsorch.app"], env=server) as controller:
            wait_for_port(port)
            ecs = client(port)
            ecs.create_cluster(clusterName="default")
            with running([sys.executable, "-m", "awsorch.agent"], env=agent_settings(port, data) | NO_CLEANUP) as agent:
                while not ecs.list_container_instances(filter="agentConnected == true")["containerInstanceArns"]:
                    time.sleep(0.1)
                measure(ecs, options, (controller.pid, agent.pid))
            clear(docker.APIClient())


def agent_settings(port: int, data: str) -> dict[str, str]:
    """An external instance with room for everything."""
    return {
        "ECS_CLUSTER": "default",
        "ECS_BACKEND_HOST": f"http://127.0.0.1:{port}",
        "ECS_DATADIR": f"{data}/agent",
        "ECS_EXTERNAL": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWSORCH_INSTANCE_CPU": "100000",
        "AWSORCH_INSTANCE_MEMORY": "100000",
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
        "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "1s",
        "ECS_LOGLEVEL": "warn",
        "AWSORCH_INTROSPECTION_PORT": "0",
    }


def measure(ecs: Any, options: argparse.Namespace, pids: tuple[int, int]) -> None:
    """Print a line a count, and what our processes used."""
    container = {"name": "app", "image": IMAGE, "command": COMMAND, "memory": 16, "stopTimeout": 2}
    ecs.register_task_definition(family=FAMILY, containerDefinitions=[container])
    engine = docker.APIClient()
    through_ecs(ecs, engine, 1, pids)
    for count in (int(text) for text in options.counts.split(",")):
        threads = 1 if count == 1 else 8
        ours, theirs, cpu = [], [], []
        for _ in range(options.repeats if count > 1 else options.repeats * 5):
            theirs.append(direct(engine, count, threads))
            spent, used = through_ecs(ecs, engine, count, pids)
            ours.append(spent)
            cpu.append(used)
        ours_s, theirs_s = statistics.median(ours), statistics.median(theirs)
        # The kernel counts in hundredths of a second: single runs of few tasks say nothing.
        controller, agent = (sum(parts) / len(cpu) / count * 1000 for parts in zip(*cpu, strict=True))
        print(
            f"{count:>3} tasks: {ours_s:6.3f} s, engine alone {theirs_s:6.3f} s, ratio {ours_s / theirs_s:5.2f}; "
            f"CPU a task: {controller:4.1f} ms controller, {agent:4.1f} ms agent, {controller + agent:4.1f} ms in all",
            flush=True,
        )
    print(f"controller {process_memory(pids[0]):.0f} MiB, agent {process_memory(pids[1]):.0f} MiB")
    idle(ecs, pids, options.idle_seconds)


def clear(engine: Any) -> None:
    """Remove the containers of all tasks."""
    found = engine.containers(all=True, filters={"label": FAMILY_LABEL})
    for container in found:
        engine.remove_container(container["Id"], force=True)


def idle(ecs: Any, pids: tuple[int, int], seconds: float) -> None:
    """CPU of controller, agent and dockerd while 20 tasks run."""
    arns = [
        t["taskArn"]
        for _ in range(2)
        for t in ecs.run_task(taskDefinition=FAMILY, count=10, launchType="EXTERNAL")["tasks"]
    ]
    wait(ecs, arns, "RUNNING", pause=0.1)
    watched = {"controller": pids[0], "agent": pids[1]}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "comm").exists() and (entry / "comm").read_text().strip() == "dockerd":
            watched["dockerd"] = int(entry.name)
    time.sleep(10)
    before = {name: process_cpu(pid) for name, pid in watched.items()}
    time.sleep(seconds)
    shares = {name: (process_cpu(pid) - before[name]) / seconds for name, pid in watched.items()}
    parts = ", ".join(f"{name} {share:.2%}" for name, share in shares.items())
    print(f"20 idle tasks: {sum(shares.values()):.2%} of a core ({parts})")
    for arn in arns:
        ecs.stop_task(task=arn)
    wait(ecs, arns, "STOPPED", pause=0.2)


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    main()
