"""The network of local instances that are namespaces: a switch that joins them with this machine.

The switch is a bridge in a namespace of its own, so that this machine's firewall, whose rules for forwarding concern
bridges too, neither stops the instances' traffic nor is changed for it. This machine has one device for it, with an
address: what listens there is bound to the device, since no other machine may reach it. All of it goes with the
switch's process. Interfaces of tasks are not on the bridge but behind a router beside it (`netns_router`).
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Mapping
from ipaddress import IPv4Network

from awsorch.local.bridge import listen_on
from awsorch.local.imds import PORT as METADATA_PORT
from awsorch.local.netns import HOLDER, Space, run, space_of
from awsorch.local.netns_router import Router
from awsorch.local.supervisor import ChildSpec, Supervisor

CHILD = "switch"
_BATCH = ("ip", "-batch", "-")
_METADATA_ADDRESS = "169.254.169.254"
_BRIDGE, _UPLINK, _INTERFACE = "switch", "uplink", "eth0"


class Switch:
    """The /16 with a prefix such as "10.99": this machine is at .0.1, instances have the other addresses."""

    def __init__(self, supervisor: Supervisor, prefix: str, environment: Mapping[str, str]) -> None:
        self._supervisor = supervisor
        self._environment = environment
        self.prefix = prefix
        self._space: Space | None = None
        self.router = Router(prefix, self._inside_of, device_of(prefix))

    @property
    def address(self) -> str:
        """Where instances find this machine."""
        return f"{self.prefix}.0.1"

    @property
    def device(self) -> str:
        """This machine's network device that leads to the instances."""
        return device_of(self.prefix)

    async def start(self) -> None:
        """Make the network. Raises OSError."""
        await self._supervisor.start(ChildSpec(name=CHILD, command=HOLDER, environment=self._environment))
        self._space = await space_of(self._supervisor.process_id(CHILD) or 0)
        with contextlib.suppress(OSError):  # none of a switch that was killed a moment ago is left, usually
            await run("ip", "link", "delete", self.device)
        bridge = f"link add {_BRIDGE} type bridge"
        pair = f"link add {self.device} type veth peer name {_UPLINK} netns {self._space.holder}"
        address = f"address add {self.address}/16 dev {self.device}"
        await run(*self._inside(), lines=("link set lo up", bridge, f"link set {_BRIDGE} up"))
        await run(*_BATCH, lines=(pair, address, f"link set {self.device} up"))
        await run(*self._inside(), lines=(f"link set {_UPLINK} master {_BRIDGE} up",))
        await self.router.start(_BRIDGE, self.address)
        await self._lead_to_metadata(self._there(), "PREROUTING")  # of tasks with interfaces of their own

    async def close(self) -> None:
        """Take the network away."""
        await self._supervisor.kill(CHILD)

    def listen(self, port: int) -> socket.socket:
        """Listen where instances, and no other machine, can connect. Raises OSError."""
        return listen_on(self.device, self.address, port)

    async def plug(self, space: Space, port: str, address: str) -> None:
        """Give a namespace its interface, its address, and the metadata service where EC2 has it. Raises OSError."""
        switch = self._there()
        pair = f"link add {port} netns {switch.holder} type veth peer name {_INTERFACE} netns {space.holder}"
        await run(*_BATCH, lines=(pair,))
        await run(*self._inside(), lines=(f"link set {port} master {_BRIDGE} up",))
        await run(
            *(*space.enter("net"), *_BATCH),
            lines=(
                "link set lo up",
                f"address add {address}/16 dev {_INTERFACE}",
                f"link set {_INTERFACE} up",
                f"route add default via {self.address}",
            ),
        )
        # The instance's own requests, and its containers'.
        await self._lead_to_metadata(space, "OUTPUT", "PREROUTING")

    async def unplug(self, port: str) -> None:
        """Take a port away; none is no error. Raises OSError where there is no switch."""
        self._there()
        with contextlib.suppress(OSError):  # it goes with its namespace, sooner or later
            await run(*self._inside(), lines=(f"link delete {port}",))

    async def cut(self, port: str) -> None:
        """Pull the cable. Raises OSError."""
        await run(*self._inside(), lines=(f"link set {port} down",))

    async def uncut(self, port: str) -> None:
        """Plug it in again. Raises OSError."""
        await run(*self._inside(), lines=(f"link set {port} up",))

    async def _lead_to_metadata(self, space: Space, *chains: str) -> None:
        for chain in chains:
            await run(
                *(*space.enter("net"), "iptables", "--table", "nat", "--append", chain, "--protocol", "tcp"),
                *("--destination", _METADATA_ADDRESS, "--dport", "80"),
                *("--jump", "DNAT", "--to-destination", f"{self.address}:{METADATA_PORT}"),
            )

    def _inside(self) -> tuple[str, ...]:
        return (*self._inside_of(), *_BATCH)

    def _inside_of(self) -> tuple[str, ...]:
        """The words before a command for the switch's network. Raises OSError."""
        return self._there().enter("net")

    def _there(self) -> Space:
        if self._space is None or self._supervisor.process_id(CHILD) != self._space.holder:
            raise OSError("the network of the local instances is gone: stop the local cloud and start it again")
        return self._space


def prefix_beside(loopback: str) -> str:
    """The prefix of instances' own network in the cloud that has a loopback network ("127.99"): "10.99"."""
    return f"10.{loopback.rpartition('.')[2]}"


def is_free(prefix: str) -> bool:
    """Whether this machine reaches nothing in the /16 with a prefix but by a switch of its own. Raises OSError."""
    wanted = IPv4Network(f"{prefix}.0.0/16")
    command = ("ip", "-json", "-4", "route", "show", "table", "all")
    routes = json.loads(subprocess.run(command, check=True, capture_output=True).stdout or b"[]")
    others = (str(each["dst"]) for each in routes if each.get("dev") != device_of(prefix))
    return not any(IPv4Network(each, strict=False).overlaps(wanted) for each in others if each[0].isdigit())


def device_of(prefix: str) -> str:
    """This machine's network device that leads to the instances of the /16 with a prefix."""
    return f"awsorch{prefix.rpartition('.')[2]}"
