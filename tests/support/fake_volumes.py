"""EC2's volumes in memory, for tests/support/fake_fleet.py: made, attached, detached and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from awsorch.adapters.aws import AwsError


@dataclass(slots=True, kw_only=True)
class FakeVolume:
    """One volume. It is ready from ``ready_at`` on; ``instance`` and ``device`` say where it is attached,
    ``detaching_until`` when it is loose."""

    id: str
    request: Mapping[str, Any]
    ready_at: float
    instance: str | None = None
    device: str = ""
    detaching_until: float | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FakeVolumes:
    """All of them. ``create_seconds``, ``detach_seconds``: how long it takes. ``spoils``: what is made is in error."""

    now: Callable[[], float]
    volumes: dict[str, FakeVolume] = field(default_factory=dict)
    create_seconds: float = 2.0
    detach_seconds: float = 3.0
    spoils: bool = False
    _numbers: Any = field(default_factory=lambda: count(1))

    def devices(self, instance: str) -> list[str]:
        """The device names that are taken on an instance."""
        self._let_go()
        return [each.device for each in self.volumes.values() if each.instance == instance]

    def create(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """CreateVolume."""
        if parameters.get("SnapshotId", "snap-there") != "snap-there":
            text = f"The snapshot '{parameters['SnapshotId']}' does not exist."
            raise AwsError("InvalidSnapshot.NotFound", text, refused=True)
        tags = {tag["Key"]: tag["Value"] for each in parameters["TagSpecifications"] for tag in each["Tags"]}
        volume_id = f"vol-{next(self._numbers):017x}"
        ready_at = self.now() + self.create_seconds
        made = FakeVolume(id=volume_id, request=parameters, ready_at=ready_at, tags=tags)
        self.volumes[made.id] = made
        return self._described(made)

    def attach(self, volume_id: str, instance: str, device: str) -> None:
        """AttachVolume."""
        volume = self._require(volume_id)
        if volume.instance is not None or volume.ready_at > self.now():
            raise AwsError("IncorrectState", f"{volume_id} is not available", refused=True)
        if device in self.devices(instance):
            raise AwsError("InvalidParameterValue", f"{device} is already in use", refused=True)
        volume.instance, volume.device = instance, device

    def detach(self, volume_id: str) -> None:
        """DetachVolume."""
        volume = self._require(volume_id)
        if volume.instance is None:
            raise AwsError("IncorrectState", f"{volume_id} is not attached", refused=True)
        volume.detaching_until = self.now() + self.detach_seconds

    def delete(self, volume_id: str) -> None:
        """DeleteVolume."""
        self._let_go()
        if self._require(volume_id).instance is not None:
            raise AwsError("VolumeInUse", f"{volume_id} is attached", refused=True)
        del self.volumes[volume_id]

    def untag(self, volume_id: str, keys: list[str]) -> None:
        """DeleteTags."""
        for key in keys:
            self._require(volume_id).tags.pop(key, None)

    def describe(self, filters: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        """DescribeVolumes, by tags only."""
        self._let_go()
        wanted = {name.removeprefix("tag:"): values for name, values in filters.items()}
        return [
            self._described(each)
            for each in self.volumes.values()
            if all(each.tags.get(name) in values for name, values in wanted.items())
        ]

    def _described(self, volume: FakeVolume) -> dict[str, Any]:
        made = "error" if self.spoils else "available"
        ready = made if volume.ready_at <= self.now() else "creating"
        shown: dict[str, Any] = {
            "VolumeId": volume.id,
            "Size": volume.request.get("Size", 8),
            "State": ready if volume.instance is None else "in-use",
            "Attachments": [],
        }
        if volume.instance is not None:
            state = "attached" if volume.detaching_until is None else "detaching"
            shown["Attachments"] = [{"InstanceId": volume.instance, "Device": volume.device, "State": state}]
        return shown

    def _let_go(self) -> None:
        for each in self.volumes.values():
            if each.detaching_until is not None and each.detaching_until <= self.now():
                each.instance, each.device, each.detaching_until = None, "", None

    def _require(self, volume_id: str) -> FakeVolume:
        if volume_id not in self.volumes:
            raise AwsError("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.", refused=True)
        return self.volumes[volume_id]
