"""The pause container: the hidden one that holds what a task's containers share, such as their network.

It is the first to start and the last to stop, and does nothing. Its image is made here, so that nothing has to be
pulled: one program of a few instructions. What it is called, and that it is never reported, follows the official agent.
Source: agent protocol, Docker objects created (pause container).
"""

import hashlib
import io
import json
import platform
import struct
import tarfile

import msgspec

from awsorch.wire import acs

PAUSE = "~internal~ecs~pause"
IMAGE = "awsorch/pause:1"
_INTERNAL = "~internal~"
_PROGRAM = "pause"
_BASE = 0x400000
_HEADERS = 64 + 56
# Each program: rt_sigaction(SIGCHLD, SIG_IGN), so that the kernel reaps orphans, as init of a shared PID namespace has
# to; then sleep for good. The 32 bytes of the kernel's struct sigaction follow the code.
_CODES = {
    # mov eax,13; mov edi,17; lea rsi,[action]; xor edx,edx; mov r10d,8; syscall; again: mov eax,34 (pause); syscall;
    # jmp again
    "amd64": bytes.fromhex("b80d000000 bf11000000 488d3513000000 31d2 41ba08000000 0f05 b822000000 0f05 ebf7"),
    # mov x8,#134; mov x0,#17; adr x1,action; mov x2,#0; mov x3,#8; svc #0; again: mov x8,#73 (ppoll); mov x0..x4,#0;
    # svc #0; b again
    "arm64": struct.pack(
        "<14I",
        *(0xD28010C8, 0xD2800220, 0x10000181, 0xD2800002, 0xD2800103, 0xD4000001),
        *(0xD2800928, 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004, 0xD4000001, 0x17FFFFF9),
    ),
}
_MACHINES = {"amd64": 62, "arm64": 183}
_IGNORE_CHILDREN = struct.pack("<4Q", 1, 0, 0, 0)


def is_internal(container: str) -> bool:
    """Whether a container is the agent's own, of which the controller knows nothing."""
    return container.startswith(_INTERNAL)


def with_pause(task: acs.Task) -> acs.Task:
    """The task with its pause container, if its containers share anything; each of the others waits for it."""
    shares = task.network_mode == "awsvpc" or "task" in (task.pid_mode, task.ipc_mode)
    if not shares or any(each.name == PAUSE for each in task.containers):
        return task
    waiting = acs.ContainerDependency(container_name=PAUSE, condition="START")
    others = (msgspec.structs.replace(each, depends_on=(*each.depends_on, waiting)) for each in task.containers)
    pause = acs.Container(name=PAUSE, image=IMAGE, essential=True, stop_timeout=2)
    return msgspec.structs.replace(task, containers=(pause, *others))


def image_archive(machine: str = "") -> bytes:
    """The image for a processor as the kernel names it (this one's by default), as `docker load` takes it. Raises
    KeyError for one that there is no program for."""
    kernel = machine or platform.machine()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(kernel, kernel)
    layer = _tar({_PROGRAM: _executable(architecture)})
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            # It heeds no other signal, having nothing to put in order.
            "config": {"Entrypoint": [f"/{_PROGRAM}"], "StopSignal": "SIGKILL"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    return _tar({name: config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def _executable(architecture: str) -> bytes:
    """An ELF file of one segment that is loaded as it is."""
    code = _CODES[architecture] + _IGNORE_CHILDREN
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head = struct.pack("<HHIQQQIHHHHHH", 2, _MACHINES[architecture], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + head + segment + code


def _tar(files: dict[str, bytes]) -> bytes:
    """The same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), 0o755
            archive.addfile(about, io.BytesIO(content))
    return out.getvalue()
