"""EC2's networks: VPCs, subnets, gateways, routes, security groups."""

from __future__ import annotations

from typing import Any

from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging

TOKEN_TAG = "awsorch:stack-token"
"""Says which creation made what has no name; EC2 has nothing else to find it by after a lost answer."""
_BUSY = frozenset({"DependencyViolation", "InvalidGroup.InUse", "Gateway.NotAttached", "IncorrectState"})
_GROUP_KNOWN = frozenset({"InvalidPermission.Duplicate", "InvalidPermission.NotFound", "InvalidGroup.NotFound"})


def tagging(resource_type: str, id: str = "$id") -> Tagging:
    """How EC2's resources are tagged; `id` is what they are tagged by."""
    tags = {"ResourceType": resource_type, "Tags": f"$[tags, [{{Key: '{TOKEN_TAG}', Value: token}}]][]"}
    return Tagging(
        at_create={"TagSpecifications": [tags]},
        set=Op(name="CreateTags", members={"Resources": [id], "Tags": "$fresh"}),
        unset=Op(name="DeleteTags", members={"Resources": [id], "Tags": "$gone[].{Key: @}"}),
        reserved=True,
    )


def made_by_token(describe: str, filters: str = "Filters") -> Op:
    """The call that finds what a creation made whose answer was lost."""
    return Op(name=describe, members={filters: [{"Name": f"tag:{TOKEN_TAG}", "Values": ["$token"]}]})


def _attribute(name: str, default: bool) -> Setting:
    """An attribute of a VPC, which is set alone."""
    return Setting(
        on=(name,),
        op=Op(name="ModifyVpcAttribute", members={"VpcId": "$id", name: {"Value": f"${name}"}}),
        unset=Op(name="ModifyVpcAttribute", members={"VpcId": "$id", name: {"Value": default}}),
    )


def _permission(of: str, target: str) -> dict[str, Any]:
    """A rule of a security group as calls take it; `target` is the property that names the other group."""
    described = f"Description: {of}Description"
    return {
        "IpProtocol": f"${of}IpProtocol",
        "FromPort": f"${of}FromPort",
        "ToPort": f"${of}ToPort",
        "IpRanges": f"${of}CidrIp && [{{CidrIp: {of}CidrIp, {described}}}]",
        "Ipv6Ranges": f"${of}CidrIpv6 && [{{CidrIpv6: {of}CidrIpv6, {described}}}]",
        "PrefixListIds": f"${of}{target}PrefixListId && [{{PrefixListId: {of}{target}PrefixListId, {described}}}]",
        "UserIdGroupPairs": f"${of}{target}SecurityGroupId && [{{GroupId: {of}{target}SecurityGroupId, {described}}}]",
    }


def _rules(property: str, way: str, target: str) -> Items:
    members = {"GroupId": "$id", "IpPermissions": [_permission("item.", target)]}
    return Items(
        property=property,
        add=Op(name=f"AuthorizeSecurityGroup{way}", members=members),
        remove=Op(name=f"RevokeSecurityGroup{way}", members=members),
        known=_GROUP_KNOWN,
        at_delete=True,
    )


def _rule_kind(way: str, target: str) -> Kind:
    group = {"GroupId": "$GroupId", "IpPermissions": [_permission("", target)]}
    return Kind(
        type=f"AWS::EC2::SecurityGroup{way}",
        service="ec2",
        create=Op(name=f"AuthorizeSecurityGroup{way}", members=group, takes=()),
        id="answer.SecurityGroupRules[0].SecurityGroupRuleId || token",
        delete=Op(name=f"RevokeSecurityGroup{way}", members=group),
        gone=_GROUP_KNOWN,
        exists=frozenset({"InvalidPermission.Duplicate"}),
    )


_ALL_OUT = {"GroupId": "$id", "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}

KINDS = (
    Kind(
        type="AWS::EC2::VPC",
        service="ec2",
        create=Op(name="CreateVpc", takes=None),
        id="answer.Vpc.VpcId || answer.adopted",
        adopt=made_by_token("DescribeVpcs"),
        adopted="answer.Vpcs[0].VpcId",
        read=Op(name="DescribeVpcs", members={"VpcIds": ["$id"]}),
        found="answer.Vpcs[0]",
        ready="read.State == 'available'",
        attributes={"VpcId": "id", "CidrBlock": "read.CidrBlock"},
        settings=(_attribute("EnableDnsSupport", True), _attribute("EnableDnsHostnames", False)),
        tagging=tagging("vpc"),
        delete=Op(name="DeleteVpc", members={"VpcId": "$id"}),
        gone=frozenset({"InvalidVpcID.NotFound"}),
        busy=_BUSY,
    ),
    Kind(
        type="AWS::EC2::Subnet",
        service="ec2",
        create=Op(name="CreateSubnet", takes=None),
        id="answer.Subnet.SubnetId || answer.adopted",
        adopt=made_by_token("DescribeSubnets"),
        adopted="answer.Subnets[0].SubnetId",
        read=Op(name="DescribeSubnets", members={"SubnetIds": ["$id"]}),
        found="answer.Subnets[0]",
        ready="read.State == 'available'",
        attributes={
            "SubnetId": "id",
            "AvailabilityZone": "read.AvailabilityZone",
            "AvailabilityZoneId": "read.AvailabilityZoneId",
            "CidrBlock": "read.CidrBlock",
            "VpcId": "read.VpcId",
        },
        settings=(
            Setting(
                on=("MapPublicIpOnLaunch",),
                op=Op(
                    name="ModifySubnetAttribute",
                    members={"SubnetId": "$id", "MapPublicIpOnLaunch": {"Value": "$MapPublicIpOnLaunch"}},
                ),
                unset=Op(
                    name="ModifySubnetAttribute", members={"SubnetId": "$id", "MapPublicIpOnLaunch": {"Value": False}}
                ),
            ),
        ),
        tagging=tagging("subnet"),
        delete=Op(name="DeleteSubnet", members={"SubnetId": "$id"}),
        gone=frozenset({"InvalidSubnetID.NotFound"}),
        busy=_BUSY,
    ),
    Kind(
        type="AWS::EC2::InternetGateway",
        service="ec2",
        create=Op(name="CreateInternetGateway"),
        id="answer.InternetGateway.InternetGatewayId || answer.adopted",
        adopt=made_by_token("DescribeInternetGateways"),
        adopted="answer.InternetGateways[0].InternetGatewayId",
        attributes={"InternetGatewayId": "id"},
        tagging=tagging("internet-gateway"),
        delete=Op(name="DeleteInternetGateway", members={"InternetGatewayId": "$id"}),
        gone=frozenset({"InvalidInternetGatewayID.NotFound"}),
        busy=_BUSY,
    ),
    Kind(
        type="AWS::EC2::VPCGatewayAttachment",
        service="ec2",
        create=Op(name="AttachInternetGateway", takes=("VpcId", "InternetGatewayId")),
        id="join('|', ['IGW', VpcId])",
        adopt=Op(
            name="DescribeInternetGateways",
            members={
                "InternetGatewayIds": ["$InternetGatewayId"],
                "Filters": [{"Name": "attachment.vpc-id", "Values": ["$VpcId"]}],
            },
        ),
        adopted="answer.InternetGateways[0].InternetGatewayId",
        delete=Op(name="DetachInternetGateway", takes=("VpcId", "InternetGatewayId")),
        gone=frozenset({"Gateway.NotAttached", "InvalidInternetGatewayID.NotFound", "InvalidVpcID.NotFound"}),
        busy=frozenset({"DependencyViolation"}),
    ),
    Kind(
        type="AWS::EC2::RouteTable",
        service="ec2",
        create=Op(name="CreateRouteTable", takes=None),
        id="answer.RouteTable.RouteTableId || answer.adopted",
        adopt=made_by_token("DescribeRouteTables"),
        adopted="answer.RouteTables[0].RouteTableId",
        attributes={"RouteTableId": "id"},
        tagging=tagging("route-table"),
        delete=Op(name="DeleteRouteTable", members={"RouteTableId": "$id"}),
        gone=frozenset({"InvalidRouteTableID.NotFound"}),
        busy=_BUSY,
    ),
    Kind(
        type="AWS::EC2::Route",
        service="ec2",
        create=Op(name="CreateRoute", takes=None),
        id="join('|', [RouteTableId, DestinationCidrBlock || DestinationIpv6CidrBlock || DestinationPrefixListId])",
        exists=frozenset({"RouteAlreadyExists"}),
        attributes={"CidrBlock": "DestinationCidrBlock"},
        settings=(
            Setting(
                on=("GatewayId", "NatGatewayId", "InstanceId", "NetworkInterfaceId", "VpcPeeringConnectionId"),
                op=Op(name="ReplaceRoute", takes=None),
                at_create=False,
            ),
        ),
        delete=Op(
            name="DeleteRoute",
            takes=("RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"),
        ),
        gone=frozenset({"InvalidRoute.NotFound", "InvalidRouteTableID.NotFound"}),
    ),
    Kind(
        type="AWS::EC2::SubnetRouteTableAssociation",
        service="ec2",
        create=Op(name="AssociateRouteTable", takes=None),
        id="answer.AssociationId || answer.adopted",
        adopt=Op(name="DescribeRouteTables", members={"RouteTableIds": ["$RouteTableId"]}),
        adopted="having(answer.RouteTables[0].Associations, 'SubnetId', SubnetId) | [0].RouteTableAssociationId",
        attributes={"Id": "id"},
        delete=Op(name="DisassociateRouteTable", members={"AssociationId": "$id"}),
        gone=frozenset({"InvalidAssociationID.NotFound"}),
    ),
    Kind(
        type="AWS::EC2::SecurityGroup",
        service="ec2",
        create=Op(name="CreateSecurityGroup", takes=None),
        id="answer.GroupId || answer.adopted",
        adopt=made_by_token("DescribeSecurityGroups"),
        adopted="answer.SecurityGroups[0].GroupId",
        named=("GroupName", 255),
        renamed={"GroupDescription": "Description"},
        read=Op(name="DescribeSecurityGroups", members={"GroupIds": ["$id"]}),
        found="answer.SecurityGroups[0]",
        attributes={"GroupId": "id", "Id": "id", "VpcId": "read.VpcId"},
        settings=(
            Setting(
                on=("SecurityGroupEgress",),
                op=Op(name="RevokeSecurityGroupEgress", members=_ALL_OUT),
                at_update=False,
            ),
        ),
        items=(
            _rules("SecurityGroupIngress", "Ingress", "Source"),
            _rules("SecurityGroupEgress", "Egress", "Destination"),
        ),
        tagging=tagging("security-group"),
        delete=Op(name="DeleteSecurityGroup", members={"GroupId": "$id"}),
        gone=frozenset({"InvalidGroup.NotFound"}),
        busy=_BUSY,
    ),
    _rule_kind("Ingress", "Source"),
    _rule_kind("Egress", "Destination"),
)
