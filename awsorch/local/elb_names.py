"""What the door changes in the upstream's answers about load balancers: where they are, and whose instances they have.

moto gives names that only AWS's DNS knows. Here a load balancer's DNSName is the loopback address that it listens on, a
literal, so that any client connects. Classic load balancers also get the instances that are registered, which moto
does not know. Everything else of an answer stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree

from awsorch.local.elb_facts import classic_key

RENAMED = frozenset({"CreateLoadBalancer", "DescribeLoadBalancers"})
"""The operations of both API versions whose answers have DNS names in them."""


def rename(
    answer: bytes,
    form: Mapping[str, str],
    address: Callable[[str], str],
    instances: Callable[[str], Sequence[Mapping[str, str]]],
) -> bytes:
    """The answer with the addresses of its load balancers; `address` takes a load balancer's key, `instances` a classic
    one's name. `form` is the request. What is no XML, or names no load balancer, stays.
    """
    try:
        root = ElementTree.fromstring(answer)
    except ElementTree.ParseError:
        return answer
    namespace = root.tag.partition("}")[0].removeprefix("{") if root.tag.startswith("{") else ""
    find = _Finder(namespace)
    named = [(parent, name) for parent in root.iter() if (name := find.child(parent, "DNSName")) is not None]
    if not named:
        return answer
    for parent, name in named:
        arn, own_name = find.child(parent, "LoadBalancerArn"), find.child(parent, "LoadBalancerName")
        classic = own_name.text if own_name is not None else form.get("LoadBalancerName")
        key = arn.text if arn is not None else classic_key(classic or "")
        name.text = address(key or "")
        hosted = find.child(parent, "CanonicalHostedZoneName")
        if hosted is not None:
            hosted.text = name.text
        listed = find.child(parent, "Instances")
        if arn is None and listed is not None:
            listed.clear()
            for instance in instances(classic or ""):
                member = ElementTree.SubElement(listed, find.tag("member"))
                ElementTree.SubElement(member, find.tag("InstanceId")).text = instance["InstanceId"]
    written: bytes = ElementTree.tostring(
        root, encoding="utf-8", xml_declaration=True, default_namespace=namespace or None
    )
    return written


class _Finder:
    """Children by name in one XML namespace."""

    def __init__(self, namespace: str) -> None:
        self._start = f"{{{namespace}}}" if namespace else ""

    def tag(self, name: str) -> str:
        return f"{self._start}{name}"

    def child(self, parent: ElementTree.Element, name: str) -> ElementTree.Element | None:
        return parent.find(self.tag(name))
