"""`make demo` for real: it works, it is quick, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import ROOT, TASK_LABEL

pytestmark = pytest.mark.timeout(240)

DEMO_SECONDS = 60
"""What the demo takes at most on a machine with two free cores."""
BUSY = 2
"""Tests beside it may take as much of the machine again."""
TASK_ID = re.compile(r"\b[0-9a-f]{32}\b")


def containers(tasks: set[str]) -> list[str]:
    """Containers of these tasks that are on the engine."""
    engine = docker.from_env()
    try:
        found = engine.containers.list(all=True, filters={"label": TASK_LABEL}, ignore_removed=True)
        return [str(one.name) for one in found if one.labels[TASK_LABEL].rpartition("/")[2] in tasks]
    finally:
        engine.close()


def volumes() -> set[str]:
    """Volumes of the first revision of `web`: the demo's own, for other tests have registered it before."""
    engine = docker.from_env()
    try:
        return {volume.name for volume in engine.volumes.list() if volume.name.startswith("ecs-web-1-site-")}
    finally:
        engine.close()


def run_demo(folder: Path, script: str = "demo.py", **environment: str) -> subprocess.CompletedProcess[str]:
    """A demo, with this as the machine's folder for temporary files."""
    return subprocess.run(
        (sys.executable, f"scripts/{script}"),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_demo_shows_that_all_works_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = volumes()
    began = time.monotonic()
    done = run_demo(tmp_path)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ All as it should be" in done.stdout
    tasks = set(TASK_ID.findall(done.stdout))
    assert len(tasks) >= 2
    assert (containers(tasks), volumes() - before, list(tmp_path.iterdir())) == ([], set(), [])
    assert took < DEMO_SECONDS * BUSY, done.stdout


def test_the_demo_fails_when_something_is_not_as_it_should_be(tmp_path: Path) -> None:
    done = run_demo(tmp_path, DOCKER_HOST="tcp://127.0.0.1:9")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_second_demo_shows_what_a_task_is_given(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "demo_given.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ All as it should be" in done.stdout
    assert "0 failed" in done.stdout
    assert list(tmp_path.iterdir()) == []
