"""Lines in CloudWatch Logs as `awsorch logs` reads them, on moto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from awsorch.cli import cloudwatch
from awsorch.cli.cloudwatch import CloudWatch
from awsorch.cli.containers import Unreadable
from awsorch.cli.session import Session
from tests.support.moto_process import client, moto_process

OPTIONS = {"awslogs-group": "app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}
TASK = "arn:aws:ecs:us-east-1:123456789012:task/default/0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_process() as url:
        client(url, "logs").create_log_group(logGroupName="app")
        client(url, "ecs").create_cluster(clusterName="default")
        yield url


@pytest.fixture
def reader(url: str, monkeypatch: pytest.MonkeyPatch) -> CloudWatch:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    session = Session(
        ecs=client(url, "ecs"),
        boto=boto3.Session(region_name="us-east-1", **keys),
        endpoint=url,
        region="us-east-1",
        cluster="default",
    )
    return CloudWatch(session)


def a_task(url: str, name: str, log: dict[str, Any] | None) -> dict[str, Any]:
    """A task whose container `name` logs so."""
    container = {"name": name, "image": "busybox", "memory": 32, **({"logConfiguration": log} if log else {})}
    answer = client(url, "ecs").register_task_definition(family=name, containerDefinitions=[container])
    return {"taskArn": TASK, "taskDefinitionArn": answer["taskDefinition"]["taskDefinitionArn"]}


def say(url: str, name: str, *messages: str, ago: float = 0.0) -> None:
    logs, stream = client(url, "logs"), f"web/{name}/{TASK[-32:]}"
    if not logs.describe_log_streams(logGroupName="app", logStreamNamePrefix=stream)["logStreams"]:
        logs.create_log_stream(logGroupName="app", logStreamName=stream)
    at = int((time.time() - ago) * 1000)
    events = [{"timestamp": at, "message": message} for message in messages]
    logs.put_log_events(logGroupName="app", logStreamName=stream, logEvents=events)


def test_what_was_printed_is_read_in_order(url: str, reader: CloudWatch) -> None:
    task = a_task(url, "reads", {"logDriver": "awslogs", "options": OPTIONS})
    say(url, "reads", "early", ago=3600)
    say(url, "reads", "one", "two")
    read = {"follow": False, "last": None, "since": None}
    assert list(reader.lines(task, "reads", **read) or ()) == ["early", "one", "two"]
    assert list(reader.lines(task, "reads", **read | {"last": 2}) or ()) == ["one", "two"]
    assert list(reader.lines(task, "reads", **read | {"last": 0}) or ()) == []
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert list(reader.lines(task, "reads", **read | {"since": since}) or ()) == ["one", "two"]


def test_what_comes_is_read_until_the_task_has_ended(
    url: str, reader: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudwatch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cloudwatch, "LATE_SECONDS", 0.0)
    task = a_task(url, "follows", {"logDriver": "awslogs", "options": OPTIONS})
    say(url, "follows", "one")
    lines = reader.lines(task, "follows", follow=True, last=None, since=None)
    assert lines is not None
    assert next(lines) == "one"
    say(url, "follows", "two")
    assert list(lines) == ["two"], "moto has no such task: it is over"


@pytest.mark.parametrize(
    "log",
    [
        None,
        {"logDriver": "json-file"},
        {"logDriver": "awslogs", "options": {"awslogs-group": "app", "awslogs-region": "us-east-1"}},
    ],
)
def test_lines_that_are_elsewhere(url: str, reader: CloudWatch, log: dict[str, Any] | None) -> None:
    task = a_task(url, "elsewhere", log)
    assert reader.lines(task, "elsewhere", follow=False, last=None, since=None) is None
    unknown = task | {"taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/none:1"}
    assert reader.lines(unknown, "elsewhere", follow=False, last=None, since=None) is None


def test_a_stream_that_is_not_there(url: str, reader: CloudWatch) -> None:
    task = a_task(url, "silent", {"logDriver": "awslogs", "options": OPTIONS})
    lines = reader.lines(task, "silent", follow=False, last=None, since=None)
    with pytest.raises(Unreadable, match=r"app web/silent/.*ResourceNotFoundException"):
        list(lines or ())
