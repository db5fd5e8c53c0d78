"""What the local cloud knows of its load balancers: records read from ELB's API, and nothing that is kept here.

Load balancers of both kinds become the same records: a classic one is a load balancer whose listeners each forward to a
target group of their own, which nobody else can see. Actions and rules stay as the API shows them; what they mean for
the balancer is `front_ends_wish`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from awsorch.local.balancer.model import HealthCheck

Shape = Mapping[str, Any]
"""A structure of ELB's API as botocore shows it."""

CLASSIC_PREFIX = "classic/"
"""Classic load balancers have no ARN; this and the name stand for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listener with its rules, the default one apart. `key` is its ARN."""

    key: str
    port: int
    protocol: str
    actions: tuple[Shape, ...]
    rules: tuple[Shape, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """A load balancer. `key` is its ARN, for a classic one its name after `CLASSIC_PREFIX`."""

    key: str
    name: str
    kind: Literal["application", "network", "gateway", "classic"]
    idle_timeout_seconds: int
    listeners: tuple[Listener, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """A target group. `owner` is the key under which its targets are registered: its own ARN, for those of a classic
    load balancer the load balancer's key. `port` is the targets' unless they were registered with another.
    """

    key: str
    owner: str
    name: str
    target_type: str
    protocol: str
    port: int
    check: HealthCheck
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def deregistration_delay_seconds(self) -> float:
        """How long a deregistered target is shown as draining (ELB's default is 300)."""
        return float(self.attributes.get("deregistration_delay.timeout_seconds", "300"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All load balancers and target groups, by key."""

    load_balancers: Mapping[str, LoadBalancer] = field(default_factory=dict)
    target_groups: Mapping[str, TargetGroup] = field(default_factory=dict)

    def groups_of(self, owner: str) -> tuple[TargetGroup, ...]:
        """The target groups whose targets are registered under a key."""
        own = self.target_groups.get(owner)
        if own is not None:
            return (own,)
        return tuple(each for each in self.target_groups.values() if each.owner == owner)

    def owners(self) -> set[str]:
        """The keys under which targets may be registered."""
        classic = {key for key, each in self.load_balancers.items() if each.kind == "classic"}
        return classic | {each.owner for each in self.target_groups.values()}


def classic_key(name: str) -> str:
    """The key of a classic load balancer."""
    return f"{CLASSIC_PREFIX}{name}"
