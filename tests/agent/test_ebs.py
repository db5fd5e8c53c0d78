"""EBS volumes as an agent mounts them, with real file systems on files behind loop devices (root)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsorch.agent.ebs import Volume, VolumeError, Volumes
from tests.e2e.conftest import until

MAKE_READY = """
import asyncio, sys
from pathlib import Path
from awsorch.agent.ebs import Volume, Volumes
folder, files = sys.argv[1:]
volume = Volume(id="vol-1", name="v", device="", file_system="ext4", size_gib=1, mount_at=Path(folder, "vol-1"))
asyncio.run(Volumes(folder=folder, files=files).make_ready(volume, 1.0))
"""


class Host:
    """A folder for mounts, and one for the files in place of devices."""

    def __init__(self, path: Path) -> None:
        self.folder, self.files = path / "mounts", path / "files"
        self.volumes = Volumes(folder=str(self.folder), files=str(self.files))

    def volume(self, file_system: str = "ext4") -> Volume:
        at = self.folder / "vol-1"
        return Volume(id="vol-1", name="v", device="", file_system=file_system, size_gib=1, mount_at=at)

    def mount(self, file_system: str = "ext4") -> Path:
        volume = self.volume(file_system)
        asyncio.run(self.volumes.make_ready(volume, 1.0))
        assert volume.mount_at.is_mount()
        return volume.mount_at

    def unmount(self) -> None:
        asyncio.run(self.volumes.release(self.volume()))
        assert self.loops() == ""
        assert list(self.folder.iterdir()) == []

    def loops(self) -> str:
        listed = subprocess.run(
            ("losetup", "--list", "--noheadings", "-O", "BACK-FILE"), capture_output=True, check=True
        )
        return "\n".join(line for line in listed.stdout.decode().splitlines() if str(self.files) in line)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    asyncio.run(host.volumes.release(host.volume()))


@pytest.mark.parametrize("file_system", ["ext3", "ext4", "xfs"])
def test_what_was_written_is_there_at_the_next_mount(host: Host, file_system: str) -> None:
    (host.mount(file_system) / "word").write_text("kept")
    asyncio.run(host.volumes.make_ready(host.volume(file_system), 1.0))  # what is mounted is left alone
    host.unmount()
    assert (host.mount(file_system) / "word").read_text() == "kept"


def test_another_file_system_than_the_one_wanted_is_refused_and_untouched(host: Host) -> None:
    (host.mount("ext4") / "word").write_text("kept")
    host.unmount()
    with pytest.raises(VolumeError, match="has a file system of type ext4, where filesystemType is xfs"):
        host.mount("xfs")
    assert (host.mount("ext4") / "word").read_text() == "kept"


def test_a_tool_that_is_not_there_is_said(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("setpriv", "losetup", "blkid", "mount", "umount", "mountpoint"):
        (tools / name).symlink_to(subprocess.check_output(("which", name), text=True).strip())
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tools))
        with pytest.raises(VolumeError, match=r"cannot be mounted: .*mkfs\.xfs"):
            host.mount("xfs")
    assert (host.mount("xfs") / "word").write_text("it is made now")


def test_a_file_system_that_was_half_made_when_the_agent_was_killed_is_made_again(host: Host, tmp_path: Path) -> None:
    """mkfs has written one, and is not done, when the agent is killed: mkfs ends with it."""
    tools, begun = tmp_path / "bin", tmp_path / "begun"
    tools.mkdir()
    slow = tools / "mkfs.ext4"
    slow.write_text(f'#!/bin/sh\n/sbin/mkfs.ext4 "$@" && echo $$ > {begun}\nexec sleep 600\n')
    slow.chmod(0o755)
    agent = subprocess.Popen(
        (sys.executable, "-c", MAKE_READY, str(host.folder), str(host.files)),
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
    )
    until("mkfs is at work", lambda: begun.exists() and bool(begun.read_text().strip()))
    maker = int(begun.read_text())
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    until("mkfs has ended", lambda: not _lives(maker))
    assert (host.folder / "vol-1.formatting").exists()
    (host.mount("ext4") / "word").write_text("whole")
    assert not (host.folder / "vol-1.formatting").exists()


def _lives(process: int) -> bool:
    """Whether it is there, and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_that_want_and_release_it_at_once_do_no_harm(host: Host) -> None:
    volume = host.volume("ext4")

    async def all_at_once() -> None:
        wants = [host.volumes.make_ready(volume, 1.0), host.volumes.release(volume)] * 3
        await asyncio.gather(*wants)

    asyncio.run(all_at_once())
    assert not volume.mount_at.is_mount()
    assert host.loops() == ""
