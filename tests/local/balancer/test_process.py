"""HAProxy looked for, and started with nothing to carry."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from awsorch.local.balancer.process import CHILD, HaproxyMissing, child_spec, find_haproxy, prepare
from awsorch.local.supervisor import Supervisor
from tests.local.balancer.world import answers

ROOT = Path(__file__).parents[3]


def test_missing_haproxy_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awsorch.local.balancer.process._PLACES", ())
    with pytest.raises(HaproxyMissing, match="apt-get install haproxy"):
        find_haproxy(str(tmp_path))


def test_first_configuration_is_one_that_haproxy_takes_and_nobody_else_reads(tmp_path: Path) -> None:
    folder = tmp_path / "balancer"
    prepare(folder, 100)
    program = find_haproxy(os.environ.get("PATH", ""))
    command = [program, "-c", "-C", str(folder), "-f", "haproxy.cfg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder.stat().st_mode & 0o777, (folder / "haproxy.cfg").stat().st_mode & 0o777) == (0o700, 0o600)


def test_haproxy_goes_ahead_of_others_where_root_starts_it(tmp_path: Path) -> None:
    asyncio.run(_see_niceness(tmp_path))


async def _see_niceness(folder: Path) -> None:
    supervisor = Supervisor(folder / "logs")
    prepare(folder, 100)
    try:
        await supervisor.start(child_spec(folder, os.environ))
        await answers(folder)
        process = supervisor.process_id(CHILD)
        assert process is not None
        nice = -10 if os.geteuid() == 0 else os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, process) == nice
        group = Path(f"/proc/{process}/autogroup")
        if group.exists():  # the kernel groups processes by session
            assert int(group.read_text().split()[-1]) == (nice if os.geteuid() == 0 else 0)
    finally:
        await supervisor.stop(CHILD, 5.0)
        await supervisor.close()


def test_set_up_refuses_an_haproxy_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "haproxy"
    old.write_text("#!/bin/sh\necho 'HAProxy version 2.4.22 2023/02/14'\n")
    old.chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "haproxy.py"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "set-up: HAProxy 2.6 or later is needed for local load balancers, and 2.4 is here. Install a later one.\n"
    )
