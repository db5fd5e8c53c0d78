"""Everything a partition knows, in memory, and the only way to change it.

A ``State`` is tables of records and the indexes derived from them. A ``Transaction`` changes it, remembers how to undo,
and collects what is to be stored, sent and looked at. Nothing else may write to a table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from awsorch.core.capacity_index import CapacityIndex, make_of
from awsorch.core.commands import Command
from awsorch.core.daemon_index import DaemonIndex
from awsorch.core.definitions.references import Reference
from awsorch.core.indexes import Groups, SortedKeys, TaskIndex
from awsorch.core.model import (
    AccountSetting,
    Cluster,
    ContainerInstance,
    Family,
    Gate,
    RunToken,
    Task,
    TaskDefinition,
)
from awsorch.core.model_access import Activation, ExternalInstance
from awsorch.core.model_capacity import CapacityProvider, Launch, Machine, Provider
from awsorch.core.model_services import (
    Deployment,
    Service,
    ServiceDeployment,
    ServiceEvent,
    ServiceRevision,
    Target,
)
from awsorch.core.placement.fleet import Fleet
from awsorch.core.placement.strategies import ZONE
from awsorch.core.revisions import RevisionIndex
from awsorch.core.service_index import ServiceIndex

Key = tuple[str, str]
Follower = Callable[[Any, Any], None]
S = TypeVar("S", bound="State")
R = TypeVar("R")

_CLOSED = Gate(open=False)


class State:
    """Tables by record class. ``revision`` counts the transactions that changed something."""

    kinds: ClassVar[tuple[type[Any], ...]] = ()

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.revision = 0
        self.tables: dict[type[Any], dict[str, Any]] = {kind: {} for kind in self.kinds}
        self._followers: dict[type[Any], tuple[Follower, ...]] = dict.fromkeys(self.kinds, ())

    def follow(self, kind: type[Any], *followers: Follower) -> None:
        """Have these called with (old, new) at each change of a record of this kind."""
        self._followers[kind] += followers

    def set(self, kind: type[Any], key: str, record: Any | None) -> Any | None:
        """Put or remove one record, indexes included; answers what was there. For transactions and loading only."""
        table = self.tables[kind]
        old = table.get(key)
        if old is record:
            return old
        if record is None:
            del table[key]
        else:
            table[key] = record
        for follower in self._followers[kind]:
            follower(old, record)
        return old

    def load(self, records: Iterable[Any], revision: int) -> None:
        """Fill an empty state from the store."""
        for record in records:
            self.set(type(record), record.key, record)
        self.revision = revision


class RegistryState(State):
    """The registry partition: clusters, task definitions, account settings, capacity providers and external instances
    of one account and region."""

    kinds = (Cluster, Family, TaskDefinition, AccountSetting, CapacityProvider, Activation, ExternalInstance)

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.clusters: dict[str, Cluster] = self.tables[Cluster]
        self.families: dict[str, Family] = self.tables[Family]
        self.definitions: dict[str, TaskDefinition] = self.tables[TaskDefinition]
        self.settings: dict[str, AccountSetting] = self.tables[AccountSetting]
        self.providers: dict[str, CapacityProvider] = self.tables[CapacityProvider]
        self.activations: dict[str, Activation] = self.tables[Activation]
        self.external_instances: dict[str, ExternalInstance] = self.tables[ExternalInstance]
        self.revisions = RevisionIndex()
        self.instances_by_access_key: Groups[ExternalInstance] = Groups(
            lambda i: i.access_key_id if i.revoked_at is None else None, lambda i: i.id
        )
        self.instances_by_activation: Groups[ExternalInstance] = Groups(lambda i: i.activation, lambda i: i.id)
        self.follow(TaskDefinition, self.revisions.changed)
        self.follow(ExternalInstance, self.instances_by_access_key.changed, self.instances_by_activation.changed)

    def find_revision(self, reference: Reference) -> TaskDefinition | None:
        """The named revision, or the newest ACTIVE one of the family; None where there is none."""
        key = reference.key or self.revisions.newest(reference.family)
        return self.definitions.get(key) if key is not None else None


class ClusterState(State):
    """A cluster partition: instances, tasks, the task definitions that they use, services and what belongs to them."""

    kinds = (
        Gate,
        ContainerInstance,
        TaskDefinition,
        Task,
        RunToken,
        Service,
        ServiceRevision,
        Deployment,
        ServiceDeployment,
        ServiceEvent,
        Target,
        Provider,
        Machine,
        Launch,
    )

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.instances: dict[str, ContainerInstance] = self.tables[ContainerInstance]
        self.definitions: dict[str, TaskDefinition] = self.tables[TaskDefinition]
        self.tasks: dict[str, Task] = self.tables[Task]
        self.tokens: dict[str, RunToken] = self.tables[RunToken]
        self.services: dict[str, Service] = self.tables[Service]
        self.service_revisions: dict[str, ServiceRevision] = self.tables[ServiceRevision]
        self.deployments: dict[str, Deployment] = self.tables[Deployment]
        self.service_deployments: dict[str, ServiceDeployment] = self.tables[ServiceDeployment]
        self.service_events: dict[str, ServiceEvent] = self.tables[ServiceEvent]
        self.targets: dict[str, Target] = self.tables[Target]
        self.providers: dict[str, Provider] = self.tables[Provider]
        self.machines: dict[str, Machine] = self.tables[Machine]
        self.launches: dict[str, Launch] = self.tables[Launch]
        self.task_index = TaskIndex()
        self.service_index = ServiceIndex()
        self.daemon_index = DaemonIndex(self.instances, self.tasks)
        self.fleet = Fleet()
        self.instance_keys = SortedKeys()
        self.service_keys = SortedKeys()
        self.capacity_index = CapacityIndex()
        self.follow(Task, self.task_index.changed, self.fleet.task_changed, self.service_index.task_changed)
        self.follow(Task, self.capacity_index.task_changed, self.daemon_index.task_changed)
        self.follow(Machine, self.capacity_index.machine_changed)
        self.follow(Launch, self.capacity_index.launch_changed)
        self.follow(Service, self.service_index.service_changed, self.service_keys.changed)
        self.follow(Service, self.daemon_index.service_changed)
        self.follow(ContainerInstance, self.daemon_index.instance_changed)
        self.follow(ServiceRevision, self.service_index.revision_changed)
        self.follow(Deployment, self.service_index.deployment_changed)
        self.follow(ServiceDeployment, self.service_index.history_changed)
        self.follow(Target, self.service_index.target_changed)
        self._index_instances()

    def _index_instances(self) -> None:
        self.instances_by_status: Groups[ContainerInstance] = Groups(lambda i: i.status, lambda i: i.id)
        self.instances_by_zone: Groups[ContainerInstance] = Groups(
            lambda i: i.attributes.get(ZONE) if i.status == "ACTIVE" and i.agent_connected else None, lambda i: i.id
        )
        self.silent_instances: Groups[ContainerInstance] = Groups(
            lambda i: "silent" if i.disconnected_at is not None and i.status != "INACTIVE" else None, lambda i: i.id
        )
        self.instances_by_make: Groups[ContainerInstance] = Groups(make_of, lambda i: i.id)
        self.instances_by_token: Groups[ContainerInstance] = Groups(lambda i: i.client_token, lambda i: i.id)
        self.instances_by_ec2_id: Groups[ContainerInstance] = Groups(
            lambda i: i.ec2_instance_id if i.status != "INACTIVE" else None, lambda i: i.id
        )
        self.follow(
            ContainerInstance,
            self.fleet.instance_changed,
            self.instance_keys.changed,
            self.instances_by_status.changed,
            self.instances_by_zone.changed,
            self.instances_by_token.changed,
            self.silent_instances.changed,
            self.instances_by_make.changed,
            self.instances_by_ec2_id.changed,
        )

    @property
    def gate(self) -> Gate:
        """Whether the cluster takes work and at what pace; closed before anything was said."""
        gate: Gate = self.tables[Gate].get("gate", _CLOSED)
        return gate

    def version_of(self, instance: ContainerInstance) -> int:
        """ECS's ``version`` of an instance: its own changes, and one more for each task that came and each that went.

        Nothing is written for the latter: the records of the tasks say it, and what is forgotten with them is added to
        the instance's own (``expire_tasks``). So it never goes back.
        """
        came = len(self.task_index.by_instance[instance.id])
        return instance.version + came + (came - len(self.fleet.tasks_on(instance.id)))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in the cluster that anybody could still ask for."""
        return not (self.instances or self.tasks or self.services)

    @property
    def is_open(self) -> bool:
        """Whether the cluster takes work."""
        return self.gate.open


class Transaction(Generic[S]):
    """One event's changes to a state: applied at once, undone as a whole if the event is refused."""

    def __init__(self, state: S, now: float, cause: str) -> None:
        self.state = state
        self.now = now
        self.cause = cause
        self.changes: dict[tuple[type[Any], str], tuple[Any | None, Any | None]] = {}
        self.commands: list[Command] = []
        self.wakes: dict[Key, float] = {}
        self._undo: list[tuple[type[Any], str, Any | None]] = []
        self._made_ids = 0

    def put(self, record: Any) -> None:
        """Store a record under its key, in place of the one there."""
        self._set(type(record), record.key, record)

    def remove(self, record: Any) -> None:
        """Take a record out."""
        self._set(type(record), record.key, None)

    def send(self, command: Command) -> None:
        """Have a command carried out once this transaction is durable."""
        self.commands.append(command)

    def wake(self, key: Key, at: float = 0.0) -> None:
        """Have a planner look at this key, not before ``at``. The earliest time asked for counts."""
        self.wakes[key] = min(at, self.wakes.get(key, at))

    def new_id(self) -> str:
        """32 hex digits that follow from the state's seed and revision: the same event makes the same ids again."""
        self._made_ids += 1
        text = f"{self.state.seed}/{self.state.revision}/{self._made_ids}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def new_uuid(self) -> str:
        """A new id in the form of a UUID."""
        made = self.new_id()
        return f"{made[:8]}-{made[8:12]}-{made[12:16]}-{made[16:20]}-{made[20:]}"

    def undo(self) -> None:
        """Put everything back as it was before this transaction."""
        for kind, key, old in reversed(self._undo):
            self.state.set(kind, key, old)
        self._undo.clear()
        self.changes.clear()
        self.commands.clear()
        self.wakes.clear()

    def _set(self, kind: type[Any], key: str, record: Any | None) -> None:
        old = self.state.set(kind, key, record)
        if old is record:
            return
        self._undo.append((kind, key, old))
        first = self.changes.get((kind, key))
        self.changes[kind, key] = (first[0] if first is not None else old, record)


def fingerprint(members: Mapping[str, Any]) -> str:
    """A short text equal for equal requests, whatever the order of their members. Used for idempotency tokens."""
    return hashlib.sha256(_canonical(members).encode()).hexdigest()


def _canonical(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k!r}:{_canonical(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_canonical(item) for item in value) + "]"
    return repr(value)
