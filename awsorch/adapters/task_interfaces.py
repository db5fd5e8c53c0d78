"""EC2: network interfaces of tasks, made and attached, detached and deleted.

An interface is known by a tag with its attachment's id: whatever was lost on the way, asking again finds it instead of
making another. Instances get their interfaces one after the other, since each needs a device index of its own. Nothing
is decided here.
Source: Amazon EC2 API, CreateNetworkInterface, AttachNetworkInterface, DetachNetworkInterface, DeleteNetworkInterface;
ECS developer guide, "Task networking with the awsvpc network mode".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from awsorch.adapters.answers import Answers
from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.core.commands import ProvideAttachment
from awsorch.core.model_attachments import ADDRESS, ADDRESS_6

logger = logging.getLogger(__name__)

ATTACHMENT_TAG = "awsorch:attachment"
#: A detached interface can be deleted after a while: it is looked at this often, so many times. Seconds.
DETACHING_S, LOOKS = 1.0, 10
#: A subnet is asked about anew after this long: it may have got IPv6 addresses. Seconds.
SUBNET_LIFE_S = 5.0
#: Refusals after which another try may succeed.
_PASSING = frozenset({"IncorrectState", "IncorrectInstanceState", "InvalidParameterValue", "AttachmentLimitExceeded"})


class TaskInterfaces:
    """Network interfaces by attachment id."""

    def __init__(self, aws: AwsCalls) -> None:
        self._aws = aws
        self._subnets = Answers[Mapping[str, Any]]()
        self._locks: dict[str, asyncio.Lock] = {}

    async def provide(self, command: ProvideAttachment) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The details and facts of the interface, attached. Raises AwsError."""
        subnet = await self._subnet(command.subnet)
        if not subnet.get("CidrBlock"):
            text = f"The subnet '{command.subnet}' has IPv6 addresses only; tasks need one with IPv4 addresses too."
            raise AwsError("UnsupportedOperation", text, refused=True)
        interface = await self._find(command.attachment_id) or await self._create(command, subnet)
        if not interface.get("Attachment"):
            async with self._locks.setdefault(command.machine, asyncio.Lock()):
                await self._attach(interface["NetworkInterfaceId"], command.machine)
        details = {
            "subnetId": interface["SubnetId"],
            "networkInterfaceId": interface["NetworkInterfaceId"],
            "macAddress": interface["MacAddress"],
            "privateDnsName": interface.get("PrivateDnsName", ""),
            ADDRESS: interface["PrivateIpAddress"],
        }
        facts = {"subnetGatewayIpv4Address": _gateway(IPv4Network(subnet["CidrBlock"]))}
        newer, blocks = interface.get("Ipv6Addresses"), _blocks_6(subnet)
        if newer and blocks:
            details[ADDRESS_6] = newer[0]["Ipv6Address"]
            facts["subnetGatewayIpv6Address"] = _gateway(blocks[0])
        return details, facts

    async def release(self, attachment_id: str) -> bool:
        """Whether there is no such interface any more. Raises AwsError."""
        for _ in range(LOOKS):
            interface = await self._find(attachment_id)
            if interface is None:
                return True
            attachment = interface.get("Attachment") or {}
            if not attachment.get("AttachmentId"):
                await self._delete(interface["NetworkInterfaceId"])
            elif attachment.get("Status") != "detaching":
                await self._detach(attachment["AttachmentId"])
            else:
                await asyncio.sleep(DETACHING_S)
        return False

    async def _find(self, attachment_id: str) -> Mapping[str, Any] | None:
        wanted = [{"Name": f"tag:{ATTACHMENT_TAG}", "Values": [attachment_id]}]
        answer = await self._aws.call("ec2", "describe_network_interfaces", Filters=wanted)
        found: list[Mapping[str, Any]] = answer.get("NetworkInterfaces", [])
        return found[0] if found else None

    async def _create(self, command: ProvideAttachment, subnet: Mapping[str, Any]) -> Mapping[str, Any]:
        cluster = command.task_arn.rpartition(":")[2].split("/")[1]
        tags = {ATTACHMENT_TAG: command.attachment_id, "awsorch:cluster": cluster, "awsorch:task": command.task_id}
        given: dict[str, Any] = {"Groups": list(command.security_groups)} if command.security_groups else {}
        if _blocks_6(subnet):  # 0 where the subnet gives each interface one, but the account wants none
            given["Ipv6AddressCount"] = int(command.ipv6)
        answer = await self._aws.call(
            "ec2",
            "create_network_interface",
            SubnetId=command.subnet,
            Description=f"of task {command.task_arn}",
            ClientToken=command.attachment_id,
            TagSpecifications=[
                {
                    "ResourceType": "network-interface",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
            **given,
        )
        interface: Mapping[str, Any] = answer["NetworkInterface"]
        return interface

    async def _attach(self, interface_id: str, machine: str) -> None:
        answer = await self._aws.call("ec2", "describe_instances", InstanceIds=[machine])
        instance = answer["Reservations"][0]["Instances"][0]
        taken = {each.get("Attachment", {}).get("DeviceIndex", 0) for each in instance.get("NetworkInterfaces", ())}
        free = next(index for index in range(1, len(taken) + 2) if index not in taken)
        await self._aws.call(
            "ec2",
            "attach_network_interface",
            NetworkInterfaceId=interface_id,
            InstanceId=machine,
            DeviceIndex=free,
        )

    async def _detach(self, attachment: str) -> None:
        try:
            await self._aws.call("ec2", "detach_network_interface", AttachmentId=attachment, Force=True)
        except AwsError as error:
            # It is detached already, with its instance perhaps: the next look tells.
            if error.code not in ("InvalidAttachmentID.NotFound", "IncorrectState"):
                raise

    async def _delete(self, interface_id: str) -> None:
        try:
            await self._aws.call("ec2", "delete_network_interface", NetworkInterfaceId=interface_id)
        except AwsError as error:
            if error.code in ("InvalidNetworkInterface.InUse", "InvalidParameterValue"):  # it is still detaching
                await asyncio.sleep(DETACHING_S)
            elif error.code != "InvalidNetworkInterfaceID.NotFound":
                raise

    async def _subnet(self, subnet_id: str) -> Mapping[str, Any]:
        async def ask() -> Mapping[str, Any]:
            answer = await self._aws.call("ec2", "describe_subnets", SubnetIds=[subnet_id])
            subnet: Mapping[str, Any] = answer["Subnets"][0]
            return subnet

        return await self._subnets.get(subnet_id, ask, seconds=SUBNET_LIFE_S)


def _blocks_6(subnet: Mapping[str, Any]) -> list[IPv6Network]:
    found = subnet.get("Ipv6CidrBlockAssociationSet", [])
    return [IPv6Network(each["Ipv6CidrBlock"]) for each in found if each["Ipv6CidrBlockState"]["State"] == "associated"]


def _gateway(block: IPv4Network | IPv6Network) -> str:
    """AWS's router is at the first address of every subnet."""
    return f"{block.network_address + 1}/{block.prefixlen}"


def refusal(command: ProvideAttachment, error: AwsError) -> str | None:
    """The task's reason where EC2 will not give it an interface; None where another try may succeed."""
    if not error.refused or error.code in _PASSING:
        return None
    return (
        "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment disabled in "
        f"subnet '{command.subnet}': {error.code}: {error.message}"
    )
