"""logs: whose lines are read, how they are labelled, and what is said when they cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.cli.conftest import Awsorch
from tests.cli.fake_docker import FakeContainer, FakeEngine
from tests.cli.fake_ecs import FakeEcs


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr("awsorch.cli.logs.open_engine", lambda: engine)
    return engine


@pytest.fixture
def pair(fake: FakeEcs, engine: FakeEngine) -> str:
    """A task of two containers, each with lines of its own."""
    engine.containers.found = {
        "c1": FakeContainer(chunks=[b"one\ntwo\n"]),
        "c2": FakeContainer(chunks=[b"thr", b"ee"]),
    }
    containers = [{"name": "web", "runtimeId": "c1"}, {"name": "sidecar", "runtimeId": "c2"}]
    return fake.add_task(0xAB, containers=containers)


def test_lines_of_several_containers_are_labelled(awsorch: Awsorch, pair: str) -> None:
    assert awsorch("logs", "00ab").stdout == "web     | one\nweb     | two\nsidecar | three\n"


def test_one_container_has_no_label(awsorch: Awsorch, pair: str) -> None:
    assert awsorch("logs", pair, "-c", "web").stdout == "one\ntwo\n"


def test_options_reach_the_engine(awsorch: Awsorch, pair: str, engine: FakeEngine) -> None:
    awsorch("logs", "00ab", "-c", "web", "--tail", "5", "--since", "2024-05-01T12:00:00+02:00")
    since = datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert engine.containers.found["c1"].asked == [{"stream": True, "follow": False, "tail": 5, "since": since}]
    before = datetime.now(UTC)
    awsorch("logs", "00ab", "-c", "sidecar", "--since", "10m")
    (asked,) = engine.containers.found["c2"].asked
    assert 599 < (before - asked["since"]).total_seconds() < 601
    assert awsorch("logs", "00ab", "--since", "soon").exit_code == 2


def test_follow_takes_up_containers_as_they_start(awsorch: Awsorch, fake: FakeEcs, pair: str) -> None:
    whole = fake.tasks[pair]["containers"]
    fake.tasks[pair]["containers"] = [{"name": "web"}, {"name": "sidecar"}]
    fake.steps[pair] = [
        {},
        {},
        {"containers": [whole[0], {"name": "sidecar"}]},
        {"containers": whole, "lastStatus": "STOPPED"},
    ]
    result = awsorch("logs", "-f", "00ab")
    assert result.exit_code == 0
    assert sorted(result.stdout.splitlines()) == ["sidecar | three", "web     | one", "web     | two"]


def test_a_container_of_another_machine(awsorch: Awsorch, fake: FakeEcs, engine: FakeEngine) -> None:
    fake.add_task(1, containers=[{"name": "web", "runtimeId": "f" * 64}])
    result = awsorch("logs", "0001")
    assert result.exit_code == 1
    assert result.stderr.startswith("awsorch: container web (ffffffffffff) is not on this machine's Docker Engine")


def test_a_driver_that_keeps_nothing_here(awsorch: Awsorch, pair: str, engine: FakeEngine) -> None:
    engine.containers.found["c1"].driver = "awslogs"
    result = awsorch("logs", "00ab")
    assert (result.exit_code, result.stdout) == (1, "sidecar | three\n")
    assert result.stderr == "awsorch: container web logs with awslogs: its lines are in CloudWatch Logs\n"


def test_a_stream_that_breaks_off(awsorch: Awsorch, pair: str, engine: FakeEngine) -> None:
    engine.containers.found["c1"].error = "configured logging driver does not support reading"
    result = awsorch("logs", "00ab", "-c", "web")
    assert (result.exit_code, result.stdout) == (1, "one\ntwo\n")
    assert "does not support reading" in result.stderr


def test_nothing_was_started(awsorch: Awsorch, fake: FakeEcs, engine: FakeEngine) -> None:
    fake.add_task(1, containers=[{"name": "web"}], stoppedReason="CannotPullContainerError: no such image")
    assert awsorch("logs", "0001").stderr == (
        "awsorch: no container of the task was started, so there is nothing to read: "
        "CannotPullContainerError: no such image\n"
    )


def test_a_container_that_the_task_has_not(awsorch: Awsorch, pair: str) -> None:
    assert awsorch("logs", "00ab", "-c", "db").stderr == (
        "awsorch: the task has no container 'db'; it has web, sidecar\n"
    )


def test_no_engine_answers(awsorch: Awsorch, fake: FakeEcs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    fake.add_task(1, containers=[{"name": "web", "runtimeId": "c1"}])
    result = awsorch("logs", "0001")
    assert result.exit_code == 1
    assert "and it does not answer" in result.stderr
    assert len(result.stderr.splitlines()) == 1
