"""up and down: what the local cloud is told, and what a person reads. The cloud itself is tested in tests/local."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from awsorch.local import up as local
from tests.cli.conftest import Awsorch

READY = local.Ready(
    endpoint="http://127.0.0.1:4999",
    environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:4999", "AWS_DEFAULT_REGION": "us-east-1"},
    instances=(
        local.ReadyInstance(id="i-1", instance_type="t3.medium", zone="a", address="127.1.0.1", cluster="default"),
    ),
    process_id=1,
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[local.Options]:
    """The options that the local cloud was started with; it is ready at once."""
    options: list[local.Options] = []

    def start_detached(chosen: local.Options) -> local.Ready:
        options.append(chosen)
        return READY

    def run(chosen: local.Options, on_ready: Callable[[local.Ready], None]) -> int:
        options.append(chosen)
        on_ready(READY)
        return 0

    monkeypatch.setattr(local, "start_detached", start_detached)
    monkeypatch.setattr(local, "run", run)
    return options


@pytest.mark.parametrize("more", [[], ["--detach"]])
def test_up_says_what_to_export(awsorch: Awsorch, told: list[local.Options], more: list[str]) -> None:
    assert awsorch("up", *more).stdout == (
        "awsorch is up at http://127.0.0.1:4999 with 1 instances. For other AWS clients:\n"
        "  export AWS_ENDPOINT_URL=http://127.0.0.1:4999\n"
        "  export AWS_DEFAULT_REGION=us-east-1\n"
    )


def test_up_json(awsorch: Awsorch, told: list[local.Options]) -> None:
    answer = json.loads(awsorch("up", "-d", "--json").stdout)
    assert (answer["endpoint"], answer["instances"][0]["id"]) == ("http://127.0.0.1:4999", "i-1")


def test_the_options_reach_the_cloud(
    awsorch: Awsorch, told: list[local.Options], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWSORCH_ACCESS_KEYS", '{"AKIA": "secret"}')
    awsorch(
        "up", "-d", "--instances", "5", "--instance-type", "m5.large", "--port", "0", "--engine", "simulated",
        "--data", str(tmp_path), "--host", "127.0.0.2", "--region", "eu-west-1", "--aws", "http://127.0.0.1:4567",
    )  # fmt: skip
    assert told == [
        local.Options(
            instances=5,
            instance_type="m5.large",
            host="127.0.0.2",
            port=0,
            data=tmp_path,
            engine="simulated",
            aws="http://127.0.0.1:4567",
            access_keys={"AKIA": "secret"},
            region="eu-west-1",
        )
    ]


def test_the_defaults_are_those_of_the_cloud(awsorch: Awsorch, told: list[local.Options]) -> None:
    awsorch("up")
    assert told == [local.Options()]


@pytest.mark.parametrize("text", ["AKIA:secret", "[1]", '{"AKIA": 5}'])
def test_access_keys_that_are_none(
    awsorch: Awsorch, told: list[local.Options], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("AWSORCH_ACCESS_KEYS", text)
    result = awsorch("up")
    assert result.exit_code == 1
    assert result.stderr.startswith("awsorch: AWSORCH_ACCESS_KEYS is not a JSON object of ids and secrets")
    assert not told


def test_a_cloud_that_does_not_start_says_why(awsorch: Awsorch, tmp_path: Path) -> None:
    result = awsorch("up", "--host", "0.0.0.0", "--data", str(tmp_path))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "without access keys nothing checks who calls" in result.stderr


def test_down_without_a_cloud(awsorch: Awsorch, tmp_path: Path) -> None:
    result = awsorch("down", "--data", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"no local cloud runs on {tmp_path}\n")
