"""EC2: EBS volumes of tasks, made and attached, detached and deleted, or kept where they are to outlive their task.

A volume is known by a tag with its attachment's id, as interfaces are (`task_interfaces`). Nothing is decided here.
Source: Amazon EC2 API, CreateVolume, AttachVolume, DetachVolume, DeleteVolume; ECS developer guide, "Use Amazon EBS
volumes with Amazon ECS".
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Mapping
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.adapters.task_interfaces import ATTACHMENT_TAG
from awsorch.core.commands import ProvideAttachment
from awsorch.core.model_attachments import TaskVolume

#: A volume that is being made, or detached, is looked at this often, so many times. Seconds.
CHANGING_S, LOOKS = 1.0, 10
#: What devices are called that no image uses: /dev/xvdba and on.
_DEVICES = tuple(f"/dev/xvdb{letter}" for letter in string.ascii_lowercase)
_PASSING = frozenset({"IncorrectState", "IncorrectInstanceState", "AttachmentLimitExceeded", "VolumeInUse"})
_BUSY, _FAILED = "VolumeNotReady", "VolumeInError"


class TaskVolumes:
    """Volumes by attachment id."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws
        self._locks: dict[str, asyncio.Lock] = {}

    async def provide(self, command: ProvideAttachment) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The details and facts of the volume, attached. Raises AwsError."""
        wanted = command.volume
        assert wanted is not None, command
        if await self._find(command.attachment_id) is None:
            await self._create(command, wanted)
        volume = await self._when(command.attachment_id, ("available", "in-use"))
        if not volume.get("Attachments"):
            async with self._locks.setdefault(command.machine, asyncio.Lock()):
                await self._attach(volume["VolumeId"], command.machine)
            volume = await self._when(command.attachment_id, ("in-use",))
        details = {
            "roleArn": wanted.role_arn,
            "volumeName": wanted.name,
            "deleteOnTermination": str(wanted.deletes).lower(),
            "volumeId": volume["VolumeId"],
        }
        device = next((str(each["Device"]) for each in volume.get("Attachments", ())), "")
        return details, {"deviceName": device, "volumeSizeGib": str(volume["Size"]), "fileSystem": wanted.file_system}

    async def release(self, attachment_id: str, *, keep: bool) -> bool:
        """Whether EC2 has it no more, or, to ``keep``, attached no more. Raises AwsError."""
        for _ in range(LOOKS):
            volume = await self._find(attachment_id)
            if volume is None:
                return True
            attached = [each for each in volume.get("Attachments", ()) if each.get("State") != "detached"]
            if attached and attached[0].get("State") != "detaching":
                await self._detach(volume["VolumeId"], attached[0]["InstanceId"])
            elif attached or volume["State"] not in ("available", "error"):
                await asyncio.sleep(CHANGING_S)
            elif keep:
                tags = [{"Key": ATTACHMENT_TAG}]
                await self._aws.call("ec2", "delete_tags", Resources=[volume["VolumeId"]], Tags=tags)
            else:
                await self._delete(volume["VolumeId"])
        return False

    async def _find(self, attachment_id: str) -> Mapping[str, Any] | None:
        wanted = [{"Name": f"tag:{ATTACHMENT_TAG}", "Values": [attachment_id]}]
        answer = await self._aws.call("ec2", "describe_volumes", Filters=wanted)
        found = [each for each in answer.get("Volumes", []) if each["State"] not in ("deleting", "deleted")]
        return found[0] if found else None

    async def _when(self, attachment_id: str, states: tuple[str, ...]) -> Mapping[str, Any]:
        """The volume, once it is in one of these states. Raises AwsError where that takes long."""
        for _ in range(LOOKS):
            volume = await self._find(attachment_id)
            if volume is not None and volume["State"] in states:
                return volume
            if volume is not None and volume["State"] == "error":
                raise AwsError(_FAILED, f"EC2 could not make the volume {volume['VolumeId']}", refused=True)
            await asyncio.sleep(CHANGING_S)
        raise AwsError(_BUSY, f"the volume of attachment {attachment_id} is not {' or '.join(states)} yet")

    async def _create(self, command: ProvideAttachment, wanted: TaskVolume) -> None:
        own = {ATTACHMENT_TAG: command.attachment_id, "awsorch:task": command.task_id}
        tags = [{"Key": key, "Value": value} for key, value in {**wanted.tags, **own}.items()]
        given = {
            "Size": wanted.size,
            "SnapshotId": wanted.snapshot,
            "Iops": wanted.iops,
            "Throughput": wanted.throughput,
            "Encrypted": wanted.encrypted,
            "KmsKeyId": wanted.kms_key,
            "VolumeInitializationRate": wanted.initialization_rate,
        }
        await self._aws.call(
            "ec2",
            "create_volume",
            AvailabilityZone=command.zone,
            VolumeType=wanted.type,
            ClientToken=command.attachment_id,
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
            **{name: value for name, value in given.items() if value is not None},
        )

    async def _attach(self, volume_id: str, machine: str) -> None:
        answer = await self._aws.call("ec2", "describe_instances", InstanceIds=[machine])
        instance = answer["Reservations"][0]["Instances"][0]
        taken = {each.get("DeviceName") for each in instance.get("BlockDeviceMappings", ())}
        free = next((device for device in _DEVICES if device not in taken), None)
        if free is None:
            raise AwsError("AttachmentLimitExceeded", f"{machine} has no device name left", refused=True)
        await self._aws.call("ec2", "attach_volume", VolumeId=volume_id, InstanceId=machine, Device=free)

    async def _detach(self, volume_id: str, machine: str) -> None:
        try:
            await self._aws.call("ec2", "detach_volume", VolumeId=volume_id, InstanceId=machine)
        except AwsError as error:
            # It is detached already, with its instance perhaps: the next look tells.
            if error.code not in ("IncorrectState", "InvalidAttachment.NotFound", "InvalidInstanceID.NotFound"):
                raise

    async def _delete(self, volume_id: str) -> None:
        try:
            await self._aws.call("ec2", "delete_volume", VolumeId=volume_id)
        except AwsError as error:
            if error.code == "VolumeInUse":
                await asyncio.sleep(CHANGING_S)
            elif error.code != "InvalidVolume.NotFound":
                raise


def refusal(error: AwsError) -> str | None:
    """The task's reason where EC2 will not give it a volume; None where another try may succeed."""
    if not error.refused or error.code in _PASSING:
        return None
    return f"Unexpected EC2 error while attempting to create or attach an EBS volume: {error.code}: {error.message}"
