"""Find a Docker Engine that answers, or start one, so that `make demo` and `make test` need no preparation.

An engine that answers (DOCKER_HOST, else the default socket) is used as it is. Otherwise, on Debian or Ubuntu
as root, the distribution's engine is installed and started, with a line that says so. Anywhere else it stops
and says what to do. It asks the engine itself over its API: a `docker` command that exists proves nothing. It
never stops or reconfigures an engine; but the engine's bridge gets an Ethernet address that stays, where nobody has
given it one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import docker
from docker.errors import DockerException

START_SECONDS = 60
LOG = Path("/var/log/awsorch-dockerd.log")
#: Where an engine that was killed leaves its process id; the next one takes it for running if anything has that id.
PID_FILES = {"dockerd": Path("/var/run/docker.pid"), "containerd": Path("/var/run/docker/containerd/containerd.pid")}
BRIDGE = Path("/sys/class/net/docker0")
#: In `addr_assign_type`: somebody has set the address.
SET = "3"
PACKAGES = ("docker.io", "iptables", "ca-certificates")


def main() -> None:
    if engine_version() is None:
        bring_up()
    keep_bridge_address()


def bring_up() -> None:
    """Install and start what is missing, or stop with what to do."""
    if host := os.environ.get("DOCKER_HOST"):
        stop(f"no Docker Engine answers at DOCKER_HOST={host}. Start it, or unset DOCKER_HOST.")
    if not (is_debian() and os.geteuid() == 0):
        stop(
            "no Docker Engine answers at /var/run/docker.sock. Start Docker (and let this user use it: "
            "`sudo usermod -aG docker $USER`, then log in again), set DOCKER_HOST, or run make as root on "
            "Debian or Ubuntu, where it installs and starts docker.io itself."
        )
    install()
    start()
    print(f"set-up: Docker Engine {engine_version()} answers")


def engine_version() -> str | None:
    """The version of the engine that answers within a few seconds, or None."""
    try:
        client = docker.from_env(timeout=5)
        try:
            return str(client.version()["Version"])
        finally:
            client.close()
    except (DockerException, OSError):
        return None


def is_debian() -> bool:
    release = Path("/etc/os-release")
    if not release.is_file():
        return False
    lines = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    words = f"{lines.get('ID', '')} {lines.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in words or "ubuntu" in words


def install() -> None:
    if shutil.which("dockerd"):
        return
    print(f"set-up: no Docker Engine here: installing {', '.join(PACKAGES)} with apt-get")
    install_packages(*PACKAGES)


def install_packages(*packages: str) -> None:
    """Install packages of the distribution, or stop with what apt-get said."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
        done = subprocess.run(
            ("apt-get", "-qq", *command),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            stop(f"`apt-get {' '.join(command)}` failed:\n{done.stderr.strip()}")


def start() -> None:
    """Start the engine (with systemd where it runs, else by hand) and wait until it answers."""
    if Path("/run/systemd/system").is_dir():
        print("set-up: starting Docker Engine (systemctl start docker)")
        subprocess.run(("systemctl", "start", "docker"), check=False)
        wait(None)
        return
    print(f"set-up: starting dockerd in the background (its log: {LOG})", flush=True)
    for program, file in PID_FILES.items():
        if file.is_file() and not is_running(program, file.read_text().strip()):
            file.unlink(missing_ok=True)
    with LOG.open("ab") as log:
        dockerd = subprocess.Popen(
            ("dockerd",), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    wait(dockerd)


def keep_bridge_address(bridge: Path = BRIDGE) -> None:
    """Give Docker's bridge an Ethernet address for good.

    By default it has that of one of its containers' interfaces, and another one when that container ends: the others
    go on sending to the one before for up to a minute, and do not reach this host meanwhile. Where systemd runs, udev
    has given it one (systemd.link(5), MACAddressPolicy=persistent).
    """
    kind = bridge / "addr_assign_type"
    if os.geteuid() != 0 or not kind.is_file() or kind.read_text().strip() == SET or shutil.which("ip") is None:
        return
    now = (bridge / "address").read_text().strip()
    address = now if now.strip("0:") else ":".join(["02", "42", *(f"{byte:02x}" for byte in secrets.token_bytes(4))])
    subprocess.run(("ip", "link", "set", "dev", bridge.name, "address", address), check=False)


def is_running(program: str, pid: str) -> bool:
    """Whether the process with this id is the program, and neither a zombie nor another that got its id."""
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except OSError:
        return False
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name == program and rest.split()[0] not in "ZX"


def wait(dockerd: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while engine_version() is None:
        if dockerd is not None and dockerd.poll() is not None:
            stop(f"dockerd stopped with exit code {dockerd.returncode}. The end of {LOG}:\n{tail(LOG)}")
        if time.monotonic() > deadline:
            stop(f"dockerd does not answer {START_SECONDS} s after its start; see {LOG}, or its journal")
        time.sleep(0.2)


def tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def stop(message: str) -> NoReturn:
    sys.exit(f"set-up: {message}")


if __name__ == "__main__":
    main()
