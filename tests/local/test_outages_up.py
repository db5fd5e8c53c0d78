"""What befalls instances of a whole local cloud, asked for by the command line; its containers are simulated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from awsorch.cli.main import main
from awsorch.local import up
from tests.local.test_up import children, client, connected, is_replaced, options, wait

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[up.Ready]:
    yield up.start_detached(options(tmp_path / "data", instances=2))
    up.stop(tmp_path / "data")


@pytest.fixture
def awsorch(ready: up.Ready, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command on the cloud; what it printed."""
    for name, value in ready.environment.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str, fails: bool = False) -> str:
        result = CliRunner().invoke(main, arguments)
        assert (result.exit_code != 0) is fails, result.output
        return result.output

    return invoke


def listen(ready: up.Ready) -> Callable[[], list[tuple[str, str]]]:
    """Have a queue of one's own for EC2's events; a function that gives all of them so far."""
    sqs, events = client(ready, "sqs"), client(ready, "events")
    queue = sqs.create_queue(QueueName="mine")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="mine", EventPattern=json.dumps({"source": ["aws.ec2"]}))
    events.put_targets(Rule="mine", Targets=[{"Id": "mine", "Arn": arn}])
    heard: list[tuple[str, str]] = []

    def hear() -> list[tuple[str, str]]:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            detail = json.loads(message["Body"])["detail"]
            heard.append((detail["instance-id"], detail.get("state") or detail["instance-action"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return heard

    return hear


def run_task(ecs: Any, arn: str) -> str:
    container = {"name": "c", "image": "busybox", "memory": 64, "command": ["sleep", "1000"]}
    ecs.register_task_definition(family="long", containerDefinitions=[container])
    task: str = ecs.start_task(taskDefinition="long", containerInstances=[arn])["tasks"][0]["taskArn"]
    wait(lambda: ecs.describe_tasks(tasks=[task])["tasks"][0]["lastStatus"] == "RUNNING")
    return task


def test_instances_go_away_in_every_way(ready: up.Ready, awsorch: Callable[..., str]) -> None:
    ecs, ec2, hear = client(ready, "ecs"), client(ready, "ec2"), listen(ready)
    arns = connected(ecs)
    first, second = sorted(arns)
    assert first in awsorch("instances")

    agents = children(ready)["awsorch.agent"]
    assert awsorch("instances", "reboot", first) == f"{first} reboots\n"
    wait(lambda: is_replaced(ready, "awsorch.agent", agents) and connected(ecs) == arns)

    short = arns[first].rpartition("/")[2][:12]
    assert awsorch("instances", "--json", "stop", short).startswith("{")
    wait(lambda: set(connected(ecs)) == {second})
    awsorch("instances", "start", first)
    wait(lambda: connected(ecs) == arns)
    wait(lambda: [state for one, state in hear() if one == first] == ["stopping", "stopped", "pending", "running"])

    assert "share one process" in awsorch("instances", "cut", first, fails=True)
    assert "does not exist" in awsorch("instances", "kill", "i-00000000000000000", fails=True)
    assert "is not a length of time" in awsorch("instances", "interrupt", first, "--in", "soon", fails=True)

    task = run_task(ecs, arns[first])
    assert awsorch("instances", "kill", first) == f"{first} is dead\n"
    wait(lambda: ecs.describe_tasks(tasks=[task])["tasks"][0]["lastStatus"] == "STOPPED")
    stopped = ecs.describe_tasks(tasks=[task])["tasks"][0]
    assert stopped["stoppedReason"] == f"Host EC2 (instance {first}) terminated."
    (killed,) = ec2.describe_instances(InstanceIds=[first])["Reservations"][0]["Instances"]
    assert killed["State"]["Name"] == "terminated"

    wait(lambda: set(connected(ecs)) == {second})
    assert "has its interruption notice" in awsorch("instances", "interrupt", second, "--in", "5s")
    wait(lambda: ecs.list_container_instances(status="DRAINING")["containerInstanceArns"] == [arns[second]])
    wait(lambda: not ecs.list_container_instances()["containerInstanceArns"])
    wait(lambda: hear()[-3:] == [(second, "terminate"), (second, "shutting-down"), (second, "terminated")])


def test_only_those_who_have_a_key_play_outages(ready: up.Ready, awsorch: Callable[..., str]) -> None:
    one = ready.instances[0].id
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
        assert "SignatureException" in awsorch("instances", "kill", one, fails=True)
    assert one in connected(client(ready, "ecs"))
