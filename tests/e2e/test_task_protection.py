"""A service's task protects itself from inside its container, outlives a scale-in, and lets go."""

from __future__ import annotations

import json
from typing import Any

import boto3
import docker
import pytest

from tests.e2e.conftest import TASK_LABEL, Cloud, until

pytestmark = pytest.mark.timeout(240)

SERVICE = "protected"
SETTLE_SECONDS = 90
ASK = """
set -e
rest=${ECS_AGENT_URI#http://}; address=${rest%%/*}
case $address in *:*) ;; *) address=$address:80 ;; esac
mkfifo /tmp/in
timeout 5 nc ${address%:*} ${address#*:} < /tmp/in > /tmp/out & exec 3> /tmp/in
printf '%s /%s/task-protection/v1/state HTTP/1.0\\r\\nHost: agent\\r\\nContent-Length: %d\\r\\n\\r\\n%s' \\
    "$1" "${rest#*/}" ${#2} "$2" >&3
wait; exec 3>&-; rm /tmp/in; cat /tmp/out
"""
"""METHOD BODY: what the agent answers to the container that asks (its shell has nc, and no HTTP client)."""


def ask(task: str, method: str, body: str = "") -> str:
    """What a container of the task hears from its agent."""
    engine = docker.from_env()
    try:
        (container,) = engine.containers.list(filters={"label": f"{TASK_LABEL}={task}"})
        done = engine.api.exec_create(container.id, ["sh", "-c", ASK, "sh", method, body])
        return bytes(engine.api.exec_start(done["Id"])).decode()
    finally:
        engine.close()


def service_of(cloud: Cloud) -> dict[str, Any]:
    (service,) = cloud.ecs.describe_services(services=[SERVICE])["services"]
    return dict(service)


def running(cloud: Cloud) -> set[str]:
    return {
        task
        for task in cloud.ecs.list_tasks(serviceName=SERVICE, desiredStatus="RUNNING")["taskArns"]
        if cloud.describe(task)["lastStatus"] == "RUNNING"
    }


@pytest.fixture(scope="module")
def definition(cloud: Cloud) -> str:
    container = {
        "name": "app",
        "image": "awsorch/busybox:latest",
        "command": ["sleep", "3600"],
        "memory": 16,
        "stopTimeout": 2,
    }
    trusts = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    iam = boto3.client("iam", endpoint_url=cloud.endpoint, region_name="us-east-1", **keys)
    role = iam.create_role(RoleName="sleeper", AssumeRolePolicyDocument=json.dumps({"Statement": [trusts]}))["Role"]
    answer = cloud.ecs.register_task_definition(
        family="sleeper", taskRoleArn=role["Arn"], containerDefinitions=[container]
    )
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def test_a_task_that_protects_itself_is_not_scaled_in(cloud: Cloud, definition: str) -> None:
    cloud.ecs.create_service(serviceName=SERVICE, taskDefinition=definition, desiredCount=3)
    try:
        until("three tasks run", lambda: len(running(cloud)) == 3, SETTLE_SECONDS)
        chosen = max(running(cloud))
        answer = ask(chosen, "PUT", '{"ProtectionEnabled":true,"ExpiresInMinutes":60}')
        assert "200 OK" in answer
        assert f'"ProtectionEnabled":true,"TaskArn":"{chosen}"}}}}' in answer
        (seen,) = cloud.ecs.get_task_protection(cluster="default", tasks=[chosen])["protectedTasks"]
        assert seen["protectionEnabled"]

        cloud.ecs.update_service(service=SERVICE, desiredCount=0)
        until("the others are gone", lambda: running(cloud) == {chosen}, SETTLE_SECONDS)
        until("the service has noticed", lambda: service_of(cloud)["runningCount"] == 1, SETTLE_SECONDS)
        assert '"ProtectionEnabled":true' in ask(chosen, "GET")

        answer = ask(chosen, "PUT", '{"ProtectionEnabled":false}')
        assert '"ExpirationDate":null,"ProtectionEnabled":false' in answer
        until("nothing is left", lambda: not running(cloud), SETTLE_SECONDS)
        until("it is stopped", lambda: cloud.describe(chosen)["lastStatus"] == "STOPPED", SETTLE_SECONDS)
    finally:
        cloud.ecs.delete_service(service=SERVICE, force=True)


def test_a_task_of_no_service_is_told_so(cloud: Cloud, definition: str) -> None:
    started = cloud.ecs.run_task(taskDefinition=definition)["tasks"][0]["taskArn"]
    try:
        until("it runs", lambda: cloud.describe(started)["lastStatus"] == "RUNNING", SETTLE_SECONDS)
        answer = ask(started, "PUT", '{"ProtectionEnabled":true}')
        assert "200 OK" in answer
        assert f'{{"failure":{{"Arn":"{started}","Detail":null,"Reason":"TASK_NOT_VALID"}}}}' in answer
    finally:
        cloud.ecs.stop_task(task=started)
