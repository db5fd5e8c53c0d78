"""What exists: the records of both kinds of partition.

Registry (one per account and region): Cluster, TaskDefinition, Family, AccountSetting.
Cluster partition (one per cluster): Gate, ContainerInstance, Task, RunToken, copies of the TaskDefinitions in use, and
what ``model_services.py`` has.

Records are values: they are replaced, never changed. Mappings inside them are read-only by agreement. ``key`` names a
record among its kind. Times are seconds since the epoch; CPU is in units (1024 a vCPU); memory in MiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.lifecycle import is_final
from awsorch.core.model_attachments import DELETED, Attachment, TaskNetwork, TaskVolume
from awsorch.core.model_story import Placement, StoryEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster as CreateCluster made it. Registry partition."""

    name: str
    arn: str
    status: str = "ACTIVE"
    created_at: float
    settings: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    service_connect_defaults: Mapping[str, Any] = field(default_factory=dict)
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[StrategyItem, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted_at: float | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How far a task definition family has counted; never forgotten, so revisions are never used twice."""

    name: str
    last_revision: int

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    """One revision. ``definition`` is the registered document in ECS's shape with all defaults filled in
    (containerDefinitions, volumes, networkMode, requiresAttributes, compatibilities…), without the members that
    this record has as fields. It never changes, so events and cluster partitions carry copies."""

    family: str
    revision: int
    arn: str
    definition: Mapping[str, Any]
    status: str = "ACTIVE"
    registered_at: float
    registered_by: str
    deregistered_at: float | None = None
    delete_requested_at: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.family}:{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSetting:
    """An explicitly stored account setting of one principal (``…:root`` holds the account's default)."""

    name: str
    principal_arn: str
    value: str

    @property
    def key(self) -> str:
        return f"{self.principal_arn}|{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient the scheduler is. ``settle_seconds``: a running task without any health check counts as healthy after
    this long (ECS: 40). ``poll_seconds``: load balancers, alarms and groups are asked this often while something moves.
    ``idle_seconds``: an instance that nothing needs is given back after this long. ``silence_seconds``: services
    replace the tasks of an instance whose agent has been away for this long."""

    settle_seconds: float = 40.0
    poll_seconds: float = 2.0
    idle_seconds: float = 60.0
    silence_seconds: float = 5.0


DEFAULT_PACE = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether a cluster partition takes work, and at what pace. Closed by DeleteCluster; the one with key "gate"."""

    open: bool
    pace: Pace = DEFAULT_PACE

    @property
    def key(self) -> str:
        return "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What an instance offers. Ports are the ones that tasks may not have (ECS's PORTS and PORTS_UDP); ``interfaces``
    are those that tasks may have besides its own, None where nobody knows."""

    cpu: int
    memory: int
    reserved_tcp: tuple[int, ...] = ()
    reserved_udp: tuple[int, ...] = ()
    gpu_ids: tuple[str, ...] = ()
    interfaces: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPackage:
    """A wheel of the agent: its version, where it is, and the SHA-256 of what is there, in hex."""

    version: str
    location: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentUpdate:
    """What UpdateContainerAgent asked of an instance's agent last."""

    package: AgentPackage
    asked_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInstance:
    """A machine whose agent registered. ``attributes`` has every attribute (value None where it has none);
    ``custom`` names the ones that a user put."""

    id: str
    arn: str
    status: str = "ACTIVE"
    status_reason: str | None = None
    ec2_instance_id: str | None = None
    resources: Resources
    attributes: Mapping[str, str | None]
    custom: tuple[str, ...] = ()
    agent_connected: bool = False
    agent_session: str | None = None
    agent_version: str | None = None
    agent_hash: str | None = None
    docker_version: str | None = None
    agent_update_status: str | None = None
    agent_update: AgentUpdate | None = None
    capacity_provider: str | None = None
    registered_at: float
    deregistered_at: float | None = None
    disconnected_at: float | None = None
    version: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, Any] = field(default_factory=dict)
    client_token: str | None = None

    @property
    def key(self) -> str:
        return self.id

    @property
    def zone(self) -> str | None:
        """The Availability Zone that the instance is in, where it is known."""
        return self.attributes.get("ecs.availability-zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one task asks of an instance: task definition and overrides together. Used for placing. ``all_gpus``: every
    GPU of the instance, of which there must be one at least and none in use; ``gpus`` is 0 then."""

    cpu: int = 0
    memory: int = 0
    tcp_ports: tuple[int, ...] = ()
    udp_ports: tuple[int, ...] = ()
    gpus: int = 0
    all_gpus: bool = False
    interfaces: int = 0
    attributes: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A placement constraint: ``type`` is distinctInstance or memberOf."""

    type: str
    expression: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A placement strategy: ``type`` is random, spread or binpack; ``field`` as the caller gave it."""

    type: str
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkBinding:
    """A published port, or a range of them, as the agent reported it."""

    bind_ip: str | None = None
    container_port: int | None = None
    host_port: int | None = None
    protocol: str = "tcp"
    container_port_range: str | None = None
    host_port_range: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a task, as DescribeTasks shows it."""

    name: str
    arn: str
    image: str
    essential: bool = True
    last_status: str = "PENDING"
    exit_code: int | None = None
    reason: str | None = None
    runtime_id: str | None = None
    image_digest: str | None = None
    health_status: str = "UNKNOWN"
    has_health_check: bool = False
    network_bindings: tuple[NetworkBinding, ...] = ()
    cpu: int = 0
    memory: int | None = None
    memory_reservation: int | None = None
    gpu_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """One entry of ``loadBalancers``: a target group, or a Classic Load Balancer by its name."""

    target_group_arn: str | None = None
    load_balancer_name: str | None = None
    container_name: str
    container_port: int

    @property
    def group(self) -> str:
        """What targets are registered in: the target group's ARN, or ``elb/<name>`` for a classic one."""
        return self.target_group_arn or f"elb/{self.load_balancer_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskService:
    """What a service's task knows of it. ``deployment`` is the number of the deployment that made it, ``health`` what
    the scheduler takes it for: UNKNOWN until it counts as HEALTHY (then it is ``proven``, too), UNHEALTHY when it is to
    be replaced, for ``unhealthy_reason``. ``protected_until`` is set while the task is protected from scale-in."""

    name: str
    deployment: str
    load_balancers: tuple[LoadBalancer, ...] = ()
    health: str = "UNKNOWN"
    unhealthy_reason: str | None = None
    proven: bool = False
    protected_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyItem:
    """One item of a capacity provider strategy: the provider's name, its base and its weight."""

    provider: str
    base: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a PROVISIONING task needs beside its demand, since when it waits, and why there is no place for it yet
    (ECS's reason). ``strategy`` has the providers that it may fall over to."""

    since: float
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    strategy: tuple[StrategyItem, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task. ``definition`` is the key (family:revision) of the copy that this partition holds; ``service`` is there
    for tasks of services, ``waiting`` while its capacity provider has no place for it. ``held``: it was given up while
    its agent was away, and what ran may still run: its instance keeps room for it until the agent says it has ended."""

    id: str
    arn: str
    definition: str
    definition_arn: str
    instance_id: str | None = None
    zone: str | None = None
    group: str
    started_by: str | None = None
    launch_type: str = "EC2"
    capacity_provider: str | None = None
    last_status: str = "PENDING"
    desired_status: str = "RUNNING"
    containers: tuple[Container, ...]
    demand: Demand
    cpu: str
    memory: str
    gpu_ids: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    enable_execute_command: bool = False
    reference_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    network: TaskNetwork | None = None
    volume: TaskVolume | None = None
    version: int = 1
    created_at: float
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    connectivity: str | None = None
    connectivity_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    held: bool = False
    health_status: str = "UNKNOWN"
    service: TaskService | None = None
    waiting: Waiting | None = None
    placement: Placement | None = None
    story: tuple[StoryEntry, ...] = ()

    @property
    def key(self) -> str:
        return self.id

    @property
    def family(self) -> str:
        """The family of the task definition."""
        return self.definition.rpartition(":")[0]

    @property
    def told_status(self) -> str:
        """What its agent is to make of it: RUNNING until its targets have been drained, even if it is to be stopped."""
        return "RUNNING" if self.last_status == "DEACTIVATING" else self.desired_status

    @property
    def holds_resources(self) -> bool:
        """Whether the instance must still keep room for this task: from placement until its containers have ended."""
        return self.instance_id is not None and (self.held or not is_final(self.last_status))

    @property
    def forgettable_at(self) -> float | None:
        """When it stopped, if it may be forgotten a while after that: nothing of it is left anywhere."""
        return None if self.held or self.is_attached else self.stopped_at

    @property
    def is_attached(self) -> bool:
        """Whether EC2 may have something that was made for it."""
        return any(each.status != DELETED for each in self.attachments)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToken:
    """A RunTask clientToken: what was asked under it, and the tasks it made."""

    token: str
    fingerprint: str
    task_ids: tuple[str, ...]
    created_at: float

    @property
    def key(self) -> str:
        return self.token
