"""Records of capacity: providers and the machines behind them.

Registry: CapacityProvider. Cluster partition: Provider (a cluster's copy of one of its providers, with what was seen of
its group), Machine, Launch. Prices are US dollars an hour; memory is MiB, CPU is in units
(1024 a vCPU), as an agent on the machine would register them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GROUP, MANAGED = "EC2_AUTOSCALING", "MANAGED_INSTANCES"
#: How the states of machines on their way out begin.
GOING = ("Terminat", "Detach", "shutting", "stopp", "terminat")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedScaling:
    """``managedScaling`` with its defaults; step sizes in instances, warm-up in seconds."""

    enabled: bool = False
    target: int = 100
    minimum_step: int = 1
    maximum_step: int = 10000
    warmup_seconds: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityProvider:
    """A capacity provider of the account. Registry partition. ``group`` is the ARN of an Auto Scaling group's;
    ``managed`` a ``managedInstancesProvider`` in ECS's shape with its defaults filled in, and ``cluster`` the only
    cluster that may have it."""

    name: str
    arn: str
    type: str
    status: str = "ACTIVE"
    group: str | None = None
    scaling: ManagedScaling = field(default_factory=ManagedScaling)
    termination_protection: bool = False
    draining: bool = True
    managed: Mapping[str, Any] | None = None
    cluster: str | None = None
    update_status: str | None = None
    update_status_reason: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float
    deleted_at: float | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An instance type that can be had at a price, on-demand or spot: what an agent on it would register.
    ``interfaces`` are those that tasks may have, None where nobody knows."""

    instance_type: str
    cpu: int
    memory: int
    gpus: int = 0
    interfaces: int | None = None
    architecture: str = "x86_64"
    spot: bool = False
    price: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.instance_type}/spot" if self.spot else self.instance_type


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFailure:
    """AWS would not launch: its code and message, since when and how often in a row, and when to try again.
    ``activity`` names the group's scaling activity that failed."""

    activity: str = ""
    code: str
    message: str
    since: float
    count: int = 1
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A capacity provider in its cluster: a copy of its settings, and what was last seen of its Auto Scaling group.

    ``offers``: the types that may be launched, the group's in the order of its preference, a managed provider's by
    what its requirements allow; ``zones``: where (zone → subnet id). ``minimum``, ``maximum``, ``desired``: the group's
    own, None before it was seen. ``hooked``: the lifecycle hook of managed draining is in place. ``wanted``: the size
    that was decided on and not seen yet; ``stepped``: instances added since ``decided_at``, which step sizes limit.
    ``refused``: until when an offer (``type@zone``) is not worth asking for."""

    name: str
    arn: str
    cluster: str
    type: str
    group: str | None = None
    scaling: ManagedScaling = field(default_factory=ManagedScaling)
    termination_protection: bool = False
    draining: bool = True
    managed: Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    offers: tuple[Offer, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)
    minimum: int | None = None
    maximum: int | None = None
    desired: int | None = None
    seen_at: float | None = None
    hooked: bool = False
    wanted: int | None = None
    decided_at: float | None = None
    stepped: int = 0
    refused: Mapping[str, float] = field(default_factory=dict)
    failure: LaunchFailure | None = None
    published_at: float | None = None

    @property
    def key(self) -> str:
        return self.name

    @property
    def scales(self) -> bool:
        """Whether it launches instances for tasks that find no room."""
        return not self.is_group or (self.scaling.enabled and self.maximum != 0)

    @property
    def is_group(self) -> bool:
        """Whether an Auto Scaling group stands behind it."""
        return self.type == GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An EC2 instance behind a capacity provider. ``state`` is that of the group's lifecycle (Pending, Pending:Wait,
    InService, Terminating:Wait …) or EC2's (pending, running, shutting-down …). ``ending``: why it is to go, once that
    is decided; ``ended_at``: when the order to end it was last given. ``idle_since``: since when no task but daemons'
    is there; ``spare_since``: since when its tasks would have room elsewhere; ``held_at``: when its group's termination
    hook last got a heartbeat; ``interrupted_at``: when EC2 said that it will take it; ``replaces``: the machines that
    are to go when it is there. ``ending_at``: when it was decided that it is to go; ``kept_at``: when that was taken
    back because its tasks would not go."""

    id: str
    provider: str
    zone: str
    instance_type: str
    state: str
    spot: bool = False
    price: float = 0.0
    protected: bool = False
    since: float
    ending: str | None = None
    ending_at: float | None = None
    ended_at: float | None = None
    kept_at: float | None = None
    idle_since: float | None = None
    spare_since: float | None = None
    held_at: float | None = None
    interrupted_at: float | None = None
    replaces: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.id

    @property
    def is_leaving(self) -> bool:
        """Whether no task should count on it any more."""
        return self.ending is not None or self.state.startswith(GOING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One machine that a managed provider ordered and that EC2 has not confirmed. ``id`` is its client token too;
    ``replaces``: machines that cost more and are to go when it is there; ``tags``: the provider's, where it propagates
    them, as they were when the machine was ordered: an order that is given again must be the same."""

    id: str
    provider: str
    offer: Offer
    zone: str
    ordered_at: float
    attempts: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.id
