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


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rule:
    """Who may connect: `network` is a CIDR block or an address; `ports` first and last, None for all of them, and what
    the `protocol` ("-1" is every one) has no ports for. `ingress`: to the interface, else from it."""

    ingress: bool
    network: str
    protocol: str = _ALL
    ports: tuple[int, int] | None = None


def members_of(instances: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Group id → the addresses of the interfaces that are in it, of all described instances."""
    members: dict[str, set[str]] = {}
    for instance in instances:
        for interface in instance.get("NetworkInterfaces", ()):
            for group in interface.get("Groups", ()):
                members.setdefault(group["GroupId"], set()).add(interface["PrivateIpAddress"])
    return members


def rules_of(groups: Iterable[Mapping[str, Any]], members: Mapping[str, set[str]]) -> tuple[Rule, ...]:
    """The rules of these described groups together, in an order that depends on nothing else."""
    rules: set[Rule] = set()
    for group in groups:
        rules.update(_rules(group.get("IpPermissions", ()), members, ingress=True))
        rules.update(_rules(group.get("IpPermissionsEgress", ()), members, ingress=False))
        if group.get("GroupName") == _DEFAULT:  # moto's lacks the rule that AWS gives every VPC's default group
            own = ({"IpProtocol": _ALL, "UserIdGroupPairs": [{"GroupId": group["GroupId"]}]},)
            rules.update(_rules(own, members, ingress=True))
    return tuple(sorted(rules, key=lambda rule: (rule.ingress, rule.network, rule.protocol, rule.ports or ())))


def _rules(
    permissions: Iterable[Mapping[str, Any]], members: Mapping[str, set[str]], *, ingress: bool
) -> Iterator[Rule]:
    for each in permissions:
        networks = {block["CidrIp"] for block in each.get("IpRanges", ())}
        for pair in each.get("UserIdGroupPairs", ()):
            networks |= members.get(pair.get("GroupId", ""), set())
        protocol = str(each.get("IpProtocol", _ALL)).lower()
        ports = None
        if protocol in _WITH_PORTS and each.get("FromPort", -1) >= 0:
            ports = (int(each["FromPort"]), int(each.get("ToPort", each["FromPort"])))
        for network in networks:
            yield Rule(ingress=ingress, network=network, protocol=protocol, ports=ports)
