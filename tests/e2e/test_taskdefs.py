"""Every sample task definition registers, and those that need nothing else run as they say."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from awsorch.cli.documents import read_documents
from tests.e2e.conftest import ROOT, Cloud, until

IMAGE = "awsorch/busybox:latest"
ENDING = {
    "hello.json": "hello from ",
    "batch.yaml": "slice 0: the sum is 200010000",
    "pipeline.yaml": "729 of 1000 lines are left",
    "volumes.yaml": "note: kept, visits so far: ",
    "hardened.yaml": "CapEff:\t0000000000000000",
    "logging.json": "warning 3",
}
"""The samples that end by themselves, and what each says when all is well."""
RUNNING_ON = {"web.yaml", "worker.yaml"}


def samples() -> list[Path]:
    return sorted(path for path in (ROOT / "taskdefs").iterdir() if path.suffix in (".json", ".yaml"))


def definition(path: Path) -> dict[str, Any]:
    (document,) = read_documents([str(path)])
    return document.value


def test_the_runnable_samples_are_all_run_here() -> None:
    needs_nothing = {
        path.name
        for path in samples()
        if all(one["image"] == IMAGE for one in definition(path)["containerDefinitions"])
    }
    assert needs_nothing == set(ENDING) | RUNNING_ON
    assert len(samples()) >= 6


def test_the_readme_lists_every_sample() -> None:
    text = (ROOT / "taskdefs" / "README.md").read_text()
    assert [path.name for path in samples() if f"[{path.name}]" not in text] == []


def test_every_sample_registers(cloud: Cloud) -> None:
    registered = cloud.awsorch("register", *(str(path) for path in samples())).stdout.split()
    assert [text.partition(":")[0] for text in registered] == [definition(path)["family"] for path in samples()]


@pytest.mark.parametrize("name", ENDING)
def test_a_sample_that_ends(cloud: Cloud, name: str) -> None:
    done = cloud.awsorch("run", f"taskdefs/{name}", "--wait")
    assert ENDING[name] in done.stdout


def test_the_web_sample_serves_once_its_writer_is_healthy(cloud: Cloud) -> None:
    task = cloud.awsorch("run", "taskdefs/web.yaml").stdout.strip()
    until("both containers are HEALTHY", lambda: cloud.describe(task)["healthStatus"] == "HEALTHY")
    found = cloud.describe(task)
    started = {one["name"]: one for one in found["containers"]}
    (binding,) = started["server"]["networkBindings"]
    with urllib.request.urlopen(f"http://{binding['bindIP']}:{binding['hostPort']}/", timeout=5) as response:
        assert b"It works" in response.read()
    cloud.awsorch("stop", task)
    until("the task is STOPPED", lambda: cloud.describe(task)["lastStatus"] == "STOPPED")


def test_the_worker_sample_finishes_what_is_in_hand(cloud: Cloud) -> None:
    task = cloud.awsorch("run", "taskdefs/worker.yaml").stdout.strip()
    until("it is ready", lambda: cloud.describe(task)["lastStatus"] == "RUNNING")
    until("it says so", lambda: "ready" in cloud.awsorch("logs", task).stdout)
    cloud.awsorch("stop", task, "--reason", "enough")
    assert cloud.awsorch("logs", "-f", task).stdout.splitlines() == ["ready", "finishing what is in hand", "all done"]
    stopped = cloud.describe(task)
    assert (stopped["stoppedReason"], stopped["containers"][0]["exitCode"]) == ("enough", 0)
