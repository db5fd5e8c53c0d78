"""What the router of local hosts lets through, and where interfaces are."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from awsorch.local.interfaces import SeenInterface, seen_interfaces
from awsorch.local.netns_router import filter_lines
from awsorch.local.security_groups import Rule, members_of, rules_of
from tests.support.moto_process import client, moto_process

OUT, OUT_6 = Rule(ingress=False, network="0.0.0.0/0"), Rule(ingress=False, network="::/0")
OPEN: dict[str, Any] = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def interface(*rules: Rule, id: str = "eni-0123456789abcdef0") -> SeenInterface:
    return SeenInterface(id=id, index=1, mac="0a:00:00:00:00:01", address="10.9.64.7", rules=rules)


def test_groups_are_read_with_their_members() -> None:
    instances = [
        {"NetworkInterfaces": [{"PrivateIpAddress": "10.0.0.1", "Groups": [{"GroupId": "sg-a"}]}]},
        {"NetworkInterfaces": [{"PrivateIpAddress": "10.0.0.2", "Groups": [{"GroupId": "sg-a"}, {"GroupId": "sg-b"}]}]},
    ]
    group = {
        "GroupId": "sg-c",
        "GroupName": "web",
        "IpPermissions": [
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 81, "UserIdGroupPairs": [{"GroupId": "sg-a"}]},
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
            {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": "sg-of-nobody"}]},
        ],
        "IpPermissionsEgress": [OPEN],
    }
    assert set(rules_of([group], members_of(instances))) == {
        Rule(ingress=True, network="10.0.0.1", protocol="tcp", ports=(80, 81)),
        Rule(ingress=True, network="10.0.0.2", protocol="tcp", ports=(80, 81)),
        Rule(ingress=True, network="10.0.0.0/8", protocol="icmp"),
        OUT,
        OUT_6,
    }


def test_groups_are_read_with_ipv6_too() -> None:
    one = {"PrivateIpAddress": "10.0.0.1", "Ipv6Addresses": [{"Ipv6Address": "2600::1"}], "Groups": [{"GroupId": "a"}]}
    range_ = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "Ipv6Ranges": [{"CidrIpv6": "2600::/64"}]}
    members = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "a"}]}
    group = {
        "GroupName": "web",
        "IpPermissions": [range_, members],
        "IpPermissionsEgress": [{**OPEN, "UserIdGroupPairs": []}, range_],
    }
    found = rules_of([group], members_of([{"NetworkInterfaces": [one]}]))
    assert set(found) == {
        Rule(ingress=True, network="2600::/64", protocol="tcp", ports=(80, 80)),
        Rule(ingress=False, network="2600::/64", protocol="tcp", ports=(80, 80)),
        Rule(ingress=True, network="10.0.0.1"),
        Rule(ingress=True, network="2600::1"),
        OUT,
    }, "all of IPv6 may leave only where nobody has changed the rules"
    guarded = interface(*found)
    older, newer = (filter_lines([guarded], "machine", ipv6=each) for each in (False, True))
    assert [line for line in older if "2600" in line] == []
    assert [line for line in newer if "10.0" in line or "0.0.0.0/0" in line] == []
    assert sum("2600::1 -j RETURN" in line for line in newer) == 1


def test_members_of_a_vpcs_default_group_reach_each_other() -> None:
    group = {"GroupId": "sg-d", "GroupName": "default", "IpPermissions": [], "IpPermissionsEgress": [OPEN]}
    assert Rule(ingress=True, network="10.0.0.9") in rules_of([group], {"sg-d": {"10.0.0.9"}})


def test_what_no_rule_lets_through_is_dropped() -> None:
    lines = filter_lines(
        [interface(Rule(ingress=True, network="10.0.0.0/8", protocol="tcp", ports=(80, 81)))], "10.9.0.1"
    )
    text = "\n".join(lines)
    to, out = "to-e56789abcdef0", "from-e56789abcdef0"
    assert f"-A {to} -s 10.0.0.0/8 -p tcp --dport 80:81 -j RETURN\n-A {to} -j DROP" in text
    metadata = "-m conntrack --ctstate DNAT"
    assert f"-A {out} {metadata} -j RETURN\n-A {out} -j DROP" in text, "instance metadata, whatever the groups say"
    assert f"-A {to} -s 10.9.0.1 -j RETURN" in text, "the load balancers and the user"
    assert text.index(f"-j {out}") < text.index(f"-j {to}"), "who may leave is asked before who may arrive"
    assert lines[0] == "*filter"
    assert lines[-1] == "COMMIT"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_process() as url:
        yield url


def test_every_interface_of_motos_has_an_address_of_its_own(url: str) -> None:
    ec2 = client(url, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    block = IPv4Network("10.7.0.0/26")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=str(block))["Subnet"]["SubnetId"]
    made = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"] for _ in range(20)]
    addresses = [IPv4Address(each["PrivateIpAddress"]) for each in made]
    assert len(set(addresses)) == len({each["MacAddress"] for each in made}) == 20
    assert all(block[32] <= address < block.broadcast_address for address in addresses)


def test_an_attached_interface_is_seen_with_its_own_groups(url: str) -> None:
    ec2 = client(url, "ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    (instance,) = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"]
    own = ec2.create_security_group(GroupName="own", Description="own", VpcId=instance["VpcId"])["GroupId"]
    made = ec2.create_network_interface(SubnetId=instance["SubnetId"], Groups=[own])["NetworkInterface"]
    ec2.attach_network_interface(
        NetworkInterfaceId=made["NetworkInterfaceId"], InstanceId=instance["InstanceId"], DeviceIndex=1
    )
    described = ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"][0]["Instances"][0]
    groups = {each["GroupId"]: each for each in ec2.describe_security_groups()["SecurityGroups"]}
    (seen,) = seen_interfaces(described["NetworkInterfaces"], groups, members_of([described]))
    assert (seen.id, seen.index, seen.address) == (made["NetworkInterfaceId"], 1, made["PrivateIpAddress"])
    assert seen.rules == (OUT, OUT_6), "nothing of the default group, where it is not"
