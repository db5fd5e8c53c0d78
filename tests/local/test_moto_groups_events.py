"""What the local cloud's groups tell EventBridge, and the queues and topics of their hooks."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.local.moto_world import KEYS, MotoWorld

TERMINATING, LAUNCHING = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"


class Listener:
    """A queue with everything that Auto Scaling tells EventBridge."""

    def __init__(self) -> None:
        self.sqs, events = boto3.client("sqs", **KEYS), boto3.client("events", **KEYS)
        self.url, arn = self.queue()
        name = f"heard-{uuid4().hex}"
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.autoscaling"]}))
        events.put_targets(Rule=name, Targets=[{"Id": "heard", "Arn": arn}])

    def queue(self) -> tuple[str, str]:
        """A new one: its URL and its ARN."""
        name = f"q-{uuid4().hex}"
        url: str = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        return url, f"arn:aws:sqs:us-east-1:123456789012:{name}"

    def messages(self, url: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while got := self.sqs.receive_message(QueueUrl=url or self.url, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(each["Body"]) for each in got]
            for each in got:
                self.sqs.delete_message(QueueUrl=url or self.url, ReceiptHandle=each["ReceiptHandle"])
        return found

    def kinds(self) -> list[str]:
        return [each["detail-type"] for each in self.messages()]


@pytest.fixture
def heard(world: MotoWorld) -> Listener:
    return Listener()


def hook(world: MotoWorld, name: str, transition: str, **members: Any) -> None:
    world.scaling.put_lifecycle_hook(
        AutoScalingGroupName=name, LifecycleHookName="hook", LifecycleTransition=transition, **members
    )


def test_instances_that_come_and_go_are_told(world: MotoWorld, heard: Listener) -> None:
    name = world.group(DesiredCapacity=1)
    (instance_id,) = world.states(name)
    (launch,) = heard.messages()
    assert (launch["detail-type"], launch["source"]) == ("EC2 Instance Launch Successful", "aws.autoscaling")
    assert launch["detail"]["AutoScalingGroupName"] == name
    assert launch["detail"]["EC2InstanceId"] == instance_id
    assert launch["detail"]["Description"] == f"Launching a new EC2 instance: {instance_id}"
    assert (launch["detail"]["Origin"], launch["detail"]["Destination"]) == ("EC2", "AutoScalingGroup")
    assert launch["resources"][1] == f"arn:aws:ec2:us-east-1:123456789012:instance/{instance_id}"
    world.resize(name, 0)
    (end,) = heard.messages()
    assert (end["detail-type"], end["detail"]["EC2InstanceId"]) == ("EC2 Instance Terminate Successful", instance_id)


def test_a_refused_launch_is_told(world: MotoWorld, heard: Listener) -> None:
    world.refuse(instance_type="t3.medium", code="InsufficientInstanceCapacity")
    world.group(DesiredCapacity=1)
    told = heard.messages()
    assert {each["detail-type"] for each in told} == {"EC2 Instance Launch Unsuccessful"}
    assert "t3.medium" in told[0]["detail"]["StatusMessage"]
    assert told[0]["detail"]["StatusCode"] == "Failed"


def test_who_waits_for_a_hook_is_told_with_the_token_that_lets_it_go(world: MotoWorld, heard: Listener) -> None:
    url, arn = heard.queue()
    name = world.group(DesiredCapacity=1)
    hook(
        world,
        name,
        TERMINATING,
        NotificationTargetARN=arn,
        NotificationMetadata="drain",
        RoleARN="arn:aws:iam::1:role/r",
    )
    heard.messages()
    world.resize(name, 0)
    (event,), (message,) = heard.messages(), heard.messages(url)
    assert event["detail-type"] == "EC2 Instance-terminate Lifecycle Action"
    for told in (event["detail"], message):
        assert (told["LifecycleHookName"], told["LifecycleTransition"]) == ("hook", TERMINATING)
        assert (told["AutoScalingGroupName"], told["NotificationMetadata"]) == (name, "drain")
    assert (message["Service"], message["AccountId"]) == ("AWS Auto Scaling", "123456789012")
    world.scaling.complete_lifecycle_action(
        AutoScalingGroupName=name,
        LifecycleHookName="hook",
        LifecycleActionToken=event["detail"]["LifecycleActionToken"],
        LifecycleActionResult="CONTINUE",
    )
    assert heard.kinds() == ["EC2 Instance Terminate Successful"]


def test_a_topic_is_told_and_one_that_is_gone_holds_nobody_up(world: MotoWorld, heard: Listener) -> None:
    sns = boto3.client("sns", **KEYS)
    url, arn = heard.queue()
    topic = sns.create_topic(Name="hooks")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    name = world.group()
    hook(world, name, LAUNCHING, NotificationTargetARN=topic)
    world.resize(name, 1)
    (message,) = heard.messages(url)
    assert json.loads(message["Message"])["LifecycleTransition"] == LAUNCHING
    sns.delete_topic(TopicArn=topic)
    world.resize(name, 2)
    assert set(world.states(name).values()) == {"Pending:Wait"}
    assert heard.kinds() == ["EC2 Instance-launch Lifecycle Action"] * 2
