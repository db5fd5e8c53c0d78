"""The demo's second half: a web service behind a load balancer, under a steady load whose every answer is counted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo_stage import TASK_ID, Cloud, connected, containers_of, expect, show, title, until

RATE = 100
REPLICAS = 3
#: After a kill, failures are allowed for as long as the balancer's checks may take to notice. Seconds.
NOTICE_SECONDS = 10.0
DRAIN_SECONDS = 2


class Load:
    """Requests at a steady rate, in a process of their own."""

    def __init__(self, url: str) -> None:
        script = Path(__file__).with_name("steady_load.py")
        self._process = subprocess.Popen(
            (sys.executable, str(script), url, "--rate", str(RATE)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> list[tuple[float, int, str]]:
        """End it; what came of every request: (when it was due, in seconds since the epoch, status, body)."""
        output, _ = self._process.communicate(timeout=30)
        told = json.loads(output.splitlines()[-1])
        return [(told["began"] + second, status, body) for second, _, status, body in told["results"]]

    def abandon(self) -> None:
        """End it, whatever it was doing."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def load_on(url: str) -> Iterator[Load]:
    """A load that ends with the block."""
    load = Load(url)
    try:
        yield load
    finally:
        load.abandon()


def serve_replicas(cloud: Cloud) -> None:
    """An application load balancer, and a service of three replicas behind it."""
    title(f"A web service of {REPLICAS} replicas behind an application load balancer")
    elb, ec2 = cloud.client("elbv2"), cloud.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
    balancer = elb.create_load_balancer(Name="shop", Subnets=subnets)["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="shop",
        Protocol="HTTP",
        Port=80,
        VpcId=vpc,
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(DRAIN_SECONDS)}
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward)
    (cloud.data / "group").write_text(group)
    cloud.awsorch("apply", "-f", str(application(cloud, 1)), "--yes")
    note_tasks(cloud)
    expect(cloud.awsorch("apply", "-f", str(application(cloud, 1)), "--yes").returncode == 0, "again: nothing to do")
    cloud.awsorch("balancers")
    (cloud.data / "url").write_text(listener_url(cloud))


def roll_out(cloud: Cloud) -> None:
    """Version 2 while every answer is counted."""
    title(f"Version 2, while {RATE} requests a second are counted")
    with load_on(url_of(cloud)) as load:
        time.sleep(1)
        cloud.awsorch("apply", "-f", str(application(cloud, 2)), "--yes")
        time.sleep(1)
        results = load.stop()
    note_tasks(cloud)
    tell(results)
    versions = Counter(body for _, _, body in results)
    expect(versions["version 1"] > 0 and versions["version 2"] > 0, "both versions were served")
    expect(results[-1][2] == "version 2", "the new one in the end")
    expect(not failed(results), "no request failed")


def break_version(cloud: Cloud) -> None:
    """A version that ends as soon as it starts: the circuit breaker turns back."""
    title("A broken version 3: the circuit breaker stops it and turns back")
    with load_on(url_of(cloud)) as load:
        done = cloud.awsorch("apply", "-f", str(application(cloud, 3)), "--yes", code=1)
        time.sleep(1)
        results = load.stop()
    note_tasks(cloud)
    expect("rolling back" in done.stdout + done.stderr, "it says that it turned back")
    cloud.awsorch("history", "shop")
    tell(results)
    expect({body for _, _, body in results} == {"version 2"}, "version 2 was served all the time")
    expect(not failed(results), "no request failed")


def kill_parts(cloud: Cloud) -> None:
    """A container, then a whole instance, killed under load."""
    title("One container is killed under load, then a whole instance")
    with load_on(url_of(cloud)) as load:
        time.sleep(1)
        container_killed = kill_container(cloud)
        until("the replica is replaced", lambda: healthy(cloud) == REPLICAS)
        time.sleep(1)
        instance_killed = kill_instance(cloud)
        until("the replicas are elsewhere", lambda: connected(cloud) == 1 and healthy(cloud) == REPLICAS)
        replaced = time.time()
        time.sleep(2)
        results = load.stop()
    note_tasks(cloud)
    show(f"all {REPLICAS} replicas were healthy again {replaced - instance_killed:.1f} s after the instance died")
    tell(results)
    kills = (container_killed, instance_killed)
    late = [one for one in failed(results) if not any(0 <= one[0] - at + 0.1 <= NOTICE_SECONDS for at in kills)]
    expect(not late, "requests failed only until the balancer's checks noticed")
    cloud.awsorch("events", "shop", "--since", "1m")
    cloud.awsorch("services")


def delete_service(cloud: Cloud) -> None:
    """Gone, waiter and all; its tasks end after their targets have drained."""
    title("The service is deleted")
    show("ecs.delete_service(…, force=True); ecs.get_waiter('services_inactive').wait(…)", style="bold")
    tasks = service_tasks(cloud)
    cloud.ecs.delete_service(service="shop", force=True)
    waiter = cloud.ecs.get_waiter("services_inactive")
    waiter.wait(services=["shop"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    until("its tasks have stopped", lambda: all(cloud.describe(task)["lastStatus"] == "STOPPED" for task in tasks))
    note_tasks(cloud)


def kill_container(cloud: Cloud) -> float:
    container = next(one for one in containers_of(service_tasks(cloud)) if one.status == "running")
    show(f"$ docker kill {container.name[:40]}", style="bold")
    at = time.time()
    container.kill()
    until("it is noticed", lambda: container.labels["com.amazonaws.ecs.task-arn"] not in running_tasks(cloud))
    return at


def kill_instance(cloud: Cloud) -> float:
    """SIGKILL to the agent and all containers of one instance, then it is gone from EC2 as well."""
    arns = cloud.ecs.list_container_instances()["containerInstanceArns"]
    found = cloud.ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
    victim = max(found, key=lambda one: int(one["runningTasksCount"]))
    show(f"$ aws ec2 terminate-instances --instance-ids {victim['ec2InstanceId']}", style="bold")
    at = time.time()
    cloud.client("ec2").terminate_instances(InstanceIds=[victim["ec2InstanceId"]])
    return at


def application(cloud: Cloud, version: int) -> Path:
    """An application file: the task definition and the service of one version; version 3 ends at once."""
    page = f"mkdir -p /www && echo version {version} > /www/index.html && exec httpd -f -p 80 -h /www"
    container = {
        "name": "web",
        "image": "awsorch/busybox:latest",
        "cpu": 64,
        "memory": 32,
        "essential": True,
        "command": ["sh", "-c", page if version < 3 else "echo 'no such table: prices'; exit 1"],
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
        "linuxParameters": {"initProcessEnabled": True},
    }
    service = {
        "serviceName": "shop",
        "taskDefinition": "shop",
        "desiredCount": REPLICAS,
        "loadBalancers": [
            {"targetGroupArn": (cloud.data / "group").read_text(), "containerName": "web", "containerPort": 80}
        ],
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    }
    file = cloud.data / "shop.json"
    definition = {"family": "shop", "containerDefinitions": [container]}
    file.write_text(json.dumps({"taskDefinitions": [definition], "services": [service]}))
    return file


def url_of(cloud: Cloud) -> str:
    return (cloud.data / "url").read_text()


def listener_url(cloud: Cloud) -> str:
    told = json.loads(cloud.quietly("balancers", "--json"))
    text = json.dumps(told)
    start = text.index("http://", text.index('"shop"'))
    return text[start : text.index('"', start)] + "/"


def service_tasks(cloud: Cloud) -> list[str]:
    return [arn.rpartition("/")[2] for arn in running_tasks(cloud)]


def running_tasks(cloud: Cloud) -> list[str]:
    return list(cloud.ecs.list_tasks(serviceName="shop")["taskArns"])


def healthy(cloud: Cloud) -> int:
    """Targets of the service that the balancer calls healthy."""
    group = (cloud.data / "group").read_text()
    health = cloud.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return sum(one["TargetHealth"]["State"] == "healthy" for one in health)


def note_tasks(cloud: Cloud) -> None:
    """Remember every task that the service ever had: their containers are to be gone in the end."""
    (service,) = cloud.ecs.describe_services(services=["shop"])["services"]
    found = {task_id for event in service["events"] for task_id in TASK_ID.findall(event["message"])}
    cloud.tasks.extend(sorted(found - set(cloud.tasks)))


def failed(results: list[tuple[float, int, str]]) -> list[tuple[float, int, str]]:
    return [one for one in results if one[1] != 200]


def tell(results: list[tuple[float, int, str]]) -> None:
    """Print how many requests there were, and what came of them."""
    counts: Counter[str] = Counter()
    for _, status, body in results:
        counts[body if status == 200 else f"failed: {status or body}"] += 1
    parts = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    show(f"{len(results)} requests: {parts}; {len(failed(results))} failed", style="bold")


SERVICE_SCENES: tuple[Any, ...] = (serve_replicas, roll_out, break_version, kill_parts, delete_service)
