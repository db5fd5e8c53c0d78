"""Put the image `awsorch/busybox:latest` into the engine: a shell, a web server and the usual small tools.

The sample task definitions, the demo and the tests run on it. The official `busybox` is pulled and tagged
when a registry answers within a few seconds; otherwise the same thing is put together from Debian's
busybox-static, so that a machine without a registry runs everything. An image that is there is left alone.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

IMAGE = "awsorch/busybox"
UPSTREAM = "busybox"
REGISTRY_SECONDS = 4
PULL_SECONDS = 120
FOLDERS = {
    "bin": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "root": 0o700,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
PT_INTERP = 3


def main() -> None:
    client = docker.from_env(timeout=PULL_SECONDS)
    try:
        client.images.get(f"{IMAGE}:latest")
    except ImageNotFound:
        if pull(client):
            print(f"set-up: pulled {UPSTREAM} and tagged it {IMAGE}:latest")
        else:
            build(client)
            print(f"set-up: no registry answers, so {IMAGE}:latest is built from busybox-static")
    finally:
        client.close()


def pull(client: docker.DockerClient) -> bool:
    """Pull and tag the upstream image; False when no registry answers the engine soon."""
    asking = docker.from_env(timeout=REGISTRY_SECONDS)
    try:
        asking.images.get_registry_data(f"{UPSTREAM}:latest")
        return bool(client.images.pull(UPSTREAM, tag="latest").tag(IMAGE, tag="latest"))
    except (DockerException, OSError):
        return False
    finally:
        asking.close()


def build(client: docker.DockerClient) -> None:
    with tempfile.TemporaryDirectory() as folder:
        binary = static_busybox(Path(folder))
        applets = subprocess.run((binary, "--list"), capture_output=True, text=True, check=True).stdout.split()
        client.api.import_image_from_data(
            root_file_system(binary.read_bytes(), applets),
            repository=IMAGE,
            tag="latest",
            changes=["ENV PATH=/bin", 'CMD ["sh"]', "LABEL awsorch.built-from=busybox-static"],
        )


def static_busybox(folder: Path) -> Path:
    """A busybox that needs no library: the machine's, else one unpacked, not installed, from its package."""
    here = shutil.which("busybox")
    if here and is_static(Path(here)):
        return Path(here).resolve()
    download = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static")
    if shutil.which("apt-get") and not succeeds(download, folder) and os.geteuid() == 0:
        succeeds(("apt-get", "-qq", "update"), folder)
        succeeds(download, folder)
    packages = list(folder.glob("busybox-static_*.deb"))
    if not packages:
        sys.exit(
            "set-up: no registry answers, and neither a static busybox nor its package is to be had: "
            "install busybox-static, or `docker pull busybox` where a registry answers."
        )
    subprocess.run(("dpkg-deb", "-x", packages[0], folder / "unpacked"), check=True)
    return next(path for path in (folder / "unpacked").rglob("busybox") if path.is_file() and is_static(path))


def succeeds(command: tuple[str, ...], folder: Path) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def is_static(binary: Path) -> bool:
    """Whether a 64-bit little-endian ELF file asks for no program interpreter, so for no shared library."""
    data = binary.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return False
    table = int.from_bytes(data[32:40], "little")
    size, count = int.from_bytes(data[54:56], "little"), int.from_bytes(data[56:58], "little")
    kinds = (data[table + index * size : table + index * size + 4] for index in range(count))
    return all(int.from_bytes(kind, "little") != PT_INTERP for kind in kinds)


def root_file_system(binary: bytes, applets: list[str]) -> bytes:
    """A tar of the image's file system: one binary and a link for each of its applets."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in FOLDERS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content, mode in (
            ("bin/busybox", binary, 0o755),
            *((path, text.encode(), 0o644) for path, text in FILES.items()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
        for applet in applets:
            if applet != "busybox":  # a link to itself would leave an image in which nothing runs
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
    return out.getvalue()


if __name__ == "__main__":
    main()
