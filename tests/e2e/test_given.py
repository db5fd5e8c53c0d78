"""What a task is given, as an image with an SDK in it finds it: a role, secrets, files, logs; and what it is not."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import Any

import boto3
import docker
import pytest

from tests.e2e.conftest import ROOT, Cloud, until

pytestmark = pytest.mark.timeout(240)

ROLE = "arn:aws:iam::123456789012:role/{}"
IMAGE = "awsorch/sdk:latest"
LOOKS = """
import boto3, os
print(boto3.client("sts").get_caller_identity()["Arn"])
print(os.environ["PASSWORD"], os.environ["NAME"], os.environ["COLOUR"], os.environ["SIZE"])
print(boto3.client("secretsmanager").get_secret_value(SecretId="db")["SecretString"])
open("/data/seen", "a").write("x"); print(len(open("/data/seen").read()))
"""
ATTACKS = """
import collections, os, urllib.error, urllib.request, uuid
def ask(path):
    try:
        return urllib.request.urlopen("http://169.254.170.2" + path, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
print("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" in os.environ)
print(ask("/v2/credentials/" + str(uuid.uuid4())), ask("/v2/credentials/"), ask("/v2/credentials/../../etc/passwd"))
counted = collections.Counter(ask("/v2/credentials/" + str(uuid.uuid4())) for _ in range(300))
print(sorted(counted), counted[429] > 200)
"""


@pytest.fixture(scope="module")
def given(cloud: Cloud) -> Cloud:
    """A cloud with roles, a secret, a parameter, an environment file, and the image."""
    subprocess.run((sys.executable, str(ROOT / "scripts" / "sdk_image.py")), check=True, timeout=120)
    trusts = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for name in ("app", "exec"):
        client(cloud, "iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trusts]}))
    client(cloud, "secretsmanager").create_secret(Name="db", SecretString='{"password": "hush"}')
    client(cloud, "ssm").put_parameter(Name="/app/name", Value="of a path", Type="SecureString")
    client(cloud, "s3").create_bucket(Bucket="config")
    client(cloud, "s3").put_object(Bucket="config", Key="app.env", Body=b"# none\nCOLOUR=blue\nSIZE=file\n")
    return cloud


def client(cloud: Cloud, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)


def run(cloud: Cloud, family: str, code: str, **container: Any) -> dict[str, Any]:
    """Run Python code as a task until it has stopped."""
    roles = {"taskRoleArn": ROLE.format("app")} if container.pop("has_role", True) else {}
    cloud.ecs.register_task_definition(
        family=family,
        executionRoleArn=ROLE.format("exec"),
        volumes=[{"name": "data"}],
        containerDefinitions=[
            {
                "name": "app",
                "image": IMAGE,
                "memory": 128,
                "command": ["python", "-c", code],
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
                **container,
            }
        ],
        **roles,
    )
    answer = cloud.ecs.run_task(taskDefinition=family)
    assert not answer["failures"]
    arn = answer["tasks"][0]["taskArn"]
    until(f"{family} has stopped", lambda: cloud.describe(arn)["lastStatus"] == "STOPPED")
    return cloud.describe(arn)


def awslogs(group: str, **options: str) -> dict[str, Any]:
    wanted = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}
    return {"logDriver": "awslogs", "options": wanted | options}


def test_an_unchanged_image_finds_everything(given: Cloud) -> None:
    secret = client(given, "secretsmanager").describe_secret(SecretId="db")["ARN"]
    task = run(
        given,
        "looks",
        LOOKS,
        secrets=[
            {"name": "PASSWORD", "valueFrom": f"{secret}:password::"},
            {"name": "NAME", "valueFrom": "/app/name"},
        ],
        environment=[{"name": "SIZE", "value": "definition"}],
        environmentFiles=[{"value": "arn:aws:s3:::config/app.env", "type": "s3"}],
        logConfiguration=awslogs("/looks", **{"awslogs-create-group": "true"}),
    )
    id = task["taskArn"].rpartition("/")[2]
    said = [
        f"arn:aws:sts::123456789012:assumed-role/app/{id}",
        "hush of a path blue definition",
        '{"password": "hush"}',
        "1",
    ]
    assert task["containers"][0]["exitCode"] == 0, given.awsorch("logs", id).stdout
    assert given.awsorch("logs", id).stdout.splitlines() == said

    def in_cloudwatch() -> list[str]:
        answer = client(given, "logs").get_log_events(
            logGroupName="/looks", logStreamName=f"web/app/{id}", startFromHead=True
        )
        return [each["message"] for each in answer["events"]]

    until("its lines are in CloudWatch Logs", lambda: in_cloudwatch() == said)
    assert "hush" not in given.awsorch("describe", id).stdout
    described = json.dumps(given.describe(task["taskArn"]), default=str)
    assert "hush" not in described
    kept = [
        path
        for path in given.data.rglob("*")
        if path.is_file() and "upstream" not in path.parts and b"hush" in path.read_bytes()
    ]
    assert kept == [], "values are with AWS and in containers, nowhere else"


@pytest.mark.parametrize(
    ("family", "container", "reason"),
    [
        (
            "no-secret",
            {"secrets": [{"name": "S", "valueFrom": "/none"}]},
            "ResourceInitializationError: unable to pull secrets or registry auth: Fetching secret data from SSM "
            "Parameter Store in us-east-1: invalid parameters: /none",
        ),
        (
            "no-file",
            {"environmentFiles": [{"value": "arn:aws:s3:::config/none.env", "type": "s3"}]},
            "ResourceInitializationError: failed to download env files: unable to download env file with key none.env "
            "from bucket config: NoSuchKey: The specified key does not exist.",
        ),
    ],
)
def test_what_cannot_be_had_is_said(given: Cloud, family: str, container: dict[str, Any], reason: str) -> None:
    task = run(given, family, LOOKS, **container)
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", reason)


def test_a_log_group_that_is_not_there_is_said(given: Cloud) -> None:
    task = run(given, "no-group", LOOKS, logConfiguration=awslogs("/none"))
    assert task["containers"][0]["reason"] == (
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create "
        "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
    )


def test_tasks_share_a_file_system(given: Cloud) -> None:
    """Whichever instances they are on, and after they have gone."""
    efs = {"fileSystemId": "fs-0123456789abcdef0", "rootDirectory": "/shared"}
    said = []
    for number in (1, 2):
        family = f"shares-{number}"
        mount = [{"sourceVolume": "files", "containerPath": "/files"}]
        command = ["sh", "-c", f"echo {number} >> /files/log; cat /files/log"]
        container = {"name": "app", "image": "awsorch/busybox:latest", "memory": 16, "command": command}
        given.ecs.register_task_definition(
            family=family,
            volumes=[{"name": "files", "efsVolumeConfiguration": efs}],
            containerDefinitions=[{**container, "mountPoints": mount}],
        )
        arn = given.ecs.run_task(taskDefinition=family)["tasks"][0]["taskArn"]
        until(f"{family} has stopped", lambda arn=arn: given.describe(arn)["lastStatus"] == "STOPPED")  # type: ignore[misc]
        said.append(given.awsorch("logs", arn).stdout.split())
    assert said == [["1"], ["1", "2"]]


ROUTES = """
import os, socket, sys
print(open("/fluent-bit/etc/fluent-bit.conf").read().count("[INPUT]"), "inputs", flush=True)
server = socket.socket(socket.AF_UNIX)
server.bind("/var/run/fluent.sock")
server.listen()
connection, _ = server.accept()
seen = b""
while b"last line" not in seen:
    seen += connection.recv(65536)
print(seen.count(b"hello from app"), b"app-firelens-" in seen, b"container_name" in seen, flush=True)
"""
"""Stands in for Fluent Bit: says what it got."""


def test_lines_go_through_the_log_router(given: Cloud) -> None:
    router = {
        "name": "router",
        "image": IMAGE,
        "memory": 64,
        "essential": True,
        "command": ["python", "-c", ROUTES],
        "firelensConfiguration": {"type": "fluentbit"},
    }
    app = {
        "name": "app",
        "image": "awsorch/busybox:latest",
        "memory": 16,
        "essential": False,
        "command": ["sh", "-c", "for each in 1 2 3; do echo hello from app; done; echo last line; sleep 60"],
        "stopTimeout": 2,
        "logConfiguration": {"logDriver": "awsfirelens", "options": {"Name": "stdout"}},
    }
    given.ecs.register_task_definition(family="routes", containerDefinitions=[app, router])
    arn = given.ecs.run_task(taskDefinition="routes")["tasks"][0]["taskArn"]
    until("the router has seen the last line", lambda: given.describe(arn)["lastStatus"] == "STOPPED")
    said = given.awsorch("logs", arn, "-c", "router").stdout.splitlines()
    assert said == ["3 inputs", "3 True True"]


def test_a_definition_for_ecr_runs_what_was_built_here_under_its_name(given: Cloud) -> None:
    repository = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/built-{uuid.uuid4().hex}"
    engine = docker.from_env()
    try:
        engine.images.get("awsorch/busybox:latest").tag(repository, "1")
        task = run(given, "ecr", "", image=f"{repository}:1", command=["sh", "-c", "exit 7"])
        (container,) = task["containers"]
        assert (container["image"], container["exitCode"]) == (f"{repository}:1", 7)
        engine.images.remove(f"{repository}:1", force=True)
    finally:
        engine.close()


def test_a_hostile_container_gets_nothing_and_disturbs_nobody(given: Cloud) -> None:
    task = run(given, "attacks", ATTACKS, has_role=False)
    said = given.awsorch("logs", task["taskArn"]).stdout.splitlines()
    assert said == ["False", "400 400 400", "[400, 429] True"]
    assert (
        run(given, "after", "import boto3; boto3.client('sts').get_caller_identity()")["containers"][0]["exitCode"] == 0
    )
