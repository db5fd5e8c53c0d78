"""The bridge of this machine's Docker Engine: where containers of instances that share it find what serves them.

What listens there is bound to the bridge's device, since no other machine may reach it. An engine elsewhere (in a
virtual machine, at a DOCKER_HOST) has none that anybody here could listen at.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

import docker
from docker.errors import DockerException

from awsorch.agent.docker_facts import BRIDGE, bridge_address

_DEVICE = "com.docker.network.bridge.name"
_TIMEOUT_SECONDS = 30
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Bridge:
    """This machine's own ``address`` on the ``device`` that containers are connected to."""

    address: str
    device: str

    def listen(self, port: int, *, shared: bool = False) -> socket.socket:
        """Listen where containers, and no other machine, can connect; ``shared`` with others who say so, too. Raises
        OSError."""
        return listen_on(self.device, self.address, port, shared=shared)


def find_bridge() -> Bridge | None:
    """The bridge, if this machine has it and may listen at it. Blocking."""
    try:
        with contextlib.closing(docker.APIClient(version="auto", timeout=_TIMEOUT_SECONDS)) as client:
            address = bridge_address(client)
            options = client.inspect_network(BRIDGE).get("Options") or {} if address else {}
    except (DockerException, OSError):
        return None
    found = Bridge(address, options.get(_DEVICE) or "docker0")
    try:
        with found.listen(0):
            return found
    except OSError:
        return None


def listen_on(device: str, address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Listen at a device of this machine only, with ``shared`` beside others. Raises OSError."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"port {port} of {address}: {error.strerror}") from error
    return listener
