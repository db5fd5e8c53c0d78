"""The second demo: what a task is given. A role, a secret, files, logs, a shell, and a network of its own.

Each of its instances is a host of its own (Linux, root), with real interfaces and a Docker Engine; nothing is left
behind. `make demo` shows the rest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

from demo_stage import IMAGE, ROOT, Cloud, expect, play, show, title, until

from awsorch.local.netns import what_is_missing

SDK_IMAGE = "awsorch/sdk:latest"
ROLE = "arn:aws:iam::123456789012:role/{}"
TRUST = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
CODE = """
import boto3, os, time
print("I am", boto3.client("sts").get_caller_identity()["Arn"])
print("the password has", len(os.environ["PASSWORD"]), "letters")
open("/data/visits", "a").write("x")
print("visits:", len(open("/data/visits").read()), flush=True)
time.sleep(600)
"""
WEB = """
mkdir -p /w
echo "version VERSION at $(hostname -i)" > /w/index.html
trap 'exit 0' TERM
httpd -f -p 80 -h /w & wait
"""
REPLICAS = 2


def start_cloud(cloud: Cloud) -> None:
    title("A cloud of three instances, each a host of its own")
    subprocess.run((sys.executable, str(ROOT / "scripts" / "sdk_image.py")), check=True, timeout=120)
    settings = ("--instances", "3", "--port", str(cloud.port), "--data", str(cloud.data))
    cloud.awsorch("up", "--detach", "--hosts", "netns", *settings)


def prepare(cloud: Cloud) -> None:
    """What the task's definition names."""
    iam = cloud.client("iam")
    for name in ("app", "exec"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
    cloud.client("secretsmanager").create_secret(Name="db", SecretString='{"password": "hush"}')


def run_sdk_task(cloud: Cloud) -> None:
    title("A task of an image with an AWS SDK in it, and no settings: who it is, what it knows, where it writes")
    prepare(cloud)
    logs = {"awslogs-group": "/demo", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app"}
    secret = cloud.client("secretsmanager").describe_secret(SecretId="db")["ARN"]
    cloud.ecs.register_task_definition(
        family="given",
        taskRoleArn=ROLE.format("app"),
        executionRoleArn=ROLE.format("exec"),
        volumes=[{"name": "data"}],
        containerDefinitions=[
            {
                "name": "app",
                "image": SDK_IMAGE,
                "memory": 128,
                "stopTimeout": 2,
                "command": ["python", "-c", CODE],
                "secrets": [{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}],
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {**logs, "awslogs-create-group": "true"}},
            }
        ],
    )
    answer = cloud.ecs.run_task(taskDefinition="given", enableExecuteCommand=True)
    expect(not answer["failures"], "RunTask starts it")
    task = answer["tasks"][0]["taskArn"].rpartition("/")[2]
    cloud.tasks.append(task)
    until("it is RUNNING", lambda: cloud.describe(task)["lastStatus"] == "RUNNING")
    until("its lines are in CloudWatch Logs", lambda: "visits: 1" in cloud.quietly("logs", task[:8]))
    said = cloud.awsorch("logs", task[:8]).stdout
    expect(f":assumed-role/app/{task}" in said, "it is its task role, in a session of its own")
    expect("the password has 4 letters" in said, "it has its secret")


def open_a_shell(cloud: Cloud) -> None:
    title("A shell in it (ECS Exec); the exit code comes back")
    task = cloud.tasks[-1]
    done = cloud.awsorch("exec", task[:8], "--", "sh", "-c", "wc -c < /data/visits; exit 7", code=7)
    expect(done.stdout.split() == ["1"], "it sees the task's volume")
    cloud.awsorch("stop", task[:8])


def serve_in_vpc(cloud: Cloud) -> None:
    title(f"{REPLICAS} tasks with addresses and security groups of their own, behind a load balancer's ip targets")
    ec2, elb = cloud.client("ec2"), cloud.client("elbv2")
    subnets = [each for each in ec2.describe_subnets()["Subnets"] if each["CidrBlock"].startswith("10.")]
    vpc, ids = subnets[0]["VpcId"], [each["SubnetId"] for each in subnets]
    named = {"GroupName": "closed", "Description": "nobody but load balancers"}
    closed = ec2.create_security_group(**named, VpcId=vpc)["GroupId"]
    balancer = elb.create_load_balancer(Name="web", Subnets=ids)["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", HealthCheckIntervalSeconds=5
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "2"}
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward)
    register_web(cloud, 1)
    cloud.ecs.create_service(
        serviceName="web",
        taskDefinition="web",
        desiredCount=REPLICAS,
        networkConfiguration={"awsvpcConfiguration": {"subnets": ids, "securityGroups": [closed]}},
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 80}],
    )
    until("the service is steady", lambda: is_steady(cloud))
    for task in web_tasks(cloud):
        show(f"task {task['taskArn'].rpartition('/')[2][:8]} at {address_of(task)} in {task['availabilityZone']}")
    health = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    addresses = {address_of(task) for task in web_tasks(cloud)}
    expect({each["Target"]["Id"] for each in health} == addresses, "the targets are the tasks' own addresses")
    url = f"http://{elb.describe_load_balancers(Names=['web'])['LoadBalancers'][0]['DNSName']}/"
    answers = {read(url) for _ in range(10)}
    show("\n".join(sorted(answers)))
    expect(len(answers) == REPLICAS, "each answers")
    follow(cloud, url)


def follow(cloud: Cloud, url: str) -> None:
    """Version 2 while requests are counted."""
    register_web(cloud, 2)
    cloud.ecs.update_service(service="web", taskDefinition="web")
    asked, failed = 0, 0
    while not (asked and is_steady(cloud)):
        asked += 1
        failed += not read(url).startswith("version ")
        time.sleep(0.02)
    show(f"version 2 came while {asked} requests were sent; {failed} failed")
    expect(not failed, "no request failed")
    expect(read(url).startswith("version 2"), "the new one answers")
    cloud.awsorch("services")
    cloud.ecs.delete_service(service="web", force=True)
    until("no interface is left", lambda: not interfaces(cloud))
    show("the service is deleted, and no network interface is left")


def register_web(cloud: Cloud, version: int) -> None:
    command = ["sh", "-c", WEB.replace("VERSION", str(version))]
    container = {"name": "web", "image": IMAGE, "memory": 32, "stopTimeout": 2, "command": command}
    cloud.ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        containerDefinitions=[{**container, "portMappings": [{"containerPort": 80}]}],
    )


def is_steady(cloud: Cloud) -> bool:
    (service,) = cloud.ecs.describe_services(services=["web"])["services"]
    (first, *rest) = service["deployments"]
    return not rest and first["rolloutState"] == "COMPLETED" and service["runningCount"] == REPLICAS


def web_tasks(cloud: Cloud) -> list[dict[str, Any]]:
    arns = cloud.ecs.list_tasks(serviceName="web")["taskArns"]
    return list(cloud.ecs.describe_tasks(tasks=arns)["tasks"])


def address_of(task: dict[str, Any]) -> str:
    return str(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"])


def interfaces(cloud: Cloud) -> list[Any]:
    tagged = [{"Name": "tag-key", "Values": ["awsorch:attachment"]}]
    return list(cloud.client("ec2").describe_network_interfaces(Filters=tagged)["NetworkInterfaces"])


def read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode().strip())
    except OSError as error:
        return f"failed: {error}"


def stop_cloud(cloud: Cloud) -> None:
    title("And the cloud is gone")
    cloud.awsorch("down", "--data", str(cloud.data))


SCENES = (start_cloud, run_sdk_task, open_a_shell, serve_in_vpc, stop_cloud)


def main() -> int:
    missing = what_is_missing()
    if missing:
        show(f"✗ Instances that are hosts of their own need {missing}.", style="bold red")
        return 1
    return play(SCENES)


if __name__ == "__main__":
    sys.exit(main())
