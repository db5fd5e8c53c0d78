"""Volumes that are configured when tasks are launched: ``volumeConfigurations`` read and checked.

Source: ECS API, TaskVolumeConfiguration, TaskManagedEBSVolumeConfiguration, ServiceVolumeConfiguration; developer
guide, "Use Amazon EBS volumes with Amazon ECS".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.core.model import TaskDefinition
from awsorch.core.model_attachments import TaskVolume

#: GiB, from and to, by volume type.
SIZES = {
    "gp2": (1, 16384),
    "gp3": (1, 16384),
    "io1": (4, 16384),
    "io2": (4, 16384),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}
FILE_SYSTEMS = ("ext3", "ext4", "xfs")
#: From and to, by volume type; the others have none that can be chosen.
IOPS = {"gp3": (3000, 16000), "io1": (100, 64000), "io2": (100, 256000)}
_NEEDS_IOPS = ("io1", "io2")
#: MiB/s, from and to.
THROUGHPUT, INITIALIZATION_RATE = (125, 1000), (100, 300)
_MANAGED = {"AmazonECSCreated": "true", "AmazonECSManaged": "true"}


def read_volume(
    members: Mapping[str, Any], definition: TaskDefinition, *, of_service: bool = False
) -> TaskVolume | None:
    """What ``volumeConfigurations`` among these members comes to, None where tasks have no such volume. Those of
    services always go with their task.

    Raises InvalidParameterException for what can't be, or does not fit the definition.
    """
    document = definition.definition
    names = {volume.get("name") for volume in document.get("volumes", ())}
    waiting = [volume["name"] for volume in document.get("volumes", ()) if volume.get("configuredAtLaunch")]
    given = members.get("volumeConfigurations", ())
    for each in given:
        if each["name"] not in names:
            raise invalid_parameter(
                f"The volume name '{each['name']}' in your request does not have a matching volume in your "
                "Task Definition"
            )
        if each["name"] not in waiting:
            raise _invalid(f"Volume '{each['name']}' is not configuredAtLaunch in the task definition.")
    if len(given) > 1:
        raise _invalid("Only one volume can be configured at launch.")
    if not given:
        if waiting:
            raise _invalid(f"Volume '{waiting[0]}' is configuredAtLaunch: give its volumeConfigurations.")
        return None
    settings = given[0].get("managedEBSVolume")
    if not settings:
        raise _invalid(f"Volume '{given[0]['name']}' has no managedEBSVolume.")
    return _read(given[0]["name"], settings, definition, of_service=of_service)


def _read(name: str, settings: Mapping[str, Any], definition: TaskDefinition, *, of_service: bool) -> TaskVolume:
    kind = settings.get("volumeType", "gp3")
    size, snapshot = settings.get("sizeInGiB"), settings.get("snapshotId")
    if kind not in SIZES:
        raise _invalid(f"volumeType should be one of {', '.join(SIZES)}, not '{kind}'.")
    if size is None and snapshot is None:
        raise _invalid("Either sizeInGiB or snapshotId is needed.")
    if size is not None:
        _check_range(f"sizeInGiB of a {kind} volume", size, SIZES[kind])
    file_system = settings.get("filesystemType", "xfs")
    if file_system not in FILE_SYSTEMS:
        raise _invalid(f"filesystemType should be one of {', '.join(FILE_SYSTEMS)}, not '{file_system}'.")
    keeps = settings.get("terminationPolicy", {}).get("deleteOnTermination", True) is False
    if keeps and of_service:
        raise _invalid("Volumes of services are always deleted with their tasks: remove the terminationPolicy.")
    return TaskVolume(
        name=name,
        type=kind,
        size=size,
        snapshot=snapshot,
        iops=_iops(settings, kind),
        throughput=_throughput(settings, kind),
        encrypted=settings.get("encrypted"),
        kms_key=settings.get("kmsKeyId"),
        file_system=file_system,
        role_arn=settings["roleArn"],
        deletes=not keeps,
        tags={**_tags(settings, definition), **_MANAGED},
        initialization_rate=_initialization_rate(settings),
        has_service_tags=_has_service_tags(settings, of_service=of_service),
    )


def _iops(settings: Mapping[str, Any], kind: str) -> int | None:
    iops: int | None = settings.get("iops")
    if iops is not None and kind not in IOPS:
        raise _invalid(f"iops are for the volume types {', '.join(IOPS)}, not for {kind}.")
    if iops is None and kind in _NEEDS_IOPS:
        raise _invalid(f"A volume of type {kind} needs iops.")
    if iops is not None:
        _check_range(f"iops of a {kind} volume", iops, IOPS[kind])
    return iops


def _throughput(settings: Mapping[str, Any], kind: str) -> int | None:
    throughput: int | None = settings.get("throughput")
    if throughput is not None and kind != "gp3":
        raise _invalid(f"throughput is for the volume type gp3, not for {kind}.")
    if throughput is not None:
        _check_range("throughput, in MiB/s,", throughput, THROUGHPUT)
    return throughput


def _initialization_rate(settings: Mapping[str, Any]) -> int | None:
    rate: int | None = settings.get("volumeInitializationRate")
    if rate is not None and not settings.get("snapshotId"):
        raise _invalid("volumeInitializationRate is for volumes from a snapshot: give a snapshotId.")
    if rate is not None:
        _check_range("volumeInitializationRate, in MiB/s,", rate, INITIALIZATION_RATE)
    return rate


def _has_service_tags(settings: Mapping[str, Any], *, of_service: bool) -> bool:
    wanted = any(each.get("propagateTags") == "SERVICE" for each in settings.get("tagSpecifications", ()))
    if wanted and not of_service:
        raise _invalid("propagateTags SERVICE is for volumes of services; a task that is run by itself has none.")
    return wanted


def _check_range(what: str, value: int, range_: tuple[int, int]) -> None:
    least, most = range_
    if not least <= value <= most:
        raise _invalid(f"{what} should be between {least} and {most}, but was {value}.")


def _tags(settings: Mapping[str, Any], definition: TaskDefinition) -> dict[str, str]:
    tags: dict[str, str] = {}
    for each in settings.get("tagSpecifications", ()):
        if each.get("resourceType", "volume") != "volume":
            raise _invalid(f"tagSpecifications are for volumes, not for '{each['resourceType']}'.")
        if each.get("propagateTags") == "TASK_DEFINITION":
            tags |= definition.tags
        tags |= {tag["key"]: tag.get("value", "") for tag in each.get("tags", ())}
    return tags


def _invalid(why: str) -> Refusal:
    return invalid_parameter(f"ECS managed EBS volume configuration was invalid. {why}")
