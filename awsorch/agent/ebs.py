"""EBS volumes of tasks: found, formatted if they are blank, mounted on the host, and unmounted when the task has ended.

Every step looks first whether it is done, so whoever was cut off begins again; a mark beside the mount says that a file
system is being made, for half of one may look like one. A volume is unmounted as soon as its task's containers have
ended: EC2 detaches it only then. Where the local cloud plays AWS there is no device, so a file of the volume's size
stands in for it, behind a loop device.
Source: ECS developer guide, "Use Amazon EBS volumes with Amazon ECS"; EC2 user guide, "Map Amazon EBS volumes to NVMe
device names"; agent protocol, ConfirmAttachmentMessage.
"""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from awsorch.agent.network_commands import NetworkError, run
from awsorch.agent.settings import Settings
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

TYPE = "amazonebs"
FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs")
_ID = re.compile(r"vol-[0-9a-z]+")
_BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}"
_LOOK_AGAIN = 0.5
_WITH_THE_AGENT = ("setpriv", "--pdeathsig", "KILL")
"""In front of a command that must not go on when the agent is killed: its successor does it again."""
_GIB = 1 << 30
_NOTHING_FOUND = 2
"""blkid's exit code where a device is blank."""


class VolumeError(Exception):
    """The volume cannot be mounted; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume of one task. `mount_at` is the folder on the host."""

    id: str
    name: str
    device: str
    file_system: str
    size_gib: int
    mount_at: Path


def volumes_of(attachments: tuple[acs.Attachment, ...], folder: str) -> list[Volume]:
    """The EBS volumes among a task's attachments; they are mounted in sub-folders of `folder`. What is none is not
    there: its task is refused (`unsupported`)."""
    found = []
    for each in attachments:
        if each.attachment_type == TYPE:
            with contextlib.suppress(VolumeError):
                found.append(volume_of(each, folder))
    return found


def volume_of(attachment: acs.Attachment, folder: str) -> Volume:
    """What an attachment says. Raises VolumeError where that is no volume."""
    said: Mapping[str, str] = {each.name: each.value for each in attachment.attachment_properties}
    volume_id, size = said.get("volumeId", ""), said.get("volumeSizeGib", "")
    if not _ID.fullmatch(volume_id):
        raise VolumeError(f"{volume_id!r} is no id of an EBS volume")
    return Volume(
        id=volume_id,
        name=said.get("volumeName", ""),
        device=said.get("deviceName", ""),
        file_system=said.get("fileSystem", "") or "xfs",
        size_gib=int(size) if size.isdecimal() else 1,
        mount_at=Path(folder, volume_id),
    )


def with_mounts(task: acs.Task, folder: str) -> acs.Task:
    """The task with its EBS volumes as folders of the host, where they are mounted."""
    mounted = {each.name: str(each.mount_at) for each in volumes_of(task.attachments, folder)}
    if not mounted:
        return task
    volumes = (
        acs.Volume(name=each.name, type="host", host=acs.HostVolume(source_path=mounted[each.name]))
        if each.name in mounted
        else each
        for each in task.volumes
    )
    return msgspec.structs.replace(task, volumes=tuple(volumes))


def unsupported(task: acs.Task, *, offered: bool) -> str:
    """Which volume that is configured at launch the instance can't have; empty for none."""
    known = {each.name for each in volumes_of(task.attachments, "")} if offered else set()
    missing = (each.name for each in task.volumes if each.type == "attachment" and each.name not in known)
    name = next(missing, None)
    return "" if name is None else f"volume {name} of type attachment"


class Volumes:
    """Mounts on one host. `files` is the folder of the files that stand in for devices, empty where there are real
    ones; `namespace` the file of the mount namespace in which the engine runs, empty for this process's own."""

    def __init__(self, *, folder: str, files: str = "", namespace: str = "") -> None:
        self.folder = folder
        self._files = files
        self._enter = ("nsenter", f"--mount={namespace}", "--") if namespace else ()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def make_ready(self, volume: Volume, seconds: float) -> None:
        """Have it mounted; its device is waited for. Raises VolumeError."""
        async with self._lock(volume):
            try:
                if not await self._is_mounted(volume):
                    await self._mount(volume, await self._device(volume, seconds))
            except (NetworkError, OSError) as error:
                raise VolumeError(f"volume {volume.id} cannot be mounted: {error}") from error

    async def release(self, volume: Volume) -> None:
        """Unmount it; what is not mounted is no error. Raises VolumeError."""
        async with self._lock(volume):
            try:
                if await self._is_mounted(volume):
                    await run(*self._enter, "umount", str(volume.mount_at))
                if self._files:
                    await self._let_go(volume)
                with contextlib.suppress(FileNotFoundError):
                    volume.mount_at.rmdir()
                _mark(volume).unlink(missing_ok=True)
            except (NetworkError, OSError) as error:
                raise VolumeError(f"volume {volume.id} cannot be unmounted: {error}") from error

    def _lock(self, volume: Volume) -> asyncio.Lock:
        """The volume's, which is there for as long as somebody has it or waits for it."""
        return self._locks.setdefault(volume.id, asyncio.Lock())

    def mounted(self) -> list[Volume]:
        """What is mounted, or was to be, by a former life of the agent: what it is called is all that is known."""
        try:
            found = sorted(each for each in Path(self.folder).iterdir() if each.is_dir())
        except FileNotFoundError:
            return []
        return [Volume(id=each.name, name="", device="", file_system="", size_gib=0, mount_at=each) for each in found]

    async def _is_mounted(self, volume: Volume) -> bool:
        try:
            await run(*self._enter, "mountpoint", "-q", str(volume.mount_at))
        except NetworkError:
            return False
        return True

    async def _mount(self, volume: Volume, device: str) -> None:
        if volume.file_system not in FILE_SYSTEMS:
            raise VolumeError(f"volume {volume.id}: {volume.file_system} is none of {', '.join(FILE_SYSTEMS)}")
        mark = _mark(volume)
        there = "" if mark.exists() else await self._file_system_on(device)
        if not there:
            mark.parent.mkdir(parents=True, exist_ok=True)
            _make_durable(mark)
            force = "-f" if volume.file_system == "xfs" else "-F"
            await run(*_WITH_THE_AGENT, f"mkfs.{volume.file_system}", "-q", force, device)
            mark.unlink()
        elif there != volume.file_system:
            raise VolumeError(
                f"volume {volume.id} has a file system of type {there}, where filesystemType is {volume.file_system}"
            )
        volume.mount_at.mkdir(parents=True, exist_ok=True)
        await run(*self._enter, "mount", "-t", volume.file_system, device, str(volume.mount_at))

    @staticmethod
    async def _file_system_on(device: str) -> str:
        """Empty for a blank device."""
        try:
            return (await run("blkid", "-p", "-o", "value", "-s", "TYPE", device)).decode().strip()
        except NetworkError as error:
            if error.code == _NOTHING_FOUND:
                return ""
            raise

    async def _device(self, volume: Volume, seconds: float) -> str:
        if self._files:
            return await self._loop_device(volume)
        candidates = (_BY_ID.format(volume.id.replace("-", "")), volume.device)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = next((each for each in candidates if each and os.path.exists(each)), None)
                    if found is not None:
                        return os.path.realpath(found)
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise VolumeError(f"volume {volume.id} has not appeared at {volume.device}") from None

    # Files in place of devices

    def _file(self, volume: Volume) -> Path:
        return Path(self._files, f"{volume.id}.img")

    async def _loop_device(self, volume: Volume) -> str:
        file = self._file(volume)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as blank:
                blank.truncate(volume.size_gib * _GIB)
        there = await self._loops(volume)
        if there:
            return there[0]
        return (await run("losetup", "--find", "--show", str(file))).decode().strip()

    async def _let_go(self, volume: Volume) -> None:
        for device in await self._loops(volume):
            await run("losetup", "--detach", device)

    async def _loops(self, volume: Volume) -> list[str]:
        listed = await run("losetup", "--associated", str(self._file(volume)), "--noheadings", "--output", "NAME")
        return listed.decode().split()


def _mark(volume: Volume) -> Path:
    """The file that is there while the volume's file system is being made."""
    return volume.mount_at.with_name(volume.mount_at.name + ".formatting")


def _make_durable(mark: Path) -> None:
    """Make the file, and have it on the disk before what follows."""
    for path, flags in ((mark, os.O_CREAT | os.O_WRONLY), (mark.parent, os.O_RDONLY)):
        descriptor = os.open(path, flags, 0o600)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def mounts_of(settings: Settings) -> Volumes:
    """The mounts of an agent's host, below its data folder."""
    instance = settings.instance
    folder = Path(settings.data_dir or ".").absolute() / "ebs"
    return Volumes(folder=str(folder), files=instance.ebs_folder, namespace=instance.mount_namespace)
