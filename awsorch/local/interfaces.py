"""A network interface that EC2 says is attached to a local instance, besides the instance's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.local.security_groups import Rule, rules_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInterface:
    """`address` is its primary one, `address_6` an IPv6 one or empty; `rules` are those of its security groups."""

    id: str
    index: int
    mac: str
    address: str
    address_6: str = ""
    rules: tuple[Rule, ...] = ()


def is_additional(described: Mapping[str, Any]) -> bool:
    """Whether a described interface is not its instance's own first one."""
    return int(described.get("Attachment", {}).get("DeviceIndex", 0)) > 0


def seen_interfaces(
    described: Iterable[Mapping[str, Any]],
    groups: Mapping[str, Mapping[str, Any]],
    members: Mapping[str, set[str]],
) -> tuple[SeenInterface, ...]:
    """Those of a described instance's NetworkInterfaces that are additional. `groups`: described security groups by id,
    `members`: the addresses in each."""
    found = (
        SeenInterface(
            id=each["NetworkInterfaceId"],
            index=each["Attachment"]["DeviceIndex"],
            mac=each["MacAddress"],
            address=each["PrivateIpAddress"],
            address_6=next((one["Ipv6Address"] for one in each.get("Ipv6Addresses", ())), ""),
            rules=rules_of((groups[one["GroupId"]] for one in each["Groups"] if one["GroupId"] in groups), members),
        )
        for each in described
        if is_additional(each)
    )
    return tuple(sorted(found, key=lambda each: each.index))
