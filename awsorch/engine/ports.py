"""What the engine needs from outside, as protocols. Implementations live in store/, gateway/ and adapters/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from awsorch.core.commands import (
    EndMachines,
    HoldMachines,
    LaunchMachines,
    ProtectMachines,
    ProvideAttachment,
    PublishReservation,
    ReleaseAttachment,
    SetGroupSize,
    SyncTargets,
    UpdateAgent,
    WatchAlarms,
    WatchGroup,
    WatchMachines,
)
from awsorch.core.model_capacity import Offer
from awsorch.core.utilization import Figure, Used


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record put (``record``) or removed (``record`` None) under (kind, key)."""

    kind: type[Any]
    key: str
    record: Any | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A partition as the store has it. ``seed`` is drawn once when the partition is first loaded and then kept."""

    revision: int
    seed: str
    records: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who owns a partition, and until when (seconds since the epoch)."""

    partition: str
    owner: str
    epoch: int
    address: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCredentials:
    """Temporary credentials of a role; ``expires_at`` in seconds since 1970."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: float


class TaskRoles(Protocol):
    """How the roles of tasks are had."""

    async def assume(self, role_arn: str, session: str) -> RoleCredentials:
        """Credentials that are good for a while; the same ones until they should be replaced. Raises Refusal where the
        role can't be assumed, Unanswered where that is not known."""
        ...

    def known(self, role_arn: str, session: str) -> RoleCredentials | None:
        """What ``assume`` would answer without asking anybody; None where it would have to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """A command to run in a container, and who wants it. ``configuration`` is the cluster's
    executeCommandConfiguration."""

    cluster: str
    instance_id: str
    task_arn: str
    container: str
    runtime_id: str
    command: str
    caller_arn: str
    configuration: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGrant:
    """Where a client finds its session, and the token to show there."""

    id: str
    url: str
    token: str


class CommandSessions(Protocol):
    """Sessions of commands in containers."""

    def open(self, target: CommandTarget, base: str) -> SessionGrant:
        """A session that a client may come for, at the controller's websockets: ``base`` is "ws://host:port". Raises
        Refusal."""
        ...

    def resume(self, session_id: str) -> SessionGrant | None:
        """A client has lost its connection: another token, in the place of the former. None: there is no such session
        (any more)."""
        ...

    async def terminate(self, session_id: str) -> None:
        """End a session and its command; nothing happens where it has ended."""
        ...


class ChannelCipher(Protocol):
    """What encrypts one session's data channel."""

    def encrypt(self, data: bytes) -> bytes:
        """What the client can read."""
        ...

    def decrypt(self, data: bytes) -> bytes:
        """What the client said. Raises ValueError for what it did not."""
        ...


class ChannelKeys(Protocol):
    """Where the keys of encrypted channels are kept."""

    async def open(self, key_id: str, ciphertext: bytes, context: Mapping[str, str]) -> ChannelCipher:
        """The cipher of a data key that the client had made under this key. Raises Unanswered, which says why."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What became of a session; ``transcript`` is the last of what was printed. Times: seconds since the epoch."""

    session_id: str
    target: CommandTarget
    started_at: float
    ended_at: float
    exit_code: int | None
    transcript: str


class SessionAudit(Protocol):
    """Where sessions are written down."""

    async def write(self, record: SessionRecord) -> None:
        """Where the cluster's configuration says; what can't be written is logged."""
        ...


class Unanswered(Exception):
    """Somebody outside was asked on a caller's behalf and does not answer now; the caller may try again."""


class StoreFailure(Exception):
    """The store could not do it (disk full, connection lost). Whether a commit happened may be unknown."""


class LeaseLost(Exception):
    """Another controller owns the partition: a commit under the old epoch, or a lease held by someone else."""


class Store(Protocol):
    """Durable partitions. One suite, tests/contract, holds for every implementation."""

    async def load(self, partition: str) -> Snapshot:
        """All records of a partition; a new one is empty, at revision 0. Raises StoreFailure."""
        ...

    async def commit(self, partition: str, epoch: int, revision: int, changes: Sequence[Change]) -> None:
        """Make the changes durable, all or none, and set the revision. Raises LeaseLost where ``epoch`` is not the
        current one, StoreFailure where it did not (or may not have) come to pass."""
        ...

    async def partitions(self) -> Sequence[str]:
        """Names of all partitions that hold records."""
        ...

    async def take_lease(self, partition: str, owner: str, address: str, now: float, ttl: float) -> Lease:
        """Take or renew the lease: free, expired, or the owner's own. A new owner gets a higher epoch.

        Raises LeaseLost where another owner's lease is still good at ``now``.
        """
        ...

    async def find_lease(self, partition: str) -> Lease | None:
        """The lease as it stands, or None."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class Agents(Protocol):
    """The agents' door as commands see it. Calls return at once; delivery is the gateway's business."""

    def send_tasks(self, cluster: str, instance_id: str, task_ids: Sequence[str] | None) -> None:
        """Tell the instance these tasks as they now stand (None: all of its tasks that have not settled)."""
        ...

    def close_session(self, cluster: str, instance_id: str, reason: str) -> None:
        """End the instance's connection because it is no longer registered."""
        ...

    def update_agent(self, cluster: str, command: UpdateAgent) -> None:
        """Tell the instance's agent to stage a package, or to change to it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """What a target group is. ``target_type`` is instance, ip, lambda or alb; ``load_balancer_arns`` are those whose
    listeners forward to it."""

    arn: str
    target_type: str
    port: int | None = None
    protocol: str | None = None
    load_balancer_arns: tuple[str, ...] = ()


class LoadBalancerFailure(Exception):
    """Load balancers could not be asked, or refused. ``code`` and ``message`` are those of their API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class LoadBalancers(Protocol):
    """Elastic Load Balancing, as those see it who check what a request names."""

    async def describe_groups(self, arns: Sequence[str]) -> Mapping[str, GroupFacts]:
        """Those of the target groups that exist, by ARN. Raises LoadBalancerFailure where they can't be asked."""
        ...


class Targets(Protocol):
    """Elastic Load Balancing as commands see it. What comes of a call is posted as an event."""

    def sync_targets(self, cluster: str, command: SyncTargets) -> None:
        """Have it carried out: TargetsSeen, or TargetsFailed. Returns at once."""
        ...


class Alarms(Protocol):
    """CloudWatch alarms as commands see them. What comes of a call is posted as an event."""

    def watch_alarms(self, cluster: str, command: WatchAlarms) -> None:
        """Have it carried out: AlarmsSeen, where they can be seen. Returns at once."""
        ...


class InstanceGroups(Protocol):
    """EC2 Auto Scaling as commands see it. Each returns at once; GroupSeen or GroupFailed is posted."""

    def watch_group(self, cluster: str, command: WatchGroup) -> None:
        """See how a group is, and that it has ECS's tag and hook."""
        ...

    def set_group_size(self, cluster: str, command: SetGroupSize) -> None:
        """SetDesiredCapacity, then see."""
        ...

    def protect_machines(self, cluster: str, command: ProtectMachines) -> None:
        """SetInstanceProtection."""
        ...

    def end_machines(self, cluster: str, command: EndMachines) -> None:
        """TerminateInstanceInAutoScalingGroup with a smaller desired capacity, then see."""
        ...

    def hold_machines(self, cluster: str, command: HoldMachines) -> None:
        """CompleteLifecycleAction, or RecordLifecycleActionHeartbeat."""
        ...


class Machines(Protocol):
    """EC2 as commands see it. Each returns at once; what comes of it is posted: MachinesLaunched or MachinesSeen."""

    def launch_machines(self, cluster: str, command: LaunchMachines) -> None:
        """RunInstances, once for each order however often it is given."""
        ...

    def end_machines(self, cluster: str, command: EndMachines) -> None:
        """TerminateInstances, then see."""
        ...

    def watch_machines(self, cluster: str, command: WatchMachines) -> None:
        """DescribeInstances of these."""
        ...


class TaskAttachments(Protocol):
    """EC2 as commands about tasks' interfaces and volumes see it. What comes of a call is posted as an event."""

    def provide_attachment(self, cluster: str, command: ProvideAttachment) -> None:
        """Have one made and attached: AttachmentProvided, or AttachmentRefused. Returns at once."""
        ...

    def release_attachment(self, cluster: str, command: ReleaseAttachment) -> None:
        """Have one detached and deleted: AttachmentReleased. Returns at once."""
        ...


class Reservations(Protocol):
    """CloudWatch as commands see it."""

    def publish_reservation(self, cluster: str, command: PublishReservation) -> None:
        """PutMetricData of CapacityProviderReservation. Returns at once; a value that is lost stays lost."""
        ...


class TaskUsage(Protocol):
    """What agents have told of their tasks."""

    def take_usage(self, cluster: str) -> Iterator[Mapping[str, Used]]:
        """What each task of the cluster used since it was asked last, by task id; an instance's tasks at a time."""
        ...


class Utilizations(Protocol):
    """CloudWatch as it is told what clusters use."""

    def publish_figures(self, minute: float, figures: Sequence[Figure]) -> None:
        """PutMetricData for the minute that began then, in seconds since 1970. Returns at once; a loss stays one."""
        ...


class CloudFailure(Exception):
    """EC2 or EC2 Auto Scaling could not be asked, or refused. ``code`` and ``message`` are those of their APIs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoScalingGroup:
    """What an Auto Scaling group is. ``protected``: its new instances are protected from scale-in."""

    arn: str
    name: str
    protected: bool = False


class AutoScaling(Protocol):
    """EC2 Auto Scaling, as those see it who check what a request names."""

    async def find_group(self, arn_or_name: str) -> AutoScalingGroup | None:
        """The group, None where there is no such. Raises CloudFailure where it can't be asked for."""
        ...


class Subnets(Protocol):
    """EC2's subnets, as those see them who say where machines may be."""

    async def zones(self, subnets: Sequence[str]) -> Mapping[str, str]:
        """Availability Zone → the first of these subnets (by id) that is in it. Raises CloudFailure: with EC2's
        InvalidSubnetID.NotFound where one of them does not exist."""
        ...


class Catalogue(Protocol):
    """Instance types and their prices."""

    def offers(self, managed: Mapping[str, Any]) -> tuple[Offer, ...]:
        """What a ``managedInstancesProvider`` may launch: the types that meet its ``instanceRequirements``, on-demand
        or spot as its ``capacityOptionType`` says. Returns at once."""
        ...

    def interfaces_of(self, instance_type: str) -> int | None:
        """How many network interfaces tasks may have on such an instance; None where it is not known."""
        ...
