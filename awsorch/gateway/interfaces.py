"""A task's network interface and its EBS volume in the form in which agents get them. Pure.

Source: agent protocol, ElasticNetworkInterface, attachments of type amazonebs.
"""

from __future__ import annotations

from awsorch.core.model import Task
from awsorch.core.model_attachments import ADDRESS, ADDRESS_6, Attachment
from awsorch.wire import acs


def attachment_arn(task: Task, attachment: Attachment) -> str:
    """How agents name an attachment."""
    return f"{task.arn.partition(':task/')[0]}:attachment/{attachment.id}"


def acs_volume_attachment(task: Task, attachment: Attachment) -> acs.Attachment:
    """The volume; an official agent mounts it at ``sourceVolumeHostPath``."""
    said = {
        "volumeId": attachment.details.get("volumeId", ""),
        "volumeName": attachment.details.get("volumeName", ""),
        "sourceVolumeHostPath": f"{task.id}_{attachment.details.get('volumeId', '')}",
        **attachment.facts,
    }
    return acs.Attachment(
        attachment_arn=attachment_arn(task, attachment),
        attachment_type="amazonebs",
        attachment_properties=tuple(acs.AttachmentProperty(name=name, value=value) for name, value in said.items()),
    )


def acs_interface(task: Task, attachment: Attachment) -> acs.ElasticNetworkInterface:
    """The interface, which is the instance's from EC2's point of view."""
    details, facts = attachment.details, attachment.facts
    newer = (acs.IPv6Address(primary=True, address=details[ADDRESS_6]),) if ADDRESS_6 in details else ()
    return acs.ElasticNetworkInterface(
        attachment_arn=attachment_arn(task, attachment),
        ec2_id=details.get("networkInterfaceId", ""),
        mac_address=details.get("macAddress", ""),
        interface_association_protocol="default",
        ipv4_addresses=(acs.IPv4Address(primary=True, private_address=details.get(ADDRESS, "")),),
        ipv6_addresses=newer,
        private_dns_name=details.get("privateDnsName", ""),
        subnet_gateway_ipv4_address=facts.get("subnetGatewayIpv4Address", ""),
        subnet_gateway_ipv6_address=facts.get("subnetGatewayIpv6Address", ""),
    )
