"""File systems of EFS as Docker volumes: by ECS's volume plugin, by NFS, or by a folder that stands in for all of them.

The plugin encrypts, and knows access points and IAM; plain NFS does not. Where the local cloud plays AWS there is
nothing to mount, so each file system is a sub-folder of one folder that all its instances share.
Source: ECS developer guide, "Use Amazon EFS volumes with Amazon ECS"; agent protocol, volumes.
"""

import posixpath
from pathlib import Path

from awsorch.agent.engine import VolumeArguments
from awsorch.agent.environment import Placement, credentials_id
from awsorch.agent.settings import InstanceSettings
from awsorch.wire import acs

PLUGIN = "amazon-ecs-volume-plugin"
CAPABILITY = "efsAuth"
NFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
_CREDENTIALS = "/v2/credentials/"


def unsupported(task: acs.Task, offers: InstanceSettings) -> str:
    """What a task's file systems need that the instance does not have; empty for nothing."""
    for volume in task.volumes:
        config = volume.efs_volume_configuration
        if config is not None and not (offers.efs_folder or CAPABILITY in offers.volume_plugin_capabilities):
            named = config.authorization_config or acs.EFSAuthorization()
            if config.transit_encryption == "ENABLED" or named.access_point_id or named.iam == "ENABLED":
                return (
                    f"the volume {volume.name}: encryption in transit, access points and IAM authorization of EFS need "
                    f"the Docker volume plugin {PLUGIN} and ECS_VOLUME_PLUGIN_CAPABILITIES to name {CAPABILITY}"
                )
    return ""


def volume_of(
    volume: acs.Volume, task: acs.Task, name: str, place: Placement, labels: dict[str, str]
) -> VolumeArguments:
    """The Docker volume that mounts a file system."""
    config = volume.efs_volume_configuration
    assert config is not None
    root = posixpath.normpath("/" + (config.root_directory or "/").lstrip("/"))
    if place.efs_folder:
        folder = Path(place.efs_folder, config.file_system_id, *_parts(config, root))
        options = {"type": "none", "o": "bind", "device": str(folder)}
        return VolumeArguments(name=name, driver="local", options=options, labels=labels)
    if place.has_efs_plugin:
        options = {
            "type": "efs",
            "device": f"{config.file_system_id}:{root}",
            "o": ",".join(_plugin_options(config, task)),
        }
        return VolumeArguments(name=name, driver=PLUGIN, options=options, labels=labels)
    suffix = "amazonaws.com.cn" if place.region.startswith("cn-") else "amazonaws.com"
    address = f"{config.file_system_id}.efs.{place.region}.{suffix}"
    options = {"type": "nfs", "device": f":{root}", "o": f"addr={address},{NFS_OPTIONS}"}
    return VolumeArguments(name=name, driver="local", options=options, labels=labels)


def make_folder(arguments: VolumeArguments, place: Placement) -> None:
    """Have a folder there that stands in for a file system; any other volume is let alone. Raises OSError."""
    device = arguments.options.get("device", "")
    if place.efs_folder and device.startswith(f"{place.efs_folder}/"):
        Path(device).mkdir(parents=True, exist_ok=True)


def _parts(config: acs.EFSVolume, root: str) -> list[str]:
    """Below a file system's folder: an access point has one of its own."""
    named = config.authorization_config or acs.EFSAuthorization()
    return [*([named.access_point_id] if named.access_point_id else []), *root.strip("/").split("/")]


def _plugin_options(config: acs.EFSVolume, task: acs.Task) -> list[str]:
    named = config.authorization_config or acs.EFSAuthorization()
    options = []
    if config.transit_encryption == "ENABLED":
        options.append("tls")
        if config.transit_encryption_port:
            options.append(f"tlsport={config.transit_encryption_port}")
    if named.iam == "ENABLED":
        options += ["iam", f"awscredsuri={_CREDENTIALS}{credentials_id(task)}"]
    if named.access_point_id:
        options.append(f"accesspoint={named.access_point_id}")
    return options
