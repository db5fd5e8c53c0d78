"""Docker Engine killed with -9, and hung, under a real agent and controller: no task is lost or started twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import until
from tests.e2e.sites import Site, site_at

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """`request.param`: whether containers outlive the engine's restart (its live-restore)."""
    with site_at(tmp_path, live_restore=request.param) as made:
        yield made


def with_live_restore(*values: bool) -> pytest.MarkDecorator:
    names = ["live-restore" if value else "no live-restore" for value in values]
    return pytest.mark.parametrize("site", values, ids=names, indirect=True)


@with_live_restore(True, False)
def test_an_engine_killed_while_tasks_run(site: Site, request: pytest.FixtureRequest) -> None:
    keeper, job = site.run("keeper", "keeper"), site.run("job", "job")
    site.becomes("RUNNING", keeper, job)
    site.engine.kill()
    late = site.run("keeper", "late")
    site.end_jobs("job")
    assert site.is_connected()
    assert site.describe(keeper)["lastStatus"] == site.describe(job)["lastStatus"] == "RUNNING"
    site.engine.start()

    site.becomes("STOPPED", job)
    assert site.describe(job)["containers"][0]["exitCode"] == 7
    assert site.describe(job)["stopCode"] == "EssentialContainerExited"
    site.becomes("RUNNING", late)
    if request.node.callspec.params["site"]:
        assert site.describe(keeper)["lastStatus"] == "RUNNING"
        site.ecs.stop_task(task=keeper)
    site.becomes("STOPPED", keeper)  # without live-restore an engine stops what it finds running
    assert site.describe(keeper)["containers"][0]["exitCode"] == 9
    new = site.run("keeper", "new")
    site.becomes("RUNNING", new)
    assert site.is_connected()
    tasks = {"keeper": keeper, "job": job, "late": late, "new": new}
    assert {name: site.starts(name) for name in tasks} == dict.fromkeys(tasks, 1)
    assert {name: site.containers(task) for name, task in tasks.items()} == dict.fromkeys(tasks, 1)


@with_live_restore(True)
def test_an_engine_killed_while_tasks_start(site: Site) -> None:
    """What the engine was starting when it was killed it may not know again, and then refuses to start: that is told in
    its own words, and not tried once more, for the program may run."""
    tasks = {name: site.run("keeper", name) for name in ("a", "b", "c", "d", "e", "f")}
    until("the first task starts", lambda: any(site.starts(name) for name in tasks))
    site.engine.kill()
    assert site.is_connected()
    site.engine.start()
    until(
        "every task has started or failed",
        lambda: all(site.describe(task)["lastStatus"] in ("RUNNING", "STOPPED") for task in tasks.values()),
    )
    for name, task in tasks.items():
        (container,) = site.describe(task)["containers"]
        failed = container.get("reason", "").startswith("CannotStartContainerError: Error response from daemon: ")
        assert failed == (container["lastStatus"] == "STOPPED"), container
        assert site.starts(name) <= 1
        assert site.containers(task) == 1
    new = site.run("keeper", "new")
    site.becomes("RUNNING", new)
    assert site.is_connected()


@with_live_restore(True)
def test_an_engine_that_hangs(site: Site) -> None:
    keeper, stopped, job = site.run("keeper", "keeper"), site.run("keeper", "stopped"), site.run("job", "job")
    site.becomes("RUNNING", keeper, stopped, job)
    site.engine.hang()
    late = site.run("keeper", "late")
    site.ecs.stop_task(task=stopped)
    site.end_jobs("job")
    assert site.is_connected()
    assert [site.describe(task)["lastStatus"] for task in (job, late)] == ["RUNNING", "PENDING"]
    site.engine.resume()

    site.becomes("STOPPED", job, stopped)
    assert [site.describe(task)["containers"][0]["exitCode"] for task in (job, stopped)] == [7, 9]
    new = site.run("keeper", "new")
    site.becomes("RUNNING", late, new, keeper)
    assert site.is_connected()
    tasks = {"keeper": keeper, "stopped": stopped, "job": job, "late": late, "new": new}
    assert {name: site.starts(name) for name in tasks} == dict.fromkeys(tasks, 1)
    assert {name: site.containers(task) for name, task in tasks.items()} == dict.fromkeys(tasks, 1)
