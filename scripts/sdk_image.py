"""Build the image of the samples that call AWS: Python and boto3, as this machine has them, and a shell.

No registry of images is needed: what the interpreter links to is copied from this machine. Only the services that the
samples call are in it, so it has some 60 MB.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import docker

IMAGE = "awsorch/sdk:latest"
BUSYBOX = "awsorch/busybox:latest"
SERVICES = ("ecs", "logs", "s3", "secretsmanager", "ssm", "sts")
_LEFT_OUT = re.compile(
    r"/(?:test|tests|idlelib|tkinter|ensurepip|lib2to3|turtledemo|config-[^/]*|__pycache__|site-packages)/"
)
_DATA = re.compile(r"/botocore/data/([a-z0-9-]+)/")
_PACKAGES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "urllib3", "six.py")
_NEEDED = re.compile(r"(/\S+) \(0x")


def main() -> int:
    with closing(docker.APIClient(version="auto", timeout=120)) as client:
        if not client.images(IMAGE, quiet=True):
            client.import_image_from_data(bytes(_archive(client)), *IMAGE.split(":"))
    return 0


def _archive(client: docker.APIClient) -> bytes:
    """A root file system: busybox's, and Python's beside it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        container = client.create_container(BUSYBOX, ["true"])
        try:
            exported = io.BytesIO(b"".join(client.export(container)))
        finally:
            client.remove_container(container)
        with tarfile.open(fileobj=exported) as busybox:
            for member in busybox:
                if member.name.startswith(("bin", "tmp")) or member.name == "etc":
                    archive.addfile(member, busybox.extractfile(member) if member.isreg() else None)
        _passwd(archive)
        link = tarfile.TarInfo("bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, str(Path(sys.executable).resolve())
        archive.addfile(link)
        for source, target in _python():
            archive.add(source, target, recursive=False)
    return content.getvalue()


def _passwd(archive: tarfile.TarFile) -> None:
    text = b"root:x:0:0:root:/root:/bin/sh\n"
    entry = tarfile.TarInfo("etc/passwd")
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))


def _python() -> Iterator[tuple[Path, str]]:
    """Files, and their paths in the image."""
    program = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    linked = {program, *library.glob("lib-dynload/*.so")}
    for path in sorted({each for file in linked for each in _libraries(file)}):
        yield path.resolve(), str(path).lstrip("/")
    yield program, str(program).lstrip("/")
    for file in _files(library):
        yield file, str(file).lstrip("/")
    packages = Path(boto3.__file__).parent.parent
    for name in _PACKAGES:
        for file in _files(packages / name) if (packages / name).is_dir() else [packages / name]:
            service = _DATA.search(str(file))
            if service is None or service[1] in SERVICES:
                yield file, str(library / "site-packages" / file.relative_to(packages)).lstrip("/")


def _libraries(file: Path) -> Iterator[Path]:
    listed = subprocess.run(("ldd", str(file)), capture_output=True, text=True, check=False).stdout
    for path in _NEEDED.findall(listed):
        yield Path(path)


def _files(folder: Path) -> Iterator[Path]:
    return (
        each
        for each in sorted(folder.rglob("*"))
        if each.is_file() and not _LEFT_OUT.search(f"{each}/"[len(str(folder)) :])
    )


if __name__ == "__main__":
    sys.exit(main())
