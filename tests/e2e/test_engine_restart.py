"""Docker Engine restarted under twenty tasks: every end is told as it was, what can go on does, nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import until
from tests.e2e.sites import KEEPER, Site, register, site_at

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


def ends(site: Site, *tasks: str) -> list[tuple[str, str, int | None]]:
    """The task's status and stop code, and its container's exit code."""
    found = [site.describe(each) for each in tasks]
    return [(each["lastStatus"], each.get("stopCode", ""), each["containers"][0].get("exitCode")) for each in found]


def counts(site: Site, names: dict[str, str]) -> dict[str, tuple[int, int]]:
    """By name: how often the program was started, and how many containers there are."""
    return {name: (site.starts(name), site.containers(task)) for name, task in names.items()}


def run_all(site: Site, **families: int) -> dict[str, str]:
    """So many tasks of each family, all running: by name."""
    names = [(f"{family}-{number}", family) for family, count in families.items() for number in range(count)]
    tasks = {name: site.run(family, name) for name, family in names}
    site.becomes("RUNNING", *tasks.values())
    until("all programs have begun", lambda: all(site.starts(name) == 1 for name in tasks))
    return tasks


def of(tasks: dict[str, str], family: str) -> list[str]:
    return [task for name, task in tasks.items() if name.startswith(family)]


def test_a_restart_that_stops_the_containers(tmp_path: Path) -> None:
    """An engine without live-restore, ended by an operator: containers end as their programs do on SIGTERM."""
    with site_at(tmp_path, live_restore=False) as site:
        for code in range(4):
            register(site, f"keeper{code}", KEEPER.replace("exit 9", f"exit {code}"))
        tasks = run_all(site, keeper0=5, keeper1=5, keeper2=5, keeper3=5)
        site.engine.stop()
        assert site.is_connected()
        late = site.run("keeper", "late")
        site.engine.start()

        for code in range(4):
            ended = of(tasks, f"keeper{code}")
            site.becomes("STOPPED", *ended)
            assert ends(site, *ended) == [("STOPPED", "EssentialContainerExited", code)] * 5
        site.becomes("RUNNING", late)
        assert site.is_connected()
        everything = tasks | {"late": late}
        assert counts(site, everything) == dict.fromkeys(everything, (1, 1))


def test_a_crash_that_containers_outlive(tmp_path: Path) -> None:
    """An engine with live-restore, killed: what ended meanwhile is told with its exit code, the rest goes on."""
    with site_at(tmp_path, live_restore=True) as site:
        tasks = run_all(site, keeper=12, job=8)
        site.engine.kill()
        site.end_jobs(*(f"job-{number}" for number in range(8)))
        assert site.is_connected()
        late = site.run("keeper", "late")
        site.engine.start()

        jobs, keepers = of(tasks, "job"), of(tasks, "keeper")
        site.becomes("STOPPED", *jobs)
        assert ends(site, *jobs) == [("STOPPED", "EssentialContainerExited", 7)] * 8
        site.becomes("RUNNING", late)
        assert ends(site, *keepers) == [("RUNNING", "", None)] * 12
        for each in keepers[:4]:
            site.ecs.stop_task(task=each)
        site.becomes("STOPPED", *keepers[:4])
        assert ends(site, *keepers[:4]) == [("STOPPED", "UserInitiated", 9)] * 4
        assert site.is_connected()
        everything = tasks | {"late": late}
        assert counts(site, everything) == dict.fromkeys(everything, (1, 1))
