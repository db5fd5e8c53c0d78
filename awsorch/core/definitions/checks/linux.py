"""Rules about what the kernel does for a container: linuxParameters, ulimits, systemControls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from awsorch.core.definitions.document import Document, containers_of, name_of, network_mode_of
from awsorch.core.errors import client_error

_CAPABILITIES = """
    ALL AUDIT_CONTROL AUDIT_WRITE BLOCK_SUSPEND CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER
    KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP
    SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO
    SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM
"""
_MOUNT_OPTIONS = """
    defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime
    nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime
    strictatime nostrictatime mode uid gid nr_inodes nr_blocks mpol
"""
CAPABILITIES = frozenset(_CAPABILITIES.split())
MOUNT_OPTIONS = frozenset(_MOUNT_OPTIONS.split())
_IPC_NAMES = ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
_IPC_CONTROLS = frozenset(f"kernel.{name}" for name in _IPC_NAMES)
_MQUEUE = "fs.mqueue."


def check_linux_parameters(document: Document) -> None:
    """Capabilities, tmpfs, shared memory, swap, devices, ulimits and kernel parameters of every container."""
    for container in containers_of(document):
        parameters = container.get("linuxParameters") or {}
        complain = _complaint(container)
        _check_capabilities(parameters.get("capabilities") or {}, complain)
        _check_memory(parameters, complain)
        for tmpfs in parameters.get("tmpfs") or ():
            _check_tmpfs(tmpfs, complain)
        if any(not device.get("hostPath") for device in parameters.get("devices") or ()):
            raise complain("'devices' need a 'hostPath'.")
        _check_ulimits(container.get("ulimits") or (), complain)
        _check_system_controls(document, container.get("systemControls") or (), complain)


Complaint = Callable[[str], Exception]


def _complaint(container: Document) -> Complaint:
    return lambda text: client_error(f"Invalid setting for container '{name_of(container)}'. {text}")


def _check_capabilities(capabilities: Document, complain: Complaint) -> None:
    for name in (*(capabilities.get("add") or ()), *(capabilities.get("drop") or ())):
        if name not in CAPABILITIES:
            raise complain(f"'{name}' is not a Linux capability.")


def _check_memory(parameters: Document, complain: Complaint) -> None:
    shared, swap, swappiness = (parameters.get(m) for m in ("sharedMemorySize", "maxSwap", "swappiness"))
    if shared is not None and shared < 1:
        raise complain("'sharedMemorySize' must be at least 1 MiB.")
    if swap is not None and swap < 0:
        raise complain("'maxSwap' must be 0 MiB or more.")
    if swappiness is not None and not 0 <= swappiness <= 100:
        raise complain("'swappiness' must be from 0 to 100.")


def _check_tmpfs(tmpfs: Document, complain: Complaint) -> None:
    if not tmpfs.get("containerPath") or (tmpfs.get("size") or 0) < 1:
        raise complain("'tmpfs' needs a 'containerPath' and a 'size' of at least 1 MiB.")
    for option in tmpfs.get("mountOptions") or ():
        if option.partition("=")[0] not in MOUNT_OPTIONS:
            raise complain(f"'{option}' is not a mount option of tmpfs.")


def _check_ulimits(ulimits: Iterable[Document], complain: Complaint) -> None:
    seen = set()
    for limit in ulimits:
        name, soft, hard = limit.get("name"), limit.get("softLimit"), limit.get("hardLimit")
        if soft is None or hard is None:
            raise complain(f"Ulimit '{name}' needs a 'softLimit' and a 'hardLimit'.")
        # -1 is the kernel's word for unlimited.
        if hard >= 0 and (soft > hard or soft < 0):
            raise complain(f"The soft limit of ulimit '{name}' must be at most its hard limit.")
        if name in seen:
            raise complain(f"Ulimit '{name}' is given twice.")
        seen.add(name)


def _check_system_controls(document: Document, controls: Iterable[Document], complain: Complaint) -> None:
    for control in controls:
        name = control.get("namespace") or ""
        of_network = name.startswith("net.")
        of_ipc = name.startswith(_MQUEUE) or name in _IPC_CONTROLS
        if not of_network and not of_ipc:
            raise complain(f"System control '{name}' is not supported. Use net.*, {_MQUEUE}* or the kernel's IPC ones.")
        if of_network and network_mode_of(document) == "host":
            raise complain(f"System control '{name}' is not supported when networkMode=host.")
        if of_ipc and document.get("ipcMode") == "host":
            raise complain(f"System control '{name}' is not supported when ipcMode=host.")
