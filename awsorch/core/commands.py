"""What the core asks the outside to do. Idempotent and absolute: each can be derived again from the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awsorch.core.model import AgentPackage
from awsorch.core.model_attachments import TaskVolume
from awsorch.core.model_capacity import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTasks:
    """Tell an instance its tasks as they now stand; ``task_ids`` None means all that have not settled."""

    instance_id: str
    task_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession:
    """End the connection of an instance that is no longer registered."""

    instance_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAgent:
    """Tell an agent to stage this package, or to change to it: AgentUpdateAnswered."""

    instance_id: str
    package: AgentPackage
    perform: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTargets:
    """Make these (target id, port) registered in a target group (or ``elb/<name>``), those not, then tell how the whole
    group is: TargetsSeen, or TargetsFailed. What is in neither is left alone. ``revision`` is that of the state from
    which this follows; the answer carries it."""

    group: str
    revision: int
    register: tuple[tuple[str, int], ...] = ()
    deregister: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchAlarms:
    """Tell which of these CloudWatch alarms are in ALARM: AlarmsSeen for that deployment."""

    service: str
    deployment: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchGroup:
    """Tell how a capacity provider's Auto Scaling group is: GroupSeen, or GroupFailed. First see to it that the group
    has ECS's tag, and, where ``hook`` is true, the lifecycle hook of managed draining (or has it no more)."""

    provider: str
    group: str
    hook: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetGroupSize:
    """Make a group want this many instances, then tell how it is: GroupSeen, or GroupFailed."""

    provider: str
    group: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectMachines:
    """Protect these instances of a group from its own scale-in, or no longer."""

    provider: str
    group: str
    machines: tuple[str, ...]
    protected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMachines:
    """Terminate these instances; those of a group so that it wants as many fewer. Those on their way out already are
    left alone. Then tell: GroupSeen or MachinesSeen."""

    provider: str
    group: str | None
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldMachines:
    """Instances that wait in the group's termination hook: go on (``release``), or wait for another heartbeat."""

    provider: str
    group: str
    machines: tuple[str, ...]
    release: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchMachines:
    """Run one instance for each of these orders, and never two: what came of them is MachinesLaunched. ``settings`` is
    the provider's ``managedInstancesProvider``, ``subnets`` has the subnet of each zone."""

    provider: str
    launches: tuple[Launch, ...]
    settings: Mapping[str, Any]
    subnets: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchMachines:
    """Tell the state of these EC2 instances: MachinesSeen."""

    provider: str | None
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReservation:
    """Give CloudWatch a value of CapacityProviderReservation, in percent."""

    provider: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideAttachment:
    """Make an interface or a volume for a task and attach it to its EC2 instance ``machine``, once however often it is
    given: AttachmentProvided, or AttachmentRefused. ``subnet``, ``security_groups`` and ``ipv6`` are an interface's,
    ``zone`` and ``volume`` a volume's."""

    task_id: str
    task_arn: str
    attachment_id: str
    type: str
    machine: str
    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    ipv6: bool = False
    zone: str = ""
    volume: TaskVolume | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAttachment:
    """Detach and delete what was made for this attachment, if anything was: AttachmentReleased. What is to ``keep`` is
    detached only. Where it is ``doubtful`` whether anything was, it may still be under way."""

    task_id: str
    attachment_id: str
    type: str
    keep: bool = False
    doubtful: bool = False


Command = (
    SendTasks
    | CloseSession
    | UpdateAgent
    | SyncTargets
    | WatchAlarms
    | WatchGroup
    | SetGroupSize
    | ProtectMachines
    | EndMachines
    | HoldMachines
    | LaunchMachines
    | WatchMachines
    | PublishReservation
    | ProvideAttachment
    | ReleaseAttachment
)
