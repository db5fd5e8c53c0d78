"""The networks of tasks that have one of their own: their EC2 interface in the namespace of their pause container.

The pause container is on the engine's bridge first, which leads it to this agent: that interface is renamed and keeps
no route but the one to the host. Then the task's own interface is moved in from the host and becomes eth0, with the
default route. Setting up is repeated whenever a container is to be created, and takes up where it was cut off. With the
container the namespace goes, and the kernel gives a real interface back to the host.
Source: ECS developer guide, "Task networking with the awsvpc network mode"; agent protocol, ElasticNetworkInterface.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any

from awsorch.agent.engine import Engine
from awsorch.agent.environment import LINK_LOCAL
from awsorch.agent.network_commands import NetworkError, inside, links, run
from awsorch.agent.settings import InstanceSettings
from awsorch.agent.task_cgroup import CGROUP_ROOT
from awsorch.agent.usage import Cgroups
from awsorch.wire import acs

LOG = logging.getLogger(__name__)

INTERFACE, TO_AGENT = "eth0", "ecs-eth0"
"""The task's own interface, and the one that leads to its agent, as in ECS."""
METADATA_SERVICE, METADATA_SERVICE_6 = "169.254.169.254", "fd00:ec2::254"
_AFTER_ADVERTISED = 2048
"""The metric of a default route that counts only where AWS's router has advertised none itself, which have 1024."""


class TaskNetworks:
    """Sets up the networks of one instance's tasks; with `block_metadata` they do not reach EC2's metadata service.
    Without `ipv6` they have no such addresses, whatever EC2 says."""

    def __init__(self, engine: Engine, *, block_metadata: bool = False, ipv6: bool = False) -> None:
        self._engine = engine
        self._block_metadata = block_metadata
        self._ipv6 = ipv6
        self._cgroups = Cgroups(CGROUP_ROOT)
        self._locks: dict[str, asyncio.Lock] = {}
        self._ready: set[str] = set()

    async def make_ready(self, task: acs.Task, pause: str) -> None:
        """Have the network of a task whose pause container runs, by its id in the engine. Raises NetworkError,
        EngineError."""
        if not task.elastic_network_interfaces or pause in self._ready:
            return
        async with self._locks.setdefault(pause, asyncio.Lock()):
            if pause not in self._ready:
                await self._set_up(task.elastic_network_interfaces[0], pause)
                self._ready.add(pause)

    def forget(self, pause: str | None) -> None:
        """The pause container is gone."""
        if pause is not None:
            self._ready.discard(pause)
            self._locks.pop(pause, None)

    async def _set_up(self, interface: acs.ElasticNetworkInterface, pause: str) -> None:
        found = await self._engine.describe(pause) or {}
        process_id = self._process_of(pause) or int((found.get("State") or {}).get("Pid") or 0)
        bridge = (found.get("NetworkSettings") or {}).get("Networks", {}).get("bridge") or {}
        if not process_id or not bridge.get("IPAddress"):
            raise NetworkError("its pause container does not run")
        there = inside(process_id)
        if await _is_set_up(interface, there):  # containers use it: a former life of the agent made it
            return
        own = await self._move_in(interface, process_id)
        await run(*there, "ip", "-batch", "-", given="\n".join(await self._to_agent(there, bridge)) + "\n")
        await run(*there, "ip", "-batch", "-", given="\n".join(self._own(interface, own)) + "\n")
        if interface.ipv6_addresses and self._ipv6:
            # Docker has put IPv6 off there, since its bridge has none.
            await run(*there, "sh", "-ec", _PUT_ON)
            await run(*there, "ip", "-6", "-batch", "-", given="\n".join(self._own_6(interface)) + "\n")
        elif interface.ipv6_addresses:
            LOG.warning("%s has no IPv6 address in its task: this kernel has no IPv6", interface.ec2_id)
        await asyncio.to_thread(_name_host, found, bridge["IPAddress"], _address(interface))
        # Last of all, because it says that everything is done.
        gateway = IPv4Interface(interface.subnet_gateway_ipv4_address).ip
        await run(*there, "ip", "route", "replace", "default", "via", str(gateway), "dev", INTERFACE)

    def _process_of(self, pause: str) -> int | None:
        try:
            return self._cgroups.process_of(pause)
        except (OSError, ValueError, IndexError):
            return None

    @staticmethod
    async def _move_in(interface: acs.ElasticNetworkInterface, process_id: int) -> str:
        """The name of the interface inside. Raises NetworkError."""
        hardware = interface.mac_address.lower()
        if hardware not in await links(*inside(process_id)):
            on_host = (await links()).get(hardware)
            if on_host is None:
                raise NetworkError(f"{interface.ec2_id} ({hardware}) is not attached to this instance")
            await run("ip", "link", "set", on_host, "down")
            await run("ip", "link", "set", on_host, "netns", str(process_id))
        return (await links(*inside(process_id)))[hardware]

    @staticmethod
    async def _to_agent(there: tuple[str, ...], bridge: Mapping[str, Any]) -> list[str]:
        """The bridge's interface under another name, with a route to the host alone."""
        known = await links(*there)
        name = known.get(str(bridge["MacAddress"]).lower(), TO_AGENT)
        lines = [f"link set {name} down", f"address flush dev {name}"]
        if name != TO_AGENT:
            lines.append(f"link set {name} name {TO_AGENT}")
        host = bridge["Gateway"]
        return [
            *lines,
            f"address add {bridge['IPAddress']}/32 dev {TO_AGENT}",
            f"link set {TO_AGENT} up",
            f"route replace {host}/32 dev {TO_AGENT} scope link",
            f"route replace {LINK_LOCAL}/32 via {host} dev {TO_AGENT}",
        ]

    def _own(self, interface: acs.ElasticNetworkInterface, name: str) -> list[str]:
        gateway = IPv4Interface(interface.subnet_gateway_ipv4_address)
        lines = [f"link set {name} down", f"address flush dev {name}"]
        if name != INTERFACE:
            lines.append(f"link set {name} name {INTERFACE}")
        lines += [
            f"address add {_address(interface)}/{gateway.network.prefixlen} dev {INTERFACE}",
            f"link set {INTERFACE} up",
        ]
        if self._block_metadata:
            lines.append(f"route replace blackhole {METADATA_SERVICE}/32")
        return lines

    def _own_6(self, interface: acs.ElasticNetworkInterface) -> list[str]:
        """Its IPv6 addresses, and the way to all others: by the subnet's router, neighbours as well, as in a VPC."""
        lines = [f"address replace {each.address}/128 dev {INTERFACE} nodad" for each in interface.ipv6_addresses]
        if interface.subnet_gateway_ipv6_address:
            gateway = IPv6Interface(interface.subnet_gateway_ipv6_address).ip
            lines += [
                f"route replace {gateway}/128 dev {INTERFACE}",
                f"route replace default via {gateway} dev {INTERFACE} metric {_AFTER_ADVERTISED}",
            ]
        if self._block_metadata:
            lines.append(f"route replace blackhole {METADATA_SERVICE_6}/128")
        return lines


def networks_of(engine: Engine, settings: InstanceSettings) -> TaskNetworks:
    """Those of an instance, as its settings have them."""
    return TaskNetworks(engine, block_metadata=settings.block_metadata, ipv6=settings.ipv6)


_PUT_ON = "; ".join(f"echo 0 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6" for name in ("lo", INTERFACE))


async def _is_set_up(interface: acs.ElasticNetworkInterface, there: tuple[str, ...]) -> bool:
    if (await links(*there)).get(interface.mac_address.lower()) != INTERFACE:
        return False
    return b"default" in await run(*there, "ip", "route", "show", "default", "dev", INTERFACE)


def _address(interface: acs.ElasticNetworkInterface) -> str:
    """The interface's primary address."""
    addresses = sorted(interface.ipv4_addresses, key=lambda each: not each.primary)
    return addresses[0].private_address if addresses else ""


def _name_host(found: Mapping[str, Any], former: str, address: str) -> None:
    """Have the containers' /etc/hosts say that their host name is the task's address, not the bridge's."""
    path = Path(found.get("HostsPath") or "/nowhere")
    with contextlib.suppress(OSError):  # an engine elsewhere: its containers find the bridge's address
        text = path.read_text()
        path.write_text("".join(f"{line}\n" for line in _renamed(text.splitlines(), former, address)))


def _renamed(lines: list[str], former: str, address: str) -> list[str]:
    return [f"{address}\t{line.split(maxsplit=1)[1]}" if line.split()[:1] == [former] else line for line in lines]


async def see_interfaces(interfaces: tuple[acs.ElasticNetworkInterface, ...], seconds: float) -> bool:
    """Whether all of them are attached to this host within so many seconds."""
    wanted = {each.mac_address.lower() for each in interfaces}
    pause = 0.05
    try:
        async with asyncio.timeout(seconds):
            while not wanted <= (await links()).keys():
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 1.0)
    except TimeoutError:
        return False
    except NetworkError as error:
        LOG.warning("network interfaces cannot be listed: %s", error)
        return False
    return True
