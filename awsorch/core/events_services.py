"""What happens to services, their deployments and their targets: events of a cluster's partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.events import Event
from awsorch.core.model import Constraint, LoadBalancer, Strategy, StrategyItem, TaskDefinition
from awsorch.core.model_attachments import TaskNetwork, TaskVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionWish:
    """What a new service revision is to have; ``definition`` is copied into the partition."""

    definition: TaskDefinition
    launch_type: str | None = "EC2"
    capacity_provider_strategy: tuple[StrategyItem, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    network: TaskNetwork | None = None
    volume: TaskVolume | None = None
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateService(Event):
    """CreateService, validated. ``configuration`` has every default filled in. Reply: the Service."""

    name: str
    arn: str
    revision: RevisionWish
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
    created_by: str
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateService(Event):
    """UpdateService: members that are None stay as they are. Reply: the Service.

    ``changes`` are the members of Service (by its field names) that change without a deployment; ``revision`` is there
    where the update makes a deployment. ``expected`` is the number of the deployment that the wish was derived from:
    where another update came between, Outdated is raised, and the caller derives it again.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    revision: RevisionWish | None = None
    expected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteService(Event):
    """DeleteService. Reply: the Service, DRAINING (or INACTIVE where nothing runs)."""

    name: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StopServiceDeployment(Event):
    """StopServiceDeployment: turn back to the last revision that worked. Reply: the ServiceDeployment."""

    service: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectTasks(Event):
    """UpdateTaskProtection: until then (None: no longer). Reply: {task id: the Task, or the failure's reason}."""

    task_ids: tuple[str, ...]
    until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTarget:
    """What the load balancer says of one target: its TargetHealth state, reason code and description."""

    target_id: str
    port: int
    state: str
    reason: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsSeen(Event):
    """What came of a SyncTargets (``revision`` is that of the command): the whole group as it is after the calls.

    ``deregistered`` are the (id, port) whose deregistration was carried out before the look; ``registered`` likewise.
    """

    group: str
    revision: int
    targets: tuple[SeenTarget, ...]
    registered: frozenset[tuple[str, int]] = frozenset()
    deregistered: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsFailed(Event):
    """A SyncTargets, or a part of it, that came to nothing. ``action`` is register, deregister or describe; ``gone``:
    the target group or load balancer does not exist; ``throttled``: asking again later may help, and so it may where
    both are False."""

    group: str
    action: str
    code: str
    message: str
    gone: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsSeen(Event):
    """What came of a WatchAlarms: the alarms of the deployment that are in ALARM."""

    service: str
    deployment: str
    on: tuple[str, ...]
