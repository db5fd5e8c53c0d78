"""The image that tests and demo run containers from: busybox, static, built here when no registry has it."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from docker import APIClient
from docker.errors import ImageNotFound

TEST_IMAGE = "awsorch/busybox:latest"
_FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp", "var", "root", "www")


def ensure_test_image(client: APIClient) -> str:
    """The name of an image with sh, sleep, cat, httpd and all else that busybox can be; quick when it exists.

    Raises RuntimeError where there is no statically linked busybox (Debian: busybox-static).
    """
    try:
        client.inspect_image(TEST_IMAGE)
    except ImageNotFound:
        repository, _, tag = TEST_IMAGE.partition(":")
        client.import_image_from_data(
            _root_file_system(),
            repository=repository,
            tag=tag,
            changes=['CMD ["sh"]', "ENV PATH=/bin"],
        )
    return TEST_IMAGE


def _root_file_system() -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("no busybox on this machine: install busybox-static")
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in _FOLDERS:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        _add_file(tar, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        _add_file(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644)
        _add_file(tar, "etc/group", b"root:x:0:\nnobody:x:65534:\n", 0o644)
        for applet in listed.stdout.split():
            if applet == "busybox":
                continue  # a link of that name would point to itself
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
