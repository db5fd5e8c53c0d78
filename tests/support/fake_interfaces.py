"""EC2's network interfaces in memory, for tests/support/fake_fleet.py: made, attached, detached and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Network
from itertools import count
from typing import Any

from awsorch.adapters.aws import AwsError

#: The addresses of the fake's subnets, in their order.
BLOCKS = ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24")


@dataclass(slots=True, kw_only=True)
class FakeInterface:
    """One interface; ``instance`` and ``index`` say where it is attached, ``detaching_until`` when it is loose."""

    id: str
    subnet: str
    address: str
    mac: str
    request: Mapping[str, Any]
    addresses_6: tuple[str, ...] = ()
    instance: str | None = None
    index: int = 0
    attachment: str = ""
    detaching_until: float | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return {tag["Key"]: tag["Value"] for each in self.request["TagSpecifications"] for tag in each["Tags"]}


@dataclass(slots=True)
class FakeInterfaces:
    """All of them. ``limit``: an instance has so many at most, its own first one besides. ``detach_seconds``: so long a
    detached one is in use still. ``full``: subnets without a free address; ``blocks_6``: IPv6 addresses of those that
    have any; ``only_6``: those that have no others."""

    now: Callable[[], float]
    interfaces: dict[str, FakeInterface] = field(default_factory=dict)
    limit: int = 3
    detach_seconds: float = 3.0
    full: set[str] = field(default_factory=set)
    blocks_6: dict[str, str] = field(default_factory=dict)
    only_6: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: count(1))

    def on(self, instance: str) -> list[FakeInterface]:
        """Those of an instance."""
        self._let_go()
        return [each for each in self.interfaces.values() if each.instance == instance]

    def create(self, parameters: Mapping[str, Any], block: str) -> FakeInterface:
        """CreateNetworkInterface."""
        subnet = parameters["SubnetId"]
        if subnet in self.full:
            text = f"The specified subnet '{subnet}' does not have enough free addresses to satisfy the request."
            raise AwsError("InsufficientFreeAddressesInSubnet", text, refused=True)
        number = next(self._numbers)
        newer = parameters.get("Ipv6AddressCount", 0)
        if newer and subnet not in self.blocks_6:
            raise AwsError("InvalidParameterValue", f"{subnet} has no IPv6 CIDR block.", refused=True)
        made = FakeInterface(
            id=f"eni-{number:017x}",
            subnet=subnet,
            address=f"{block.rpartition('.')[0]}.{number + 9}",
            mac=f"0a:00:00:00:00:{number:02x}",
            request=parameters,
            addresses_6=tuple(str(IPv6Network(self.blocks_6[subnet])[number + 9]) for _ in range(newer)),
        )
        self.interfaces[made.id] = made
        return made

    def attach(self, interface_id: str, instance: str, index: int) -> None:
        """AttachNetworkInterface."""
        interface, others = self._require(interface_id), self.on(instance)
        if interface.instance is not None:
            raise AwsError("InvalidParameterValue", f"{interface_id} is currently in use.", refused=True)
        if index in {each.index for each in others}:
            raise AwsError("InvalidParameterValue", f"Instance already has an interface at {index}.", refused=True)
        if len(others) >= self.limit:
            raise AwsError("AttachmentLimitExceeded", f"Interface count {len(others) + 2} exceeds", refused=True)
        interface.instance, interface.index = instance, index
        interface.attachment = f"eni-attach-{next(self._numbers):017x}"

    def detach(self, attachment: str) -> None:
        """DetachNetworkInterface."""
        for each in self.interfaces.values():
            if each.attachment == attachment and each.instance is not None:
                each.detaching_until = self.now() + self.detach_seconds
                return
        raise AwsError("InvalidAttachmentID.NotFound", f"{attachment} does not exist", refused=True)

    def delete(self, interface_id: str) -> None:
        """DeleteNetworkInterface."""
        self._let_go()
        if self._require(interface_id).instance is not None:
            raise AwsError("InvalidParameterValue", f"{interface_id} is currently in use.", refused=True)
        del self.interfaces[interface_id]

    def describe(self, filters: Mapping[str, list[str]]) -> list[Mapping[str, Any]]:
        """DescribeNetworkInterfaces, by tags only."""
        self._let_go()
        wanted = {name.removeprefix("tag:"): values for name, values in filters.items()}
        found = (
            each
            for each in self.interfaces.values()
            if all(each.tags.get(name) in values for name, values in wanted.items())
        )
        return [described(each) for each in found]

    def instance_over(self, instance: str) -> None:
        """The instance is terminated: what was attached to it is loose."""
        for each in self.on(instance):
            each.instance, each.attachment = None, ""

    def _let_go(self) -> None:
        for each in self.interfaces.values():
            if each.detaching_until is not None and each.detaching_until <= self.now():
                each.instance, each.attachment, each.detaching_until = None, "", None

    def _require(self, interface_id: str) -> FakeInterface:
        if interface_id not in self.interfaces:
            text = f"The networkInterface ID '{interface_id}' does not exist"
            raise AwsError("InvalidNetworkInterfaceID.NotFound", text, refused=True)
        return self.interfaces[interface_id]


def described(interface: FakeInterface) -> dict[str, Any]:
    """As DescribeNetworkInterfaces shows it."""
    shown: dict[str, Any] = {
        "NetworkInterfaceId": interface.id,
        "SubnetId": interface.subnet,
        "MacAddress": interface.mac,
        "PrivateIpAddress": interface.address,
        "PrivateDnsName": f"ip-{interface.address.replace('.', '-')}.ec2.internal",
        "Ipv6Addresses": [{"Ipv6Address": each} for each in interface.addresses_6],
        "Status": "available" if interface.instance is None else "in-use",
    }
    if interface.instance is not None:
        shown["Attachment"] = {
            "AttachmentId": interface.attachment,
            "DeviceIndex": interface.index,
            "InstanceId": interface.instance,
            "Status": "attached" if interface.detaching_until is None else "detaching",
        }
    return shown
