"""What EC2's security groups let through, as rules for the local router. Pure.

Source: Amazon VPC user guide, "Security group rules", "Security group referencing".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ALL = "-1"
_WITH_PORTS = ("tcp", "udp", "6", "17")
_DEFAULT = "default"
_ALL_MAY_LEAVE = [{"IpProtocol": _ALL, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rule:
    """Who may connect: `network` is a CIDR block or an address, of either kind; `ports` first and last, None for all of
    them, and what the `protocol` ("-1" is every one) has no ports for. `ingress`: to the interface, else from it."""

    ingress: bool
    network: str
    protocol: str = _ALL
    ports: tuple[int, int] | None = None

    @property
    def is_ipv6(self) -> bool:
        """Whether it is about IPv6."""
        return ":" in self.network


def members_of(instances: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Group id → the addresses of the interfaces that are in it, of all described instances."""
    members: dict[str, set[str]] = {}
    for instance in instances:
        for interface in instance.get("NetworkInterfaces", ()):
            for group in interface.get("Groups", ()):
                own = members.setdefault(group["GroupId"], set())
                own.add(interface["PrivateIpAddress"])
                own.update(each["Ipv6Address"] for each in interface.get("Ipv6Addresses", ()))
    return members


def rules_of(groups: Iterable[Mapping[str, Any]], members: Mapping[str, set[str]]) -> tuple[Rule, ...]:
    """The rules of these described groups together, in an order that depends on nothing else."""
    rules: set[Rule] = set()
    for group in groups:
        rules.update(_rules(group.get("IpPermissions", ()), members, ingress=True))
        rules.update(_rules(group.get("IpPermissionsEgress", ()), members, ingress=False))
        if _is_open(group.get("IpPermissionsEgress", ())):  # EC2 lets IPv6 out too where nobody has changed that
            rules.add(Rule(ingress=False, network="::/0"))
        if group.get("GroupName") == _DEFAULT:  # moto's lacks the rule that AWS gives every VPC's default group
            own = ({"IpProtocol": _ALL, "UserIdGroupPairs": [{"GroupId": group["GroupId"]}]},)
            rules.update(_rules(own, members, ingress=True))
    return tuple(sorted(rules, key=lambda rule: (rule.ingress, rule.network, rule.protocol, rule.ports or ())))


def _is_open(permissions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether these are the rules with which every group begins."""
    said = [{name: value for name, value in each.items() if value} for each in permissions]
    return said == _ALL_MAY_LEAVE


def _rules(
    permissions: Iterable[Mapping[str, Any]], members: Mapping[str, set[str]], *, ingress: bool
) -> Iterator[Rule]:
    for each in permissions:
        networks = {block["CidrIp"] for block in each.get("IpRanges", ())}
        networks |= {block["CidrIpv6"] for block in each.get("Ipv6Ranges", ())}
        for pair in each.get("UserIdGroupPairs", ()):
            networks |= members.get(pair.get("GroupId", ""), set())
        protocol = str(each.get("IpProtocol", _ALL)).lower()
        ports = None
        if protocol in _WITH_PORTS and each.get("FromPort", -1) >= 0:
            ports = (int(each["FromPort"]), int(each.get("ToPort", each["FromPort"])))
        for network in networks:
            yield Rule(ingress=ingress, network=network, protocol=protocol, ports=ports)
