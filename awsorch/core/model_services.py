"""What exists around services: records of a cluster's partition, like those of ``model.py``.

A service wishes for tasks; each change of what they run makes a service revision and a deployment; a service deployment
is the story of going from one revision to the next. Targets are what awsorch put behind load balancers.

Source: ECS API, Service, Deployment, ServiceRevision, ServiceDeployment, ServiceEvent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.model import Constraint, LoadBalancer, Strategy, StrategyItem
from awsorch.core.model_attachments import TaskNetwork, TaskVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that was said in an event and is not said again while it lasts."""

    text: str
    said_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service. ``deployment`` is the number of its PRIMARY deployment, ``stable_revision`` that of the revision of
    the last deployment that was COMPLETED, ``service_deployment`` the id of the one under way.

    ``configuration`` is deploymentConfiguration in ECS's shape with every default filled in. ``problems`` are what is
    wrong, by kind; ``waiting``: a task found no place; ``moving``: tasks beyond the desired count that were started to
    even out the zones.
    """

    name: str
    arn: str
    status: str = "ACTIVE"
    scheduling_strategy: str = "REPLICA"
    desired_count: int = 0
    configuration: Mapping[str, Any]
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    grace_seconds: int | None = None
    zone_rebalancing: str = "DISABLED"
    propagate_tags: str = "NONE"
    managed_tags: bool = False
    enable_execute_command: bool = False
    role_arn: str | None = None
    created_at: float
    created_by: str
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str | None = None
    fingerprint: str = ""
    deployment: str
    stable_revision: str | None = None
    service_deployment: str | None = None
    event_count: int = 0
    problems: Mapping[str, Problem] = field(default_factory=dict)
    steady_at: float | None = None
    waiting: bool = False
    moving: int = 0
    inactive_at: float | None = None

    @property
    def key(self) -> str:
        return self.name

    @property
    def group(self) -> str:
        """The task group of its tasks."""
        return f"service:{self.name}"

    @property
    def is_daemon(self) -> bool:
        """Whether it wishes for one task on every instance rather than for a number of them."""
        return self.scheduling_strategy == "DAEMON"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRevision:
    """What the tasks of a service run; never changed but for ``image_digests``, by container: each is kept once a task
    has told it. ``network`` is what its networkConfiguration comes to. ``document`` has the members that awsorch only
    shows, in ECS's shape (networkConfiguration, serviceRegistries, volumeConfigurations, platformVersion…)."""

    service: str
    number: str
    arn: str
    definition: str
    definition_arn: str
    launch_type: str | None = "EC2"
    capacity_provider_strategy: tuple[StrategyItem, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    network: TaskNetwork | None = None
    volume: TaskVolume | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    image_digests: Mapping[str, str] = field(default_factory=dict)
    created_at: float

    @property
    def key(self) -> str:
        return f"{self.service}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment as DescribeServices lists it, while it has tasks. Ids are ``ecs-svc/<number>``.

    ``begun``: the scheduler has looked at it. ``failed_tasks`` counts failures in a row; ``failures_at`` is when the
    last one came, from which the pause before the next start follows. ``proven``: one of its tasks has been healthy.
    ``settled_at``: when it had all its tasks healthy and the older ones were gone (alarms are watched from then on).
    ``alarms_ignored``: an alarm was on when it began.
    """

    service: str
    number: str
    revision: str
    status: str = "PRIMARY"
    rollout_state: str = "IN_PROGRESS"
    rollout_reason: str = ""
    begun: bool = False
    failed_tasks: int = 0
    failures_at: float | None = None
    proven: bool = False
    settled_at: float | None = None
    alarms_ignored: bool | None = None
    rolls_back: str | None = None
    created_at: float
    updated_at: float

    @property
    def key(self) -> str:
        return f"{self.service}/{self.number}"

    @property
    def id(self) -> str:
        """As ECS shows it, and as its tasks' ``startedBy``."""
        return f"ecs-svc/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionCount:
    """A revision and its tasks at one moment."""

    revision: str
    requested: int
    running: int
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Why and when a service deployment turned back, and to which revision."""

    reason: str
    started_at: float
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDeployment:
    """The history of one deployment and of its rollback. Kept 90 days, or until its service is forgotten."""

    id: str
    service: str
    arn: str
    status: str = "PENDING"
    status_reason: str | None = None
    target_revision: str
    sources: tuple[RevisionCount, ...] = ()
    target: RevisionCount | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    rollback: Rollback | None = None
    failure_count: int = 0
    failure_threshold: int = 0
    breaker_triggered: bool = False
    triggered_alarms: tuple[str, ...] = ()
    created_at: float
    started_at: float | None = None
    stopped_at: float | None = None
    finished_at: float | None = None
    updated_at: float

    @property
    def key(self) -> str:
        return f"{self.service}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEvent:
    """One line of a service's ``events``; ``number`` counts up from 1."""

    service: str
    number: int
    id: str
    created_at: float
    message: str

    @property
    def key(self) -> str:
        return f"{self.service}/{self.number}"


def target_key(group: str, target_id: str, port: int) -> str:
    """The key of a Target record."""
    return f"{group}|{target_id}|{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target that awsorch wants, or wanted, in a target group: an instance id (or an address) and a port.

    ``leaving``: it is to be deregistered. ``state`` is what the load balancer last said: None before it said anything,
    else initial, healthy, unhealthy, draining, unused, unavailable; ``absent`` where it does not know the target.
    ``revision`` is that of the state since the target was last wished otherwise: what was asked before says nothing of
    it.
    """

    group: str
    target_id: str
    port: int
    task_id: str
    service: str
    leaving: bool = False
    state: str | None = None
    reason: str | None = None
    description: str | None = None
    changed_at: float
    revision: int = 0

    @property
    def address(self) -> tuple[str, int]:
        """What the load balancer knows it by."""
        return self.target_id, self.port

    @property
    def key(self) -> str:
        return target_key(self.group, self.target_id, self.port)
