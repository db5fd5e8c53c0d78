"""What happens to a cluster partition and to the registry. Every event is a value; ids that it makes come with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from awsorch.core.model import (
    DEFAULT_PACE,
    AgentPackage,
    Constraint,
    Demand,
    NetworkBinding,
    Pace,
    Resources,
    Strategy,
    StrategyItem,
    TaskDefinition,
    TaskService,
)
from awsorch.core.model_attachments import TaskNetwork, TaskVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``cause`` names the request, agent message or timer behind it; stories show it."""

    cause: str = "awsorch"


# --- timers and planners ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Event):
    """A planner looks at one key: (planner, subject)."""

    planner: str
    subject: str = ""


# --- registry: clusters ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCluster(Event):
    """CreateCluster. ``settings`` are the ones asked for, ``defaults`` what the others are in a new cluster."""

    name: str
    arn: str
    settings: Mapping[str, str]
    defaults: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    service_connect_defaults: Mapping[str, Any] = field(default_factory=dict)
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[StrategyItem, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCluster(Event):
    """UpdateCluster and UpdateClusterSettings: members that are None stay as they are."""

    name: str
    settings: Mapping[str, str] | None = None
    configuration: Mapping[str, Any] | None = None
    service_connect_defaults: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteCluster(Event):
    """The cluster becomes INACTIVE. Its partition was closed before."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetClusters(Event):
    """These clusters were deleted long ago and nothing is in them any more. Reply: the names that were forgotten."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTags(Event):
    """TagResource and UntagResource: ``kind`` names the record class, ``key`` the record."""

    kind: str
    key: str
    put: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


# --- cluster partition: the gate -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGate(Event):
    """The registry has the cluster ACTIVE: take work, at this pace."""

    pace: Pace = DEFAULT_PACE


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseGate(Event):
    """DeleteCluster's first half: refused while instances or tasks are there."""


# --- cluster partition: container instances --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterInstance(Event):
    """RegisterContainerInstance. ``instance_id`` is new, unless ``known_id`` says that the agent re-registers;
    ``status_reason`` is what there is to say of it."""

    instance_id: str
    arn: str
    known_id: str | None = None
    ec2_instance_id: str | None = None
    resources: Resources
    attributes: Mapping[str, str | None]
    custom: tuple[str, ...] = ()
    agent_version: str | None = None
    agent_hash: str | None = None
    docker_version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str | None = None
    status_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeregisterInstance(Event):
    """DeregisterContainerInstance: with tasks running only when forced."""

    instance_id: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGone(Event):
    """The machine does not exist any more; its tasks stop with this reason."""

    instance_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetInstanceStatus(Event):
    """UpdateContainerInstancesState: ACTIVE or DRAINING. Unknown instances come back as failures."""

    instance_ids: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAgentUpdate(Event):
    """UpdateContainerAgent, to this package; None where the controller has none."""

    instance_id: str
    package: AgentPackage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentUpdateAnswered(Event):
    """The agent has staged the package of this signature, or changes to it now; with a ``reason`` it does not."""

    instance_id: str
    signature: str
    performing: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAttributes(Event):
    """PutAttributes: (instance id, name, value)."""

    attributes: tuple[tuple[str, str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAttributes(Event):
    """DeleteAttributes: (instance id, name, value that must match, or None)."""

    attributes: tuple[tuple[str, str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConnected(Event):
    """The agent's control connection is up. ``session`` tells connections apart."""

    instance_id: str
    session: str
    agent_version: str | None = None
    agent_hash: str | None = None
    docker_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDisconnected(Event):
    """That connection is gone; a newer one makes this stale. ``silent_for``: so many seconds before that was found
    out."""

    instance_id: str
    session: str
    silent_for: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHealthReported(Event):
    """Container runtime (and other) health of an instance changed: {type: {status, statusReason, lastUpdated…}}."""

    instance_id: str
    health: Mapping[str, Any]


# --- cluster partition: tasks ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTemplate:
    """What RunTask, StartTask or a service says of each task that it makes. ``images`` has those of containers that are
    not to be as in the definition: what its tag stood for when the first task of the service revision started."""

    definition: TaskDefinition
    demand: Demand
    group: str
    overrides: Mapping[str, Any]
    started_by: str | None = None
    launch_type: str = "EC2"
    tags: Mapping[str, str] = field(default_factory=dict)
    enable_execute_command: bool = False
    reference_id: str | None = None
    service: TaskService | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    network: TaskNetwork | None = None
    volume: TaskVolume | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """Ids of one task to be: its own, and one a container, in the definition's order."""

    id: str
    container_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTasks(Event):
    """RunTask: place as many of ``ids`` as fit; with a capacity provider ``strategy`` the others wait in PROVISIONING.
    Reply: PlacedTasks."""

    ids: tuple[NewTask, ...]
    template: TaskTemplate
    constraints: tuple[Constraint, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    strategy: tuple[StrategyItem, ...] = ()
    token: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTasks(Event):
    """StartTask: one task on each named instance. Reply: PlacedTasks."""

    ids: tuple[NewTask, ...]
    template: TaskTemplate
    instance_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTask(Event):
    """StopTask. Reply: the Task."""

    task_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerReport:
    """What an agent says of one container."""

    name: str
    status: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    runtime_id: str | None = None
    image_digest: str | None = None
    network_bindings: tuple[NetworkBinding, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReported(Event):
    """SubmitTaskStateChange (and SubmitContainerStateChange, with no status)."""

    task_id: str
    status: str | None = None
    reason: str | None = None
    containers: tuple[ContainerReport, ...] = ()
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    execution_stopped_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRefused(Event):
    """What a task needs before its agent can be told of it can't be had, such as its role."""

    task_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReported(Event):
    """Health of a task's containers changed: {container name: status}."""

    task_id: str
    health: Mapping[str, str]
