from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from awsorch.local import supervisor as supervisor_module
from awsorch.local.log_file import LogFile
from awsorch.local.supervisor import ChildSpec, Supervisor, pause_before_restart
from tests.local.processes import is_gone, soon

ENVIRONMENT = {"PATH": os.environ["PATH"]}
WAITS = "echo up; exec sleep 1000"


def child(script: str, name: str = "child", **more: Any) -> ChildSpec:
    return ChildSpec(name=name, command=("sh", "-c", script), environment=ENVIRONMENT, **more)


def supervised(scene: Callable[[Supervisor], Coroutine[Any, Any, None]], logs: Path) -> None:
    async def run() -> None:
        supervisor = Supervisor(logs)
        try:
            await scene(supervisor)
        finally:
            await supervisor.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def text(logs: Path, name: str = "child") -> str:
    return LogFile(logs / f"{name}.log").last_lines(100)


def test_a_child_gets_its_environment_and_descriptors_and_writes_to_its_log(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        reading, writing = os.pipe()
        spec = ChildSpec(
            name="child",
            command=("sh", "-c", f'echo "$GIVEN,$HOME" >&2; echo told >/dev/fd/{writing}; exec sleep 1000'),
            environment=ENVIRONMENT | {"GIVEN": "yes"},
            inherited=(writing,),
        )
        await supervisor.start(spec)
        await soon(lambda: bool(select.select([reading], [], [], 0)[0]))
        assert os.read(reading, 10) == b"told\n"
        assert text(tmp_path) == "yes,"
        os.close(reading)
        os.close(writing)

    supervised(scene, tmp_path)


def test_a_child_that_is_killed_is_started_again_at_once(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        starts: list[int] = []
        await supervisor.start(child(WAITS, started=lambda: starts.append(1)))
        first = supervisor.process_id("child")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await soon(lambda: supervisor.process_id("child") not in {None, first})
        assert len(starts) == 2
        assert supervisor.restarts("child") == 1

    supervised(scene, tmp_path)


def test_a_final_exit_code_is_the_end(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        await supervisor.start(child("echo never again; exit 5", final_exit_codes=frozenset({5})))
        await soon(lambda: supervisor.ended("child") == 5)
        assert supervisor.process_id("child") is None
        assert supervisor.last_words("child") == "never again"
        assert supervisor.restarts("child") == 0
        await supervisor.stop("child", 1)

    supervised(scene, tmp_path)


def test_pauses_grow_to_half_a_minute() -> None:
    assert [pause_before_restart(deaths) for deaths in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_stopping_asks_first_and_kills_after_the_limit(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        await supervisor.start(child("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done", "polite"))
        await supervisor.start(child("trap '' TERM; echo up; while :; do sleep 0.01; done", "stubborn"))
        await soon(lambda: text(tmp_path, "polite") == text(tmp_path, "stubborn") == "up")
        ids = [supervisor.process_id(name) for name in supervisor.names()]
        await supervisor.stop("polite", 10)
        await supervisor.stop("stubborn", 0.1)
        assert text(tmp_path, "polite") == "up\nbye"
        assert all(process_id is not None and is_gone(process_id) for process_id in ids)
        assert supervisor.names() == []
        await supervisor.stop("nobody", 1)

    supervised(scene, tmp_path)


def test_a_child_that_is_stopped_while_it_waits_for_its_restart_stays_away(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        await supervisor.start(child("exit 1"))
        await soon(lambda: supervisor.restarts("child") >= 1 and supervisor.process_id("child") is None)
        await supervisor.stop("child", 5)
        assert supervisor.names() == []

    supervised(scene, tmp_path)


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        with pytest.raises(FileNotFoundError):
            await supervisor.start(ChildSpec(name="none", command=("/no/such/program",), environment={}))
        await supervisor.start(child(WAITS))
        with pytest.raises(ValueError, match="child"):
            await supervisor.start(child(WAITS))

    supervised(scene, tmp_path)


def test_children_die_with_their_supervisor(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from pathlib import Path
from awsorch.local.supervisor import ChildSpec, Supervisor

async def main():
    supervisor = Supervisor(Path(sys.argv[1]))
    await supervisor.start(ChildSpec(name="child", command=("sleep", "1000"), environment=dict(os.environ)))
    print(supervisor.process_id("child"), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.kill()
    asyncio.run(soon(lambda: is_gone(orphan)))


def test_logs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_LOG_CHECK_SECONDS", 0.0)
    log = LogFile(tmp_path / "some.log", max_bytes=100)
    with log.open() as file:
        file.write(b"first\n" * 20)
        log.bound()
        file.write(b"second\n")
    assert (tmp_path / "some.log").read_bytes() == b"second\n"
    assert (tmp_path / "some.log.1").read_bytes() == b"first\n" * 20
    assert log.last_lines(1) == "second"
    assert LogFile(tmp_path / "none.log").last_lines(5) == ""
    LogFile(tmp_path / "none.log").bound()


def test_a_killed_child_is_not_asked_and_does_not_come_back(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        await supervisor.start(child("trap '' TERM; echo up; exec sleep 1000"))
        await soon(lambda: text(tmp_path) == "up")
        killed = supervisor.process_id("child")
        await supervisor.kill("child")
        await supervisor.kill("child")
        assert killed is not None
        assert is_gone(killed)
        assert supervisor.names() == []

    supervised(scene, tmp_path)


def state_of(process_id: int) -> str:
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0]


def test_a_paused_child_goes_on_when_it_is_told_to_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor) -> None:
        assert not await supervisor.pause("child")
        await supervisor.start(child(WAITS))
        await soon(lambda: text(tmp_path) == "up")
        paused = supervisor.process_id("child")
        assert paused is not None
        assert await supervisor.pause("child")
        assert await supervisor.pause("child")
        await soon(lambda: state_of(paused) == "T")
        await supervisor.resume("child")
        await supervisor.resume("child")
        await soon(lambda: state_of(paused) == "S")
        assert await supervisor.pause("child")
        await supervisor.stop("child", 20.0)
        assert is_gone(paused)
        assert "killed" not in text(tmp_path)

    supervised(scene, tmp_path)


def test_a_paused_child_does_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = """
import asyncio, pathlib, sys
from awsorch.local.supervisor import ChildSpec, Supervisor
async def run():
    supervisor = Supervisor(pathlib.Path(sys.argv[1]))
    await supervisor.start(ChildSpec(name="child", command=("sleep", "1000"), environment={"PATH": "/usr/bin:/bin"}))
    await supervisor.pause("child")
    print(supervisor.process_id("child"), flush=True)
    await asyncio.Event().wait()
asyncio.run(run())
"""
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        paused = int(process.stdout.readline())
        process.kill()
    asyncio.run(soon(lambda: is_gone(paused)))
