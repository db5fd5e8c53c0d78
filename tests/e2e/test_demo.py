"""`make demo` for real: it works, it is quick, and it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(240)]

DEMO_SECONDS = 60
"""What the demo takes at most on a machine with two free cores."""
BUSY = 2
"""Tests beside it may take as much of the machine again."""


def leftovers() -> set[str]:
    """What a demo that does not clean up would leave: its containers, their volumes, its folder."""
    engine = docker.from_env()
    try:
        containers = engine.containers.list(all=True, ignore_removed=True)
        names = {str(one.name) for one in containers if "com.amazonaws.ecs.task-arn" in one.labels}
        return names | {volume.name for volume in engine.volumes.list()} | folders()
    finally:
        engine.close()


def folders() -> set[str]:
    return {str(path) for path in Path(tempfile.gettempdir()).glob("awsorch-demo-*")}


def test_the_demo_shows_that_all_works_and_leaves_nothing_behind() -> None:
    before = leftovers()
    began = time.monotonic()
    done = subprocess.run(
        (sys.executable, "scripts/demo.py"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ All as it should be" in done.stdout
    assert leftovers() - before == set()
    assert took < DEMO_SECONDS * BUSY, done.stdout


def test_the_demo_fails_when_something_is_not_as_it_should_be() -> None:
    done = subprocess.run(
        (sys.executable, "scripts/demo.py"),
        cwd=ROOT,
        env=os.environ | {"DOCKER_HOST": "tcp://127.0.0.1:9"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not folders()
