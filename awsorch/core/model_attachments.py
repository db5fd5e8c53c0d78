"""Records of what a task gets from EC2 for itself: network interfaces and volumes, made for it and gone with it.

Values, like all records. Source: ECS API, data types Attachment, AwsVpcConfiguration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: The details of an interface that say where its task is reached.
ADDRESS, ADDRESS_6 = "privateIPv4Address", "ipv6Address"
INTERFACE, VOLUME = "ElasticNetworkInterface", "AmazonElasticBlockStorage"
#: The details that say what it is called in EC2.
_IDS = frozenset({"networkInterfaceId", "volumeId"})
#: PRECREATED: asked of EC2. ATTACHING: there, and its instance is told. ATTACHED: its agent has it. DETACHING: asked
#: to go. DELETED: gone.
PRECREATED, ATTACHING, ATTACHED, DETACHING, DELETED = "PRECREATED", "ATTACHING", "ATTACHED", "DETACHING", "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One interface or volume of one task. ``details`` is what ECS shows of it, ``facts`` what its agent needs besides;
    ``since`` is when its task was placed, ``released_at`` when it was first asked to go. What EC2 was ``asked`` for, it
    may make whether or not its answer comes."""

    id: str
    type: str
    status: str = PRECREATED
    details: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    released_at: float | None = None
    asked: bool = False

    @property
    def is_made(self) -> bool:
        """Whether EC2 has said that it made it."""
        return not _IDS.isdisjoint(self.details)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVolume:
    """What a task's own EBS volume is to be. ``name`` is that of the task definition's volume, ``size`` in GiB (the
    snapshot's where there is none), ``throughput`` and ``initialization_rate`` in MiB/s; ``deletes``: it goes with its
    task; ``has_service_tags``: it gets the tags that its service has when the task is made."""

    name: str
    type: str
    size: int | None = None
    snapshot: str | None = None
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool | None = None
    kms_key: str | None = None
    file_system: str = "xfs"
    role_arn: str = ""
    deletes: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    initialization_rate: int | None = None
    has_service_tags: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNetwork:
    """What a task's own network interface is to be: ``subnets`` by Availability Zone, and its security groups; without
    any it has the default one of its VPC. With ``ipv6`` it has an address of that kind too, where its subnet does."""

    subnets: Mapping[str, str]
    security_groups: tuple[str, ...] = ()
    ipv6: bool = True
