"""run: what RunTask is asked, what is printed, and which exit code stands for the end of the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from awsorch.cli.containers import Unreadable
from awsorch.cli.see_through import exit_code
from tests.cli.conftest import Awsorch, answer_of
from tests.cli.fake_docker import FakeContainer, FakeEngine
from tests.cli.fake_ecs import ACCOUNT, FakeEcs


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr("awsorch.cli.see_through.open_engine", lambda: engine)
    return engine


def ended(code: int | None, **members: Any) -> dict[str, Any]:
    container = {"name": "job", "runtimeId": "c1"} | ({} if code is None else {"exitCode": code})
    return {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "containers": [container]} | members


def first_task() -> str:
    return f"{ACCOUNT}:task/default/0001{'0' * 28}"


def test_run_prints_the_ids(awsorch: Awsorch, fake: FakeEcs) -> None:
    result = awsorch("run", "hello:1", "--count", "12")
    assert result.stdout.split() == [arn.rpartition("/")[2] for arn in fake.tasks]
    assert [call["count"] for call in fake.asked("RunTask")] == [10, 2]


def test_the_options_become_members_of_run_task(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_definition("shop", {"name": "side", "essential": False}, {"name": "web"})
    awsorch(
        "run", "shop", "--override-command", "sh -c 'echo hi'", "--env", "A=1", "-e", "B=x=y", "--group", "g",
        "--started-by", "me", "--constraint", "distinctInstance", "--constraint", "memberOf:attribute:x == y",
        "--strategy", "spread:attribute:ecs.availability-zone", "--strategy", "random", "--tag", "k=v",
    )  # fmt: skip
    (request,) = fake.asked("RunTask")
    assert request.pop("clientToken")
    assert request == {
        "cluster": "default",
        "count": 1,
        "taskDefinition": "shop",
        "group": "g",
        "startedBy": "me",
        "overrides": {
            "containerOverrides": [
                {
                    "name": "web",
                    "command": ["sh", "-c", "echo hi"],
                    "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "x=y"}],
                }
            ]
        },
        "placementConstraints": [
            {"type": "distinctInstance"},
            {"type": "memberOf", "expression": "attribute:x == y"},
        ],
        "placementStrategy": [
            {"type": "spread", "field": "attribute:ecs.availability-zone"},
            {"type": "random"},
        ],
        "tags": [{"key": "k", "value": "v"}],
    }


@pytest.mark.parametrize(
    "option",
    [("--constraint", "memberOf"), ("--strategy", "spread"), ("--strategy", "random:x"), ("--env", "=1"),
     ("--env", "A"), ("--count", "0"), ("--override-command", "'"), ("--security-group", "sg-1")],
)  # fmt: skip
def test_options_that_make_no_sense_are_usage_errors(awsorch: Awsorch, fake: FakeEcs, option: tuple[str, str]) -> None:
    assert awsorch("run", "shop", *option).exit_code == 2
    assert not fake.requests


def test_a_network_and_commands_are_asked_for(awsorch: Awsorch, fake: FakeEcs) -> None:
    awsorch("run", "hello:1", "--subnet", "subnet-1", "--subnet", "subnet-2", "--security-group", "sg-1", "--exec")
    (request,) = fake.asked("RunTask")
    network = {"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"]}
    assert request["networkConfiguration"] == {"awsvpcConfiguration": network}
    assert request["enableExecuteCommand"] is True


def test_a_file_is_registered_and_run(awsorch: Awsorch, fake: FakeEcs, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("family: job\ncontainerDefinitions: [{name: job, image: x}]")
    assert awsorch("run", str(tmp_path / "job.yaml")).exit_code == 0
    assert fake.asked("RunTask")[0]["taskDefinition"] == "job:1"
    (tmp_path / "two.yaml").write_text("[{family: a, containerDefinitions: []}, {family: b, containerDefinitions: []}]")
    assert "holds 2 task definitions" in awsorch("run", str(tmp_path / "two.yaml")).stderr


def test_a_refused_task_prints_each_reason(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.failures = [
        {"arn": fake.add_instance(1), "reason": "RESOURCE:MEMORY"},
        {"arn": fake.add_instance(2), "reason": "RESOURCE:CPU"},
    ]
    for more in ([], ["--wait"]):
        result = awsorch("run", "huge", *more)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "awsorch: not placed: RESOURCE:MEMORY (instance 0001ffff)\n"
            "awsorch: not placed: RESOURCE:CPU (instance 0002ffff)\n"
        )
    result = awsorch("run", "huge", "--json")
    assert result.exit_code == 1
    assert '"reason": "RESOURCE:CPU"' in result.stdout


def test_wait_copies_the_lines_and_exits_with_the_code(awsorch: Awsorch, fake: FakeEcs, engine: FakeEngine) -> None:
    fake.add_definition("hello", {"name": "job"})
    engine.containers.found["c1"] = FakeContainer(chunks=[b"wor", b"king\nout of", b" luck\n"])
    fake.steps[first_task()] = [
        {},
        {"lastStatus": "RUNNING"},
        ended(3, stoppedReason="Essential container in task exited"),
    ]
    result = awsorch("run", "hello:1", "--wait")
    assert (result.exit_code, result.stdout) == (3, "working\nout of luck\n")
    assert result.stderr.splitlines() == [
        f"0001{'0' * 28}",
        "00010000 PENDING",
        "00010000 RUNNING",
        "00010000 STOPPED: job exit 3; Essential container in task exited",
    ]


def test_wait_survives_an_api_that_is_away(awsorch: Awsorch, fake: FakeEcs, engine: FakeEngine) -> None:
    fake.add_definition("hello", {"name": "job"})
    engine.containers.found["c1"] = FakeContainer(chunks=[])
    fake.steps[first_task()] = [ended(0)]
    fake.away["RunTask"] = 4
    assert awsorch("run", "hello:1", "--wait").exit_code == 0
    assert fake.closed == 0


def test_wait_without_an_engine_says_so_and_waits(
    awsorch: Awsorch, fake: FakeEcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_engine() -> None:
        raise Unreadable("no engine here")

    monkeypatch.setattr("awsorch.cli.see_through.open_engine", no_engine)
    fake.add_definition("hello", {"name": "job"})
    fake.steps[first_task()] = [ended(0)]
    result = awsorch("run", "hello:1", "--wait")
    assert result.exit_code == 0
    assert "no engine here" in result.stderr


def test_wait_tells_at_once_which_lines_cannot_be_read(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_definition("hello", {"name": "job"})
    running = {"lastStatus": "RUNNING", "containers": [{"name": "job", "runtimeId": "elsewhere"}]}
    fake.steps[first_task()] = [running, *[{}] * 20, ended(0) | {"containers": running["containers"]}]
    lines = awsorch("run", "hello:1", "--wait").stderr.splitlines()
    unreadable = next(index for index, line in enumerate(lines) if "is not on this machine's Docker Engine" in line)
    assert unreadable < lines.index("00010000 STOPPED")
    assert len([line for line in lines if "Docker Engine" in line]) == 1


def test_wait_json_prints_how_the_tasks_ended(awsorch: Awsorch, fake: FakeEcs) -> None:
    fake.add_definition("hello", {"name": "job"})
    fake.steps[first_task()] = [ended(0)]
    (task,) = answer_of(awsorch("run", "hello:1", "--wait", "--json"))["tasks"]
    assert task["lastStatus"] == "STOPPED"


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [({"a": 0}, 0), ({"a": 3}, 3), ({}, 125), ({"a": 0, "b": 137}, 0), ({"a": 143, "b": 2}, 2), ({"a": 137}, 137),
     ({"side": 1}, 125), ({"a": 0, "side": 1}, 0)],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_container_that_ended_the_task(codes: dict[str, int], wanted: int) -> None:
    task = {"containers": [{"name": name, "exitCode": code} for name, code in codes.items()] + [{"name": "c"}]}
    assert exit_code(task, {"a", "b", "c"}) == wanted
