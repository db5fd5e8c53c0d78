"""The router of local instances that are namespaces: it leads to the network interfaces that EC2 attaches to them.

Like a VPC it knows each interface's address and asks nobody: every interface is a link of its own into the switch's
namespace, with a route to its one address. It answers for all other addresses (proxy ARP), on those links and on the
bridge, so that subnets need no gateway and instances reach tasks as their neighbours. Since each packet from or to an
interface is forwarded here, this is where security groups apply.

IPv6, where the kernel has it, goes the same way: the gateway of an interface's subnet is an address of its link, and
this machine, which has no part in those networks otherwise, has a route to each interface.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from ipaddress import IPv6Interface

from awsorch.agent.network_commands import has_ipv6
from awsorch.local.interfaces import SeenInterface
from awsorch.local.netns import Space, run
from awsorch.local.security_groups import Rule

_NAMED_BY = 12
"""So many characters of an interface's id make the name of its link, which may have 15."""

_LINK_6, _MACHINES_LINK_6 = "fe80::1", "fe80::2"
"""The router on all of its links, and this machine on the bridge."""
_MACHINES_6 = "fd61:7773:6f72"
"""What the address begins with by which this machine connects to interfaces; the number of the network follows."""
_SUBNETS_6 = 64
"""The prefix length of EC2's subnets."""
_MACHINE_6 = ("ip", "-6", "-batch", "-")
_ASKS_FOR_METADATA = "-m conntrack --ctstate DNAT"
"""Nothing else is led elsewhere here; no security group applies to it, as in EC2."""


class Router:
    """`inside` gives the words before a command that is to run in the switch's namespace; it may raise OSError.
    `device` is this machine's that leads there."""

    def __init__(self, prefix: str, inside: Callable[[], tuple[str, ...]], device: str) -> None:
        self._prefix = prefix
        self._inside = inside
        self._device = device
        self._ipv6 = has_ipv6()
        self._machine_6 = f"{_MACHINES_6}:{int(prefix.rpartition('.')[2]):x}::1"
        self._guarded: dict[str, SeenInterface] = {}

    async def start(self, bridge: str, uplink: str) -> None:
        """Begin to route between the bridge and the interfaces; what is elsewhere, `uplink` knows. Raises OSError."""
        await self._batch(
            f"address add {self._prefix}.255.254/32 dev {bridge}",
            f"route replace {self._prefix}.0.0/16 dev {bridge} scope link src {self._prefix}.255.254",
            f"route replace default via {uplink} dev {bridge}",
        )
        await self._set("ipv4/ip_forward=1", *_answering(bridge))
        if self._ipv6:
            await self._set("ipv6/conf/all/forwarding=1", f"ipv6/conf/{bridge}/disable_ipv6=0")
            away = f"route replace default via {_MACHINES_LINK_6} dev {bridge}"
            await self._batch(f"address replace {_LINK_6}/64 dev {bridge} nodad", away, family="-6")
            await run("bash", "-ec", f"echo 0 > /proc/sys/net/ipv6/conf/{self._device}/disable_ipv6")
            own = (f"{_MACHINES_LINK_6}/64", f"{self._machine_6}/128")
            await run(*_MACHINE_6, lines=[f"address replace {each} dev {self._device} nodad" for each in own])

    async def connect(self, space: Space, interface: SeenInterface) -> None:
        """Put an interface into an instance's namespace, down and without an address, as EC2 does. Raises OSError."""
        link, name = _link(interface), f"ens{interface.index + 5}"
        await self._unlink(interface)
        pair = f"link add {link} type veth peer name {name} address {interface.mac} netns {space.holder}"
        await self._batch(pair, f"link set {link} up", f"route replace {interface.address}/32 dev {link}")
        await self._set(*_answering(link))
        if self._ipv6 and interface.address_6:
            await self._connect_6(link, interface.address_6)

    async def _connect_6(self, link: str, address: str) -> None:
        gateway = IPv6Interface(f"{address}/{_SUBNETS_6}").network[1]
        await self._set(f"ipv6/conf/{link}/disable_ipv6=0")
        await self._batch(
            *(f"address replace {each} dev {link} nodad" for each in (f"{_LINK_6}/64", f"{gateway}/128")),
            f"route replace {address}/128 dev {link}",
            family="-6",
        )
        way = f"via {_LINK_6} dev {self._device} src {self._machine_6}"
        await run(*_MACHINE_6, lines=(f"route replace {address}/128 {way}",))

    async def guard(self, interface: SeenInterface) -> None:
        """Let only that to and from an interface which its security groups let through. Raises OSError."""
        if self._guarded.get(interface.id) == interface:
            return
        self._guarded[interface.id] = interface
        await self._filter()

    async def disconnect(self, interface: SeenInterface) -> None:
        """Take an interface away, wherever its instance has put it; none is no error. Raises OSError."""
        await self._unlink(interface)
        if self._ipv6 and interface.address_6:
            with contextlib.suppress(OSError):  # there is none where it was never connected
                await run(*_MACHINE_6, lines=(f"route delete {interface.address_6}/128 dev {self._device}",))
        if self._guarded.pop(interface.id, None) is not None:
            await self._filter()

    async def _unlink(self, interface: SeenInterface) -> None:
        self._inside()
        with contextlib.suppress(OSError):  # it goes with the namespace that it is in
            await self._batch(f"link delete {_link(interface)}")

    async def _filter(self) -> None:
        """Replace all rules at once, as the kernel does it."""
        lines = filter_lines(self._guarded.values(), f"{self._prefix}.0.1")
        await run(*self._inside(), "iptables-restore", lines=lines)
        if self._ipv6:
            lines = filter_lines(self._guarded.values(), self._machine_6, ipv6=True)
            await run(*self._inside(), "ip6tables-restore", lines=lines)

    async def _batch(self, *lines: str, family: str = "-4") -> None:
        await run(*self._inside(), "ip", family, "-batch", "-", lines=lines)

    async def _set(self, *values: str) -> None:
        lines = (f"echo {value} > /proc/sys/net/{name}" for name, _, value in (each.partition("=") for each in values))
        await run(*self._inside(), "bash", "-ec", "; ".join(lines))


def filter_lines(interfaces: Iterable[SeenInterface], machine: str, *, ipv6: bool = False) -> tuple[str, ...]:
    """The rules for iptables-restore, or ip6tables-restore: what is connected stays so, and what no group lets through
    is dropped. This `machine`, where the load balancers and the users are, may connect to all."""
    chains, jumps, rules = [], [], []
    for each in interfaces:
        link = _link(each)
        for direction, ingress, device in (("to", True, f"-o {link}"), ("from", False, f"-i {link}")):
            chain = f"{direction}-{link}"
            chains.append(f":{chain} - [0:0]")
            # All leave by one chain and arrive by another: those on the way out are asked first.
            jumps.append((ingress, f"-A FORWARD {device} -j {chain}"))
            rules.append(f"-A {chain} {f'-s {machine}' if ingress else _ASKS_FOR_METADATA} -j RETURN")
            allowed = (rule for rule in each.rules if rule.ingress is ingress and rule.is_ipv6 is ipv6)
            rules += [f"-A {chain} {_match(rule)} -j RETURN" for rule in allowed]
            rules.append(f"-A {chain} -j DROP")
    known = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    return ("*filter", ":FORWARD ACCEPT [0:0]", *chains, known, *(line for _, line in sorted(jumps)), *rules, "COMMIT")


def _match(rule: Rule) -> str:
    words = [f"{'-s' if rule.ingress else '-d'} {rule.network}"]
    if rule.protocol != "-1":
        words.append(f"-p {rule.protocol}")
    if rule.ports is not None:
        words.append(f"--dport {rule.ports[0]}:{rule.ports[1]}")
    return " ".join(words)


def _link(interface: SeenInterface) -> str:
    return f"e{interface.id[-_NAMED_BY:]}"


def _answering(device: str) -> tuple[str, ...]:
    """What has a device answer at once for all that is elsewhere, and lets it not send others past the router."""
    return (
        f"ipv4/conf/{device}/proxy_arp=1",
        f"ipv4/neigh/{device}/proxy_delay=0",
        f"ipv4/conf/{device}/send_redirects=0",
        f"ipv4/conf/{device}/rp_filter=0",
    )
