"""Volumes of a task definition in the form in which agents get them. Pure. Source: agent protocol, volume JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsorch.wire import acs

Document = Mapping[str, Any]


def acs_volume(volume: Document) -> acs.Volume:
    """One volume. What is only configured when the task is launched is a placeholder of type attachment."""
    name = volume["name"]
    if "dockerVolumeConfiguration" in volume:
        return _docker(name, volume["dockerVolumeConfiguration"])
    if "efsVolumeConfiguration" in volume:
        return _efs(name, volume["efsVolumeConfiguration"])
    if "fsxWindowsFileServerVolumeConfiguration" in volume:
        return _fsx(name, volume["fsxWindowsFileServerVolumeConfiguration"])
    if volume.get("configuredAtLaunch") or "s3filesVolumeConfiguration" in volume:
        return acs.Volume(name=name, type="attachment")
    source = (volume.get("host") or {}).get("sourcePath", "")
    return acs.Volume(name=name, type="host", host=acs.HostVolume(source_path=source))


def _docker(name: str, given: Document) -> acs.Volume:
    configuration = acs.DockerVolume(
        scope=given.get("scope", "task"),
        autoprovision=given.get("autoprovision", False),
        driver=given.get("driver", ""),
        driver_opts=dict(given.get("driverOpts", {})),
        labels=dict(given.get("labels", {})),
    )
    return acs.Volume(name=name, type="docker", docker_volume_configuration=configuration)


def _efs(name: str, given: Document) -> acs.Volume:
    authorization = given.get("authorizationConfig")
    configuration = acs.EFSVolume(
        file_system_id=given["fileSystemId"],
        root_directory=given.get("rootDirectory", "/"),
        transit_encryption=given.get("transitEncryption", "DISABLED"),
        transit_encryption_port=given.get("transitEncryptionPort", 0),
        authorization_config=None
        if authorization is None
        else acs.EFSAuthorization(
            access_point_id=authorization.get("accessPointId", ""), iam=authorization.get("iam", "DISABLED")
        ),
    )
    return acs.Volume(name=name, type="efs", efs_volume_configuration=configuration)


def _fsx(name: str, given: Document) -> acs.Volume:
    authorization = given["authorizationConfig"]
    configuration = acs.FSxWindowsFileServerVolume(
        file_system_id=given["fileSystemId"],
        root_directory=given["rootDirectory"],
        authorization_config=acs.FSxAuthorization(
            credentials_parameter=authorization["credentialsParameter"], domain=authorization["domain"]
        ),
    )
    return acs.Volume(
        name=name, type="fsxWindowsFileServer", fsx_windows_file_server_volume_configuration=configuration
    )
