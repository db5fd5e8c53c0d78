"""`awsorch up --aws`: LocalStack has data and messages, moto what describes the environment, behind one door."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.conftest import run_awsorch, until
from tests.localstack.clouds import client, cloud
from tests.support.localstack import running

pytestmark = pytest.mark.docker
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def the_task(role: str, secret: str) -> dict[str, Any]:
    """It prints what it is given: a secret, and a variable of a file in S3."""
    return {
        "name": "app",
        "image": "awsorch/busybox:latest",
        "memory": 16,
        "command": ["sh", "-c", "echo $PASSWORD $FROM_FILE"],
        "secrets": [{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}],
        "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::settings/app.env"}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app"},
        },
    }


def test_a_task_has_its_data_from_it_and_its_machine_from_moto(tmp_path: Path) -> None:
    nobody = run_awsorch("up", "--detach", "--data", str(tmp_path / "none"), "--aws", "http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert "nothing answers at http://127.0.0.1:9 (" in nobody.stderr
    with (
        running("localemu", tmp_path / "aws") as aws,  # the other one is in the test below
        cloud(tmp_path / "cloud", "--instances", "1", "--aws", aws) as door,
    ):
        a_task_runs(door)
        # Its data are LocalStack's, of the local cloud's account; its role is moto's.
        ours = client(aws, "s3", key="123456789012").get_object(Bucket="settings", Key="app.env")
        assert ours["Body"].read() == b"FROM_FILE=a-file\n"
        assert client(aws, "iam", key="123456789012").list_roles()["Roles"] == []
        stacks_have_both(door)
        url = client(door, "s3").generate_presigned_url("get_object", Params={"Bucket": "settings", "Key": "app.env"})
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"FROM_FILE=a-file\n"
        refused = run_awsorch("up", "--data", str(tmp_path / "other"), "--aws", aws, "--leave", "ecs")
        assert "ecs can't be left to it: it should be one of" in refused.stderr


def a_task_runs(door: str) -> None:
    s3, ecs = client(door, "s3"), client(door, "ecs")
    s3.create_bucket(Bucket="settings")
    s3.put_object(Bucket="settings", Key="app.env", Body=b"FROM_FILE=a-file\n")
    secret = client(door, "secretsmanager").create_secret(Name="s", SecretString='{"password": "a-secret"}')["ARN"]
    assert ":123456789012:" in secret
    client(door, "logs").create_log_group(logGroupName="/app")
    role = client(door, "iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    ecs.register_task_definition(
        family="app", executionRoleArn=role, taskRoleArn=role, containerDefinitions=[the_task(role, secret)]
    )
    (task,) = ecs.run_task(taskDefinition="app")["tasks"]

    def stopped() -> dict[str, Any]:
        return dict(ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"][0])

    until("the task has stopped", lambda: stopped()["lastStatus"] == "STOPPED")
    assert stopped()["containers"][0].get("exitCode") == 0, stopped()
    stream = f"app/app/{task['taskArn'].rpartition('/')[2]}"
    logs = client(door, "logs")
    until("its line is there", lambda: lines(logs, stream) == ["a-secret a-file"])


def lines(logs: Any, stream: str) -> list[str]:
    try:
        found = logs.get_log_events(logGroupName="/app", logStreamName=stream)["events"]
    except ClientError:
        return []
    return [each["message"] for each in found]


def stacks_have_both(door: str) -> None:
    """A stack of the local engine: a queue of LocalStack's and a network of moto's."""
    stacks = client(door, "cloudformation")
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Network": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}},
        },
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}}},
    }
    stacks.create_stack(StackName="both", TemplateBody=json.dumps(template))
    until("the stack is there", lambda: status(stacks, "both") == "CREATE_COMPLETE")
    (output,) = stacks.describe_stacks(StackName="both")["Stacks"][0]["Outputs"]
    assert output["OutputValue"].startswith("arn:aws:sqs:us-east-1:123456789012:both-Queue-")
    stacks.delete_stack(StackName="both")


def status(stacks: Any, name: str) -> str:
    return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def test_without_localstack_its_services_are_away_and_the_others_are_not(tmp_path: Path) -> None:
    with running("localstack", tmp_path / "localstack") as aws:
        door = cloud(tmp_path / "cloud", "--engine", "simulated", "--instances", "1", "--aws", aws, "--leave", "iam")
        endpoint = door.__enter__()
        client(endpoint, "iam").create_role(RoleName="left", AssumeRolePolicyDocument=json.dumps(TRUST))
        assert [each["RoleName"] for each in client(aws, "iam", key="123456789012").list_roles()["Roles"]] == ["left"]
        assert [each["RoleName"] for each in client(endpoint, "iam").list_roles()["Roles"]] == ["left"]
    try:
        with pytest.raises(ClientError, match="the service behind awsorch does not answer") as away:
            client(endpoint, "sqs", attempts=1).list_queues()
        assert away.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert len(client(endpoint, "ec2").describe_instances()["Reservations"]) == 1
        assert client(endpoint, "ecs").list_container_instances()["containerInstanceArns"]
    finally:
        door.__exit__(None, None, None)
