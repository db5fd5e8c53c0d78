"""moto's network interfaces, made to have addresses that nobody else has: local tasks are really reached there.

moto draws any address of a subnet, and hardware addresses of three random bytes. Interfaces are in the upper half of
their subnet, where local instances never are. And an interface is in its own security groups, where moto adds those of
the instance that it is attached to. The states of subnets' IPv6 CIDR blocks are described as EC2 does.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Network
from typing import Any


def mend_interfaces() -> None:
    """Have moto do so. Raises AttributeError where it no longer has what this was written for."""
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.subnets import Subnet

    create = EC2Backend.create_network_interface

    def create_network_interface(self: Any, subnet: Any, private_ip_address: Any, *rest: Any, **given: Any) -> Any:
        known = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        chosen = not private_ip_address and not given.get("private_ip_addresses") and not any(rest[:1])
        if chosen:
            private_ip_address = _free_address(self, known)
        made = create(self, subnet, private_ip_address, *rest, **given)
        octets = [int(octet) for octet in str(made.private_ip_address).split(".")]
        made.mac_address = "0a:fe:" + ":".join(f"{octet:02x}" for octet in octets)
        return made

    EC2Backend.create_network_interface = create_network_interface
    Subnet.ipv6_cidr_block_association_set = property(_blocks_6)
    NetworkInterface.group_set = property(lambda self: list(self._group_set))


def _blocks_6(subnet: Any) -> list[dict[str, Any]]:
    """The subnet's IPv6 CIDR blocks with their states, which moto describes in Python's words."""
    return [
        {
            "associationId": name,
            "ipv6CidrBlock": each["ipv6CidrBlock"],
            "ipv6CidrBlockState": each["ipv6CidrBlockState"],
        }
        for name, each in subnet.ipv6_cidr_block_associations.items()
    ]


def _free_address(backend: Any, subnet: Any) -> str:
    block = IPv4Network(subnet.cidr_block)
    taken = {eni.private_ip_address for eni in backend.enis.values()} | set(subnet._subnet_ips)
    first, last = block.num_addresses // 2, block.num_addresses - 2
    for _ in range(1000):
        address = str(block[random.randint(first, last)])
        if address not in taken:
            return address
    from moto.ec2.exceptions import EC2ClientError

    raise EC2ClientError(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances.",
    )
