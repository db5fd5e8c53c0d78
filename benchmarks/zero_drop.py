"""Does anybody notice a rolling update? Ten replicas behind the local load balancer, a steady load, five updates.

A local cloud (`awsorch up`) of two instances, an application load balancer, ten tasks; then as many requests a second
as asked for, whose rate does not give way, at rest and during the updates, in turn, so that what else the machine does
meanwhile is in both. No request may fail, and the 99th percentile during the updates may be at most twice that at rest.
The instances are hosts of their own (`--hosts netns`), so that requests reach containers as in an account: by the
kernel. With `--hosts loopback` they share this machine's engine, and its docker-proxy, one process a port, hands over
every byte.

    python benchmarks/zero_drop.py [--rate 500] [--updates 5] [--rest-seconds 10] [--hosts netns|loopback]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import docker

sys.path.insert(0, str(Path(__file__).parent))
from sink_agent import free_port

ROOT = Path(__file__).parent.parent
AWSORCH = Path(sys.executable).with_name("awsorch")
REPLICAS = 10
BASE = "awsorch/busybox:latest"
#: A web server that keeps connections: one that forks for each request would need all the CPU there is.
IMAGE = "awsorch/benchmark-web:latest"
SERVER = "/usr/sbin/haproxy"
CONFIGURATION = """\
global
  nbthread 1
defaults
  mode http
  timeout client 60s
frontend web
  bind :80
  http-request return status 200 content-type text/plain string \\"version {version}\\"
"""
#: The one who measures must not wait for a CPU itself, whatever runs.
AHEAD = ("chrt", "--rr", "1")
TIMES = 2.0
LIMIT_S = 180.0


@contextmanager
def cloud(hosts: str) -> Iterator[int]:
    """A local cloud of its own; its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="awsorch-zero-drop-") as data:
        up = (AWSORCH, "up", "--detach", "--hosts", hosts, "--instance-type", "m5.xlarge", "--port", str(port))
        subprocess.run((*up, "--data", data), check=True, stdout=subprocess.DEVNULL)
        try:
            yield port
        finally:
            subprocess.run((AWSORCH, "down", "--data", data, "--remove"), check=True, stdout=subprocess.DEVNULL)


def client(service: str, port: int) -> Any:
    """A boto3 client of the cloud."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **keys)


def balancer(port: int) -> tuple[str, str]:
    """An application load balancer; its URL and its target group."""
    elb, ec2 = client("elbv2", port), client("ec2", port)
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    made = elb.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = elb.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=vpc, HealthCheckIntervalSeconds=5, HealthyThresholdCount=2
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "3"}
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    elb.create_listener(LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward)
    return f"http://{made['DNSName']}/", group


def build_server() -> None:
    """An image of the machine's own HAProxy, which answers by itself, with the libraries that it needs."""
    linked = subprocess.run(("ldd", SERVER), check=True, capture_output=True, text=True).stdout
    files = [SERVER, *(word for word in linked.split() if word.startswith("/"))]
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for file in files:
            archive.add(os.path.realpath(file), arcname=f"root{file}")
        dockerfile = f"FROM {BASE}\nCOPY root /\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        archive.addfile(entry, io.BytesIO(dockerfile))
    context.seek(0)
    for line in docker.APIClient().build(fileobj=context, custom_context=True, tag=IMAGE, rm=True, decode=True):
        if "error" in line:
            raise RuntimeError(line["error"])


def register(ecs: Any, version: int) -> str:
    """A revision whose page says which version it is."""
    configuration = CONFIGURATION.format(version=version).replace("\n", "\\n")
    command = f'printf "{configuration}" > /server.cfg && exec {SERVER} -db -f /server.cfg'
    container = {
        "name": "web",
        "image": IMAGE,
        "memory": 32,
        "cpu": 256,
        "command": ["sh", "-c", command],
        "portMappings": [{"containerPort": 80}],
        # Process 1 is spared from signals that it does not handle, and HAProxy leaves SIGTERM to the kernel.
        "linuxParameters": {"initProcessEnabled": True},
    }
    answer = ecs.register_task_definition(family="web", containerDefinitions=[container])
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def until_rolled_out(ecs: Any) -> None:
    """Until the PRIMARY deployment is COMPLETED."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        primary = ecs.describe_services(services=["web"])["services"][0]["deployments"][0]
        if primary["rolloutState"] == "COMPLETED":
            return
        assert primary["rolloutState"] == "IN_PROGRESS", primary
        time.sleep(0.2)
    raise TimeoutError("the rollout did not end")


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def main() -> int:
    """Run it; 1 where a request failed or the answers came late."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--maximum-percent", type=int, default=120)
    parser.add_argument("--rest-seconds", type=float, default=10.0, help="before each update and after the last")
    parser.add_argument("--hosts", choices=("netns", "loopback"), default="netns")
    options = parser.parse_args()
    build_server()
    with cloud(options.hosts) as port:
        ecs = client("ecs", port)
        url, group = balancer(port)
        entry = {"targetGroupArn": group, "containerName": "web", "containerPort": 80}
        ecs.create_service(
            serviceName="web",
            taskDefinition=register(ecs, 0),
            desiredCount=REPLICAS,
            loadBalancers=[entry],
            deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": options.maximum_percent},
        )
        until_rolled_out(ecs)
        time.sleep(5)
        updates, results = measure(ecs, url, options)
    return report(updates, results, options)


def measure(ecs: Any, url: str, options: argparse.Namespace) -> tuple[list[tuple[float, float]], Any]:
    """When each update began and ended, and what came of every request."""
    command = (*AHEAD, sys.executable, str(ROOT / "scripts" / "steady_load.py"), url, "--rate", str(options.rate))
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        updates = []
        for version in range(1, options.updates + 1):
            time.sleep(options.rest_seconds)
            began = time.time()
            ecs.update_service(service="web", taskDefinition=register(ecs, version))
            until_rolled_out(ecs)
            updates.append((began, time.time()))
        time.sleep(options.rest_seconds)
        output, _ = load.communicate(timeout=60)
    finally:
        load.kill()
    return updates, json.loads(output.splitlines()[-1])


def report(updates: list[tuple[float, float]], told: Any, options: argparse.Namespace) -> int:
    """Print what there is to see."""
    at_rest, during, failed, versions = [], [], [], set()
    for second, spent, status, body in told["results"]:
        at = told["began"] + second
        (during if any(began <= at <= ended for began, ended in updates) else at_rest).append(spent)
        versions.add(body)
        if status != 200:
            failed.append((round(second, 1), status, body))
    spans = ", ".join(f"{ended - began:.1f}" for began, ended in updates)
    print(f"{len(told['results'])} requests at {options.rate:.0f}/s")
    print(f"{len(updates)} updates of {REPLICAS} tasks: {spans} s")
    print(f"failed: {len(failed)} {failed[:5] if failed else ''}".rstrip())
    rest, rolling = percentile(at_rest, 0.99), percentile(during, 0.99)
    halves = percentile(at_rest, 0.5), percentile(during, 0.5)
    print(
        f"p50 {halves[0]:.1f} ms at rest, {halves[1]:.1f} ms during updates; p99 {rest:.1f} ms and {rolling:.1f} ms: "
        f"{rolling / rest:.2f} x"
    )
    seen_all = len(versions) == options.updates + 1
    return 0 if not failed and seen_all and rolling <= TIMES * rest else 1


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())
