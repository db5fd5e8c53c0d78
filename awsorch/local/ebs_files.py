"""The files that stand in for EBS volumes: what a local instance that goes has mounted of them, and what nobody has.

Agents make, mount and unmount them (`agent/ebs`); this is for when the agent is gone, and for volumes that are deleted.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl

from awsorch.local.service_call import ServiceCall

FOLDER = "ebs"
_SECONDS = 10


def release_mounts(instance: Path) -> None:
    """Unmount what the agent whose data folder this is has mounted, so that removing the folder empties no volume.
    Raises OSError."""
    folder = instance / FOLDER
    for mounted in sorted(folder.iterdir()) if folder.is_dir() else ():
        if os.path.ismount(mounted):
            _run("umount", str(mounted))
        _let_go(instance.parents[1] / FOLDER / f"{mounted.name}.img")


def deleted_volume(call: ServiceCall, query: str, body: bytes) -> str | None:
    """The id of the volume that a call of EC2 deletes; None for any other call."""
    if (call.service, call.operation) != ("ec2", "DeleteVolume"):
        return None
    members = dict(parse_qsl(query) + parse_qsl(body.decode("latin-1")))
    return members.get("VolumeId")


def remove_volume(data: Path, volume_id: str) -> None:
    """Remove the file of a volume that is no more. Raises OSError."""
    if "/" not in volume_id:
        file = data / FOLDER / f"{volume_id}.img"
        _let_go(file)  # a device that is mounted still goes when it is unmounted
        file.unlink(missing_ok=True)


def _let_go(file: Path) -> None:
    """Detach the loop devices of a file."""
    if file.exists():
        listed = _run("losetup", "--associated", str(file), "--noheadings", "--output", "NAME")
        for device in listed.split():
            _run("losetup", "--detach", device)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
