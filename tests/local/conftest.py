from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from awsorch.local.moto_child import listen
from tests.local.moto_world import MotoWorld, moto_world


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of a moto that all tests of this folder share: it takes seconds to load its services."""
    with listen("127.0.0.1", 0) as listener:
        command = [sys.executable, "-m", "awsorch.local.moto_child", "--fd", str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=(listener.fileno(),), stdout=subprocess.DEVNULL) as child:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            child.terminate()
            assert child.wait(10) == 0


@pytest.fixture(scope="module")
def moto_inside() -> Iterator[MotoWorld]:
    """A moto in this process, with its own clock."""
    with moto_world() as made:
        yield made


@pytest.fixture
def world(moto_inside: MotoWorld) -> Iterator[MotoWorld]:
    """That moto, left without groups."""
    yield moto_inside
    moto_inside.clear()
