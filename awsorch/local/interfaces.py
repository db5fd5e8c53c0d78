"""A network interface that EC2 says is attached to a local instance, besides the instance's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInterface:
    """`address` is its primary one; `groups` are the ids of its security groups."""

    id: str
    index: int
    mac: str
    address: str
    groups: tuple[str, ...] = ()


def seen_interfaces(described: Iterable[Mapping[str, Any]]) -> tuple[SeenInterface, ...]:
    """Those of a described instance's NetworkInterfaces that are not its own first one."""
    found = (
        SeenInterface(
            id=each["NetworkInterfaceId"],
            index=each.get("Attachment", {}).get("DeviceIndex", 0),
            mac=each["MacAddress"],
            address=each["PrivateIpAddress"],
            groups=tuple(sorted(group["GroupId"] for group in each.get("Groups", ()))),
        )
        for each in described
    )
    return tuple(sorted((each for each in found if each.index > 0), key=lambda each: each.index))
