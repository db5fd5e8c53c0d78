"""The command line in a clean environment, against an endpoint of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from awsorch.cli.main import main
from tests.cli.fake_ecs import FakeEcs, serve

Awsorch = Callable[..., Result]


@pytest.fixture
def fake() -> FakeEcs:
    return FakeEcs()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which no setting of AWS or of a local cloud counts, and commands look often."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_ECS", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWSORCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("awsorch.cli.watch.LOOK_SECONDS", 0.001)


@pytest.fixture
def endpoint(fake: FakeEcs, clean: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The fake's URL, which the environment names."""
    with serve(fake) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield url


@pytest.fixture
def awsorch(endpoint: str) -> Awsorch:
    """Run a command: `awsorch("ps", "--all")`."""

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def answer_of(result: Result) -> Any:
    """What a command printed with --json."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
