"""Rules about volumes, mount points and volumesFrom. Source: RegisterTaskDefinition, Volume and its members."""

from __future__ import annotations

from awsorch.core.definitions.checks.names import MAX_NAME, is_name
from awsorch.core.definitions.document import Document, containers_of, name_of, volumes_of
from awsorch.core.errors import client_error

_KINDS = (
    "host",
    "dockerVolumeConfiguration",
    "efsVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
    "configuredAtLaunch",
)
MAX_PORT = 65_535


def check_volumes(document: Document) -> None:
    """Volumes one by one, then who mounts them."""
    names: set[str] = set()
    for volume in volumes_of(document):
        _check_volume(volume, names)
        names.add(volume["name"])
    mounted = _check_mounts(document, names)
    _check_launch_volumes(document, mounted)


def _check_volume(volume: Document, seen: set[str]) -> None:
    name = volume.get("name") or ""
    if not name:
        raise client_error("Volume.name should not be null or empty.")
    if not is_name(name) or len(name) > MAX_NAME:
        raise client_error(
            f"Invalid volume name '{name}'. Use at most {MAX_NAME} letters, digits, underscores and hyphens."
        )
    if name in seen:
        raise client_error(f"Volume.name must be unique in a task definition: '{name}' is used twice.")
    kinds = [kind for kind in _KINDS if volume.get(kind)]
    if len(kinds) > 1:
        raise client_error(f"Volume '{name}' may have only one of: {', '.join(kinds)}")
    _check_docker(volume)
    _check_efs(volume)
    s3files = volume.get("s3filesVolumeConfiguration") or {}
    _check_port(volume, s3files.get("transitEncryptionPort"))


def _check_docker(volume: Document) -> None:
    docker = volume.get("dockerVolumeConfiguration") or {}
    if docker.get("autoprovision") and docker.get("scope", "task") != "shared":
        raise client_error(f"Volume '{volume['name']}': 'autoprovision' is only supported with the scope 'shared'.")


def _check_efs(volume: Document) -> None:
    efs = volume.get("efsVolumeConfiguration") or {}
    _check_port(volume, efs.get("transitEncryptionPort"))
    authorization = efs.get("authorizationConfig") or {}
    access_point = authorization.get("accessPointId")
    if (access_point or authorization.get("iam") == "ENABLED") and efs.get("transitEncryption") != "ENABLED":
        raise client_error(
            f"Volume '{volume['name']}': 'transitEncryption' must be ENABLED to use IAM authorization or an "
            "access point."
        )
    if access_point and efs.get("rootDirectory") not in (None, "", "/"):
        raise client_error(f"Volume '{volume['name']}': 'rootDirectory' must be omitted or '/' with an access point.")


def _check_port(volume: Document, port: int | None) -> None:
    if port is not None and not 0 <= port <= MAX_PORT:
        raise client_error(f"Volume '{volume['name']}': 'transitEncryptionPort' must be from 0 to {MAX_PORT}.")


def _check_mounts(document: Document, volumes: set[str]) -> set[str]:
    """Returns the names of the volumes that some container mounts."""
    containers = {name_of(container) for container in containers_of(document)}
    mounted = set()
    for container in containers_of(document):
        for mount in container.get("mountPoints") or ():
            source = mount.get("sourceVolume")
            if source not in volumes:
                raise client_error(f"Unknown volume '{source or ''}'.")
            if not mount.get("containerPath"):
                raise client_error(f"Mount points of container '{name_of(container)}' need a 'containerPath'.")
            mounted.add(source)
        for lender in container.get("volumesFrom") or ():
            source = lender.get("sourceContainer")
            if source not in containers:
                raise client_error(f"Invalid 'volumesFrom' setting. Unknown container: '{source or ''}'")
    return mounted


def _check_launch_volumes(document: Document, mounted: set[str]) -> None:
    late = [volume["name"] for volume in volumes_of(document) if volume.get("configuredAtLaunch")]
    if len(late) > 1:
        raise client_error("A task definition may have at most one volume that is configured at launch.")
    idle = [name for name in late if name not in mounted]
    if idle:
        raise client_error(f"Volumes [{', '.join(idle)}] are not referenced by any of the containers")
