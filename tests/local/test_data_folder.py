from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from awsorch.local.data_folder import DataFolder
from awsorch.local.ready import Ready, ReadyInstance, read_ready, ready_text

READY = Ready(
    endpoint="http://127.0.0.1:4566",
    environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
    instances=(ReadyInstance(id="i-1", instance_type="t", zone="z", address="127.1.1.1", cluster="c"),),
    process_id=1,
)
HOLDER = """
import signal, sys, threading
from pathlib import Path
from awsorch.local.data_folder import DataFolder

ended = threading.Event()
signal.signal(signal.SIGTERM, (lambda *_: None) if sys.argv[2] == "stubborn" else (lambda *_: sys.exit(0)))
assert DataFolder(Path(sys.argv[1])).lock() is not None
print("held", flush=True)
while True:
    signal.pause()
"""


def held_by_another(path: Path, manner: str = "polite") -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), manner], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_one_process_at_a_time_has_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "new" / "data")
    assert folder.owner() is None
    lock = folder.lock()
    assert lock is not None
    assert folder.owner() == os.getpid()
    assert DataFolder(folder.path).lock() is None
    os.close(lock)
    assert folder.owner() is None
    again = folder.lock()
    assert again is not None
    os.close(again)
    assert folder.path.stat().st_mode & 0o077 == 0


def test_a_process_that_died_holds_nothing(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as holder:
        assert DataFolder(tmp_path).owner() == holder.pid
        holder.kill()
    assert DataFolder(tmp_path).owner() is None
    assert not DataFolder(tmp_path).stop_owner(1)


def test_stopping_waits_until_the_folder_is_free(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as holder:
        assert DataFolder(tmp_path).stop_owner(20)
        assert DataFolder(tmp_path).owner() is None
        assert holder.wait(10) == 0


def test_children_keep_the_folder_after_their_supervisor_is_gone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    lock = folder.lock()
    assert lock is not None
    children_lock = folder.lock_children(0)
    with subprocess.Popen(["sleep", "1000"], pass_fds=(children_lock,)) as child:
        os.close(children_lock)
        with pytest.raises(TimeoutError, match="have not ended"):
            folder.lock_children(0.1)
        child.kill()
        child.wait()
        os.close(folder.lock_children(0))
    os.close(lock)


def test_an_owner_that_does_not_stop_is_said(tmp_path: Path) -> None:
    with held_by_another(tmp_path, "stubborn") as holder:
        with pytest.raises(TimeoutError, match=f"process {holder.pid} did not stop"):
            DataFolder(tmp_path).stop_owner(0.1)
        holder.kill()


def test_what_is_ready_counts_only_while_somebody_has_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.ready() is None
    lock = folder.lock()
    assert lock is not None
    assert folder.ready() is None
    folder.note_ready(READY)
    assert folder.ready() == READY
    os.close(lock)
    assert folder.ready() is None
    folder.forget_ready()
    folder.forget_ready()


def test_ready_is_read_as_it_was_written() -> None:
    assert read_ready(ready_text(READY)) == READY
    with pytest.raises(ValueError, match="local cloud"):
        read_ready("{}")
