"""moto in a process of its own, and what the suites of the fleet's adapters run on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from awsorch.local.moto_child import listen
from tests.contract.fleets import FakeOutside, MotoOutside, Outside


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with listen("127.0.0.1", 0) as listener:
        command = [sys.executable, "-m", "awsorch.local.moto_child", "--fd", str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=(listener.fileno(),), stdout=subprocess.DEVNULL) as child:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            child.terminate()
            assert child.wait(10) == 0


@pytest.fixture(params=["fake", "moto"])
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Outside]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    if request.param == "fake":
        return FakeOutside
    url = request.getfixturevalue("moto_url")
    return lambda: MotoOutside(url)
