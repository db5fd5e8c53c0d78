"""What `make demo` and `make test` do first, on this machine."""

from __future__ import annotations

import io
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from tests.e2e.conftest import ROOT


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, not as a part of the `make test` that we are in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_set_up_is_quick_when_nothing_is_missing() -> None:
    assert run("make", "setup").returncode == 0
    began = time.monotonic()
    done = run("make", "setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert "set-up:" not in done.stdout
    assert time.monotonic() - began < 10


def test_an_engine_that_was_named_is_not_replaced_by_another() -> None:
    done = run(sys.executable, "scripts/docker_engine.py", DOCKER_HOST="tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr == (
        "set-up: no Docker Engine answers at DOCKER_HOST=tcp://127.0.0.1:9. Start it, or unset DOCKER_HOST.\n"
    )


def test_without_python_3_11_it_says_what_to_do(tmp_path: Path) -> None:
    """In a copy, so that no environment is there already, and with a PATH on which no Python is."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "cat", "env"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    shutil.copy(ROOT / "scripts" / "environment", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = run(str(tmp_path / "scripts" / "environment"), PATH=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr.startswith("set-up: awsorch needs Python 3.11 or newer.")


def test_the_image_has_a_link_for_every_applet_but_busybox_itself() -> None:
    build = runpy.run_path(str(ROOT / "scripts" / "busybox_image.py"))["root_file_system"]
    with tarfile.open(fileobj=io.BytesIO(build(b"binary", ["busybox", "sh", "httpd"]))) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert members["bin/busybox"].isfile()
    assert {members[f"bin/{name}"].linkname for name in ("sh", "httpd")} == {"busybox"}
    assert members["tmp"].mode == 0o1777


def test_a_killed_engines_process_id_is_not_taken_for_a_running_one() -> None:
    is_running = runpy.run_path(str(ROOT / "scripts" / "docker_engine.py"))["is_running"]
    child = subprocess.Popen(["sleep", "100"])
    try:
        assert is_running("sleep", str(child.pid))
        assert not is_running("dockerd", str(child.pid)), "another program got its id"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running("sleep", str(child.pid)), "a zombie is not running"
    finally:
        child.kill()
        child.wait()
    assert not is_running("sleep", str(child.pid))
    assert not is_running("sleep", "")


def test_dockers_bridge_keeps_its_address_when_containers_go() -> None:
    keep_bridge_address = runpy.run_path(str(ROOT / "scripts" / "docker_engine.py"))["keep_bridge_address"]
    name = f"br{os.getpid()}"
    bridge = Path("/sys/class/net", name)
    subprocess.run(("ip", "link", "add", "name", name, "type", "bridge"), check=True)
    try:
        assert (bridge / "addr_assign_type").read_text() != "3\n"
        for _ in range(2):
            keep_bridge_address(bridge)
            assert (bridge / "addr_assign_type").read_text() == "3\n"
        kept = (bridge / "address").read_text()
        subprocess.run(("ip", "link", "add", "name", f"{name}p", "type", "veth"), check=True)
        subprocess.run(("ip", "link", "set", "dev", f"{name}p", "master", name), check=True)
        subprocess.run(("ip", "link", "del", "dev", f"{name}p"), check=True)
        assert (bridge / "address").read_text() == kept
    finally:
        subprocess.run(("ip", "link", "del", "dev", f"{name}p"), check=False, capture_output=True)
        subprocess.run(("ip", "link", "del", "dev", name), check=True)
