"""A Docker Engine that a test may kill and stop, apart from the machine's own.

It lives in namespaces of its own (network, mounts, processes), whose first process ends when its standard input is
closed: the kernel then ends every process in them and takes their mounts away, whatever state the engine is in and
however the test ended. Needs root, util-linux and Docker; of the machine's engine it asks only for an image.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docker import APIClient
from docker.errors import DockerException

from tests.e2e.conftest import until
from tests.support.images import ensure_test_image

CGROUPS = Path("/sys/fs/cgroup")
START_SECONDS = 60
FIRST_PROCESS = "mount -t tmpfs tmpfs /run && echo ready && read"
"""A /run of its own keeps this engine's pid file, sockets and locks out of the other's; bash reaps orphans."""


class PrivateEngine:
    """An engine in a folder of its own; a context manager. Containers outlive it if `live_restore`; its disk has
    `disk_mib` MiB, 0 for those of the folder.

    `client` is a Docker SDK client of it, `host` its DOCKER_HOST, `image` the test image, which it has.
    """

    def __init__(self, *, live_restore: bool, disk_mib: int = 0) -> None:
        self._live_restore = live_restore
        self._disk_mib = disk_mib
        self._cgroup = f"awsorch-{uuid.uuid4().hex[:12]}"
        self._folder = Path(tempfile.mkdtemp(prefix="engine-"))  # short: a socket's path has 107 characters at most
        self._log = self._folder / "log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self.host = f"unix://{self._folder}/docker.sock"

    def __enter__(self) -> PrivateEngine:
        command = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "bash", "-c", FIRST_PROCESS)
        self._namespaces = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert self._namespaces.stdout is not None
            assert self._namespaces.stdout.readline() == b"ready\n", "no namespaces: are you root?"
            self.run("ip", "link", "set", "lo", "up")
            if self._disk_mib:
                (self._folder / "data").mkdir()
                self.run("mount", "-t", "tmpfs", "-o", f"size={self._disk_mib}m", "tmpfs", f"{self._folder}/data")
            self.start()
            self.client = APIClient(base_url=self.host, version="auto", timeout=START_SECONDS)
            self.image = self._copy_image()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.close()

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        options = ["--data-root", f"{self._folder}/data", "--host", self.host, "--cgroup-parent", f"/{self._cgroup}"]
        options += ["--exec-opt", "native.cgroupdriver=cgroupfs"]  # systemd knows no other namespace's process ids
        if self._live_restore:
            options.append("--live-restore")
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                (*self._inside(), "dockerd", *options), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until("the engine answers", self._answers, START_SECONDS)

    def kill(self) -> None:
        """Kill -9 the daemon; its containerd goes with it."""
        self._signal(signal.SIGKILL)
        self._nsenter.wait()

    def stop(self) -> None:
        """End the daemon as an operator does. Without live-restore it stops its containers first, as they ask for."""
        self._signal(signal.SIGTERM)
        self._nsenter.wait()

    def hang(self) -> None:
        """The daemon takes connections and answers nothing. nsenter stops when its child does."""
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._nsenter.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """The daemon answers again what it was asked meanwhile."""
        self._nsenter.send_signal(signal.SIGCONT)  # it hands it on

    def run(self, *command: str) -> None:
        """Run a command in the engine's namespaces."""
        subprocess.run((*self._inside(), *command), check=True)

    def fill_disk(self) -> None:
        """Leave no room on its disk."""
        disk = f"{self._folder}/data"
        self.run("sh", "-c", f"cat /dev/zero > {disk}/filler 2>/dev/null; test $(stat -fc %a {disk}) = 0")

    def free_disk(self) -> None:
        """Take away what fills it."""
        self.run("rm", f"{self._folder}/data/filler")

    def listener(self) -> socket.socket:
        """A socket that listens on the loopback address of its network, from where it pulls without TLS."""
        with ThreadPoolExecutor(1) as inside:  # a network namespace is a thread's own, and so is lost with it
            return inside.submit(self._listen).result()

    def _listen(self) -> socket.socket:
        with open(f"/proc/{self._namespaces.pid}/ns/net") as space:
            if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_server(("127.0.0.1", 0))

    def close(self) -> None:
        """End whatever is left of it, and leave nothing behind."""
        assert self._namespaces.stdin is not None
        assert self._namespaces.stdout is not None
        self._namespaces.stdin.close()
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGCONT)  # a stopped nsenter does not see its child end
            self._daemon.wait()
        self._namespaces.wait()
        self._namespaces.stdout.close()
        for group in (*CGROUPS.glob(self._cgroup), *CGROUPS.glob(f"*/{self._cgroup}")):
            for path, _, _ in os.walk(group, topdown=False):
                os.rmdir(path)
        shutil.rmtree(self._folder)

    def logs(self) -> str:
        """The end of the daemon's log, for the message of a test that failed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])

    @property
    def _nsenter(self) -> subprocess.Popen[bytes]:
        assert self._daemon is not None
        return self._daemon

    def _inside(self) -> tuple[str, ...]:
        spaces = Path("/proc", str(self._namespaces.pid), "ns")
        return ("nsenter", f"--net={spaces}/net", f"--mount={spaces}/mnt", f"--pid={spaces}/pid_for_children")

    def _signal(self, number: signal.Signals) -> None:
        command = f"kill -{number.value} $(cat /run/docker.pid)"
        subprocess.run((*self._inside(), "bash", "-c", command), check=True)

    def _answers(self) -> bool:
        assert self._nsenter.poll() is None, f"dockerd ended:\n{self.logs()}"
        try:
            client = APIClient(base_url=self.host, version="auto", timeout=5)
        except DockerException:
            return False
        client.close()
        return True

    def _copy_image(self) -> str:
        """The test image as the machine's engine has it."""
        outer = APIClient(version="auto")
        try:
            image = ensure_test_image(outer)
            self.client.load_image(b"".join(outer.get_image(image)))
        finally:
            outer.close()
        return image
