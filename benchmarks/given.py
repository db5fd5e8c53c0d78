"""What do roles, secrets, CloudWatch logs and a shared volume add to the start of 50 tasks?

The same containers, with the volume, are created and started straight through the Docker SDK; the ratio of medians
counts: at most 1.35. AWS is a server of a few lines beside it, which answers at once: its own time is not the question.
Then one agent lives through many tasks' lives, and its memory must not grow by more than 10 MiB.

    python benchmarks/given.py [--count 50] [--repeats 5] [--lives 2000]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from aiohttp import web

sys.path.insert(0, os.path.dirname(__file__))
from api import client
from sink_agent import free_port, process_memory, running, wait_for_port
from start import COMMAND, CPU_SHARES, FAMILY, FAMILY_LABEL, IMAGE, NO_CLEANUP, agent_settings, clear, through_ecs, wait

LIMIT, GROWTH_MIB = 1.35, 10.0
VOLUME = "bench-given"
ROLE = "arn:aws:iam::123456789012:role/bench"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:bench-AbCdEf"
ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIABENCH</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>a</Arn><AssumedRoleId>i</AssumedRoleId>
</AssumedRoleUser></AssumeRoleResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleResponse>"""


def serve(port: int) -> None:
    """As much of AWS as is asked here."""

    async def answer(request: web.Request) -> web.Response:
        if "Action=AssumeRole" in await request.text():
            return web.Response(text=ASSUMED, content_type="text/xml")
        secret = request.headers.get("X-Amz-Target", "").startswith("secretsmanager")
        body = {"ARN": SECRET, "SecretString": '{"password": "hush"}'} if secret else {}
        return web.Response(text=json.dumps(body), content_type="application/x-amz-json-1.1")

    app = web.Application()
    app.router.add_post("/", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def direct(engine: Any, count: int) -> float:
    """Seconds to create and start the containers by hand."""

    def one(_: int) -> str:
        host = engine.create_host_config(
            mem_limit="16m", cpu_shares=CPU_SHARES, log_config={"type": "json-file"}, binds=[f"{VOLUME}:/data"]
        )
        made = engine.create_container(IMAGE, COMMAND, host_config=host, stop_signal="SIGKILL", volumes=["/data"])
        engine.start(made["Id"])
        return str(made["Id"])

    began = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(one, range(count)))
    spent = time.perf_counter() - began
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: engine.remove_container(i, force=True), ids))
    return spent


def register(ecs: Any) -> None:
    """The definition of the tasks."""
    options = {"awslogs-group": "bench", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "b"}
    ecs.register_task_definition(
        family=FAMILY,
        taskRoleArn=ROLE,
        executionRoleArn=ROLE,
        volumes=[{"name": "data", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}}],
        containerDefinitions=[
            {
                "name": "app",
                "image": IMAGE,
                "command": COMMAND,
                "memory": 16,
                "stopTimeout": 2,
                "secrets": [{"name": "PASSWORD", "valueFrom": f"{SECRET}:password::"}],
                "logConfiguration": {"logDriver": "awslogs", "options": options},
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
            }
        ],
    )


def live(ecs: Any, engine: Any, agent: int, lives: int) -> float:
    """How much the agent's memory has grown, in MiB, after so many tasks have run and gone."""
    before, done = 0.0, 0
    while done < lives:
        arns = [
            task["taskArn"]
            for _ in range(5)
            for task in ecs.run_task(taskDefinition=FAMILY, count=10, launchType="EXTERNAL")["tasks"]
        ]
        wait(ecs, arns, "RUNNING", pause=0.05)
        for arn in arns:
            ecs.stop_task(task=arn)
        wait(ecs, arns, "STOPPED", pause=0.05)
        done += len(arns)
        if not before and done >= lives / 10:  # what is only needed once is there by now
            before = process_memory(agent)
    grown = process_memory(agent) - before
    with contextlib.suppress(docker.errors.APIError):  # the agent cleans up, too
        clear(engine)
    return grown


def main() -> int:
    """Run it; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lives", type=int, default=2000)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    port, aws = free_port(), free_port()
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with tempfile.TemporaryDirectory() as data:
        server = {
            "AWSORCH_PORT": str(port),
            "AWSORCH_DATA_DIR": data,
            "AWSORCH_LOG_LEVEL": "ERROR",
            "AWSORCH_AWS_ENDPOINT": f"http://127.0.0.1:{aws}",
        }
        agent_environment = agent_settings(port, data) | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws}",
            "AWSORCH_AWSLOGS_BY_AGENT": "true",
            "ECS_AVAILABLE_LOGGING_DRIVERS": '["json-file","awslogs"]',
            "ECS_ENABLE_TASK_IAM_ROLE": "true",
            "AWSORCH_TASK_FRONT": "127.0.0.1",
        }
        with (
            running([sys.executable, __file__, "--serve", str(aws)]),
            running([sys.executable, "-m", "awsorch.app"], env=server) as controller,
        ):
            wait_for_port(aws)
            wait_for_port(port)
            ecs, engine = client(port), docker.APIClient()
            ecs.create_cluster(clusterName="default")
            register(ecs)
            with running([sys.executable, "-m", "awsorch.agent"], env=agent_environment | NO_CLEANUP) as agent:
                joined(ecs)
                ratio = compare(ecs, engine, options, (controller.pid, agent.pid))
            with running([sys.executable, "-m", "awsorch.agent"], env=agent_environment) as agent:
                joined(ecs)
                growth = live(ecs, engine, agent.pid, options.lives) if options.lives else 0.0
                print(f"{options.lives} lives of tasks: the agent has {growth:+.1f} MiB (limit {GROWTH_MIB:g})")
            clear_all(engine)
    return int(ratio > LIMIT or growth > GROWTH_MIB)


def clear_all(engine: Any) -> None:
    """Remove what is left, also of what an agent that has ended was about to remove."""
    for container in engine.containers(all=True, filters={"label": FAMILY_LABEL}):
        with contextlib.suppress(docker.errors.NotFound):
            engine.remove_container(container["Id"], force=True)
    for volume in ("data", VOLUME):
        engine.remove_volume(volume, force=True)


def joined(ecs: Any) -> None:
    """Wait for the agent."""
    while not ecs.list_container_instances(filter="agentConnected == true")["containerInstanceArns"]:
        time.sleep(0.1)


def compare(ecs: Any, engine: Any, options: argparse.Namespace, pids: tuple[int, int]) -> float:
    """Print and answer the ratio."""
    through_ecs(ecs, engine, 1, pids)
    ours, theirs, cpu = [], [], []
    for _ in range(options.repeats):
        theirs.append(direct(engine, options.count))
        spent, used = through_ecs(ecs, engine, options.count, pids)
        ours.append(spent)
        cpu.append(sum(used) / options.count * 1000)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"{options.count} tasks with roles, a secret, awslogs and a shared volume: {statistics.median(ours):.3f} s, "
        f"engine alone {statistics.median(theirs):.3f} s, ratio {ratio:.2f} (limit {LIMIT}); CPU a task "
        f"{statistics.mean(cpu):.1f} ms of controller and agent",
        flush=True,
    )
    return ratio


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
