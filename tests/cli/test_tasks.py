"""ps, stop, describe, instances, story: what is asked of the API and what a person reads."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Awsorch, answer_of
from tests.cli.fake_ecs import ACCOUNT, FakeEcs

WEB = {
    "name": "web",
    "lastStatus": "RUNNING",
    "networkBindings": [{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}],
}


def test_ps_lists_every_page_the_newest_first(awsorch: Awsorch, fake: FakeEcs) -> None:
    for number in range(1, 8):
        fake.add_task(number)
    lines = awsorch("ps").stdout.splitlines()
    assert lines[0].split() == ["TASK", "DEFINITION", "STATUS", "HEALTH", "INSTANCE", "PORTS", "SINCE"]
    assert [line[:8] for line in lines[1:]] == [f"{number:04x}0000" for number in range(7, 0, -1)]
    assert len(fake.asked("ListTasks")) == 3


def test_ps_in_a_pipe_is_plain_and_aligned(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_task(1, containers=[WEB], healthStatus="HEALTHY", containerInstanceArn=fake.add_instance(5))
    header, row = awsorch("ps").stdout.splitlines()
    assert "\x1b" not in header + row
    for column, cell in (
        ("STATUS", "RUNNING"),
        ("HEALTH", "HEALTHY"),
        ("INSTANCE", "0005ffff"),
        ("PORTS", "0.0.0.0:32768->80/tcp"),
    ):
        assert row[header.index(column) :].startswith(cell)


def test_ps_all_tells_why_tasks_stopped(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_task(1)
    fake.add_task(
        2,
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        stoppedReason="Essential container in task exited",
        containers=[{"name": "job", "exitCode": 3, "reason": "out of luck"}],
    )
    assert "0002" not in awsorch("ps").stdout
    row = next(line for line in awsorch("ps", "--all").stdout.splitlines() if line.startswith("0002"))
    assert row.endswith("job exit 3; job: out of luck; Essential container in task exited")


def test_ps_json_has_the_shape_of_describe_tasks(awsorch: Awsorch, fake: FakeEcs) -> None:
    arn = fake.add_task(1)
    (task,) = answer_of(awsorch("ps", "--json"))["tasks"]
    assert (task["taskArn"], task["createdAt"]) == (arn, "2024-04-30T03:00:43.816000+00:00")


def test_ps_passes_its_filters_on(awsorch: Awsorch, fake: FakeEcs) -> None:
    instance = fake.add_instance(7)
    awsorch("ps", "--family", "hello", "--started-by", "me", "--instance", "i-0007", "--cluster", "blue")
    assert fake.asked("ListTasks") == [
        {
            "cluster": "blue",
            "desiredStatus": "RUNNING",
            "family": "hello",
            "startedBy": "me",
            "containerInstance": instance,
        }
    ]


def test_stop_takes_prefixes_and_arns(awsorch: Awsorch, fake: FakeEcs) -> None:
    first, second = fake.add_task(0xAB), fake.add_task(0xCD)
    result = awsorch("stop", "00ab", second, "--reason", "enough")
    assert result.stdout.split() == [first.rpartition("/")[2], second.rpartition("/")[2]]
    assert fake.asked("StopTask") == [
        {"cluster": "default", "task": first, "reason": "enough"},
        {"cluster": "default", "task": second, "reason": "enough"},
    ]


def test_a_prefix_of_several_tasks_is_refused_and_nothing_is_stopped(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_task(0xAB)
    fake.add_task(0xAC, desiredStatus="STOPPED")
    result = awsorch("stop", "00a")
    assert result.exit_code == 1
    assert result.stderr == "awsorch: 2 tasks begin with '00a' (00ab0000000, 00ac0000000): give more of the id\n"
    assert not fake.asked("StopTask")


def test_an_unknown_prefix_is_named(awsorch: Awsorch) -> None:
    assert awsorch("stop", "12").stderr == "awsorch: no task in cluster default begins with '12'\n"


def test_an_arn_brings_its_own_cluster(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.refusals["StopTask"] = ("ClusterNotFoundException", "Cluster not found.")
    result = awsorch("stop", f"{ACCOUNT}:task/green/{'0' * 32}")
    assert (result.exit_code, result.stderr) == (1, "awsorch: ClusterNotFoundException: Cluster not found.\n")
    assert fake.asked("StopTask")[0]["cluster"] == "green"


@pytest.mark.parametrize("name", ["00ab", "arn"])
def test_describe_a_task(awsorch: Awsorch, fake: FakeEcs, name: str) -> None:
    arn = fake.add_task(0xAB, containers=[WEB | {"image": "awsorch/busybox"}], stoppedReason="no reason")
    text = awsorch("describe", arn if name == "arn" else name).stdout
    assert f"Task:         {arn}" in text or f"  {arn}" in text
    assert "32768->80/tcp" in text
    assert "no reason" in text


def test_describe_an_instance_by_either_id(awsorch: Awsorch, fake: FakeEcs) -> None:
    arn = fake.add_instance(0x1234)
    for name in ("i-1234", "1234f", arn):
        text = awsorch("describe", name).stdout
        assert arn in text
        assert "512 of 2048 (25 %)" in text


def test_describe_a_family(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_definition(
        "shop", {"name": "web", "image": "busybox", "memory": 64, "command": ["sh", "-c", "echo 'a b'"]}
    )
    text = awsorch("describe", "shop:1").stdout
    assert "task-definition/shop:1" in text
    assert "64 MiB" in text
    assert awsorch("describe", "nothing").stderr == ("awsorch: ClientException: Unable to describe task definition.\n")


def test_describe_json_is_the_answer_itself(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_task(0xAB)
    assert set(answer_of(awsorch("describe", "00ab", "--json"))) == {"tasks", "failures"}


def test_instances(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_instance(1)
    fake.add_instance(2, agentConnected=False, status="DRAINING", pendingTasksCount=2)
    _, first, second = awsorch("instances", "--filter", "agentConnected==true").stdout.splitlines()
    assert first.split()[:6] == ["0001ffff", "i-0001", "ACTIVE", "connected", "t3.medium", "us-east-1a"]
    assert "DRAINING   disconnected" in second
    assert "1 + 2 pending" in second
    assert fake.asked("ListContainerInstances")[0]["filter"] == "agentConnected==true"


def test_story_is_signed_and_told(awsorch: Awsorch, fake: FakeEcs) -> None:
    arn = fake.add_task(0xAB)
    instance = fake.add_instance(1)
    fake.stories[arn] = {
        "arn": arn,
        "entries": [{"at": 1_714_446_042.5, "what": f"placed on {instance}", "cause": "RunTask"}],
        "placement": {
            "considered": 4,
            "refused": [{"filter": "memory", "reason": "RESOURCE:MEMORY", "instances": 3}],
            "chosen": instance,
        },
    }
    text = awsorch("story", "00ab").stdout
    for words in (
        "Instances considered:  4",
        "0001ffff",
        "memory       3           RESOURCE:MEMORY",
        "   placed on container-instance 0001ffff   RunTask",
    ):
        assert words in text
    assert answer_of(awsorch("story", "00ab", "--json")) == fake.stories[arn]
    signed = fake.headers[-1]
    assert signed["X-Amz-Target"] == "AwsorchV1.DescribeStory"
    assert "/us-east-1/ecs/aws4_request" in signed["Authorization"]


def test_story_of_an_unknown_task(awsorch: Awsorch) -> None:
    result = awsorch("story", "0" * 32)
    assert result.stderr == "awsorch: InvalidParameterException: The referenced task was not found.\n"


def test_nothing_listening_is_one_line(awsorch: Awsorch) -> None:
    result = awsorch("ps", "--endpoint", "http://127.0.0.1:9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "awsorch: nothing answers at http://127.0.0.1:9/: is awsorch up?\n"


def test_an_endpoint_that_is_none_is_named(awsorch: Awsorch) -> None:
    assert awsorch("ps", "--endpoint", "localhost:4566").stderr == (
        "awsorch: 'localhost:4566' is not an endpoint; one looks like http://127.0.0.1:4566\n"
    )


def test_usage_errors_exit_with_2(awsorch: Awsorch) -> None:
    assert awsorch("ps", "--what").exit_code == 2
    assert awsorch("stop").exit_code == 2


def test_the_running_local_cloud_is_found(
    awsorch: Awsorch, fake: FakeEcs, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from awsorch.cli.session import data_folder

    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (data_folder() / "run").mkdir(parents=True)
    (data_folder() / "run" / "ready.json").write_text(json.dumps({"endpoint": endpoint}))
    arn = fake.add_task(1)
    assert arn.rpartition("/")[2][:8] in awsorch("ps").stdout
