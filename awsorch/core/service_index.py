"""Tasks of services by deployment and by what the scheduler takes them for, targets by group, events in order.

Derived from the records, like everything in ``indexes.py``: a look at a service costs what changed, not what there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from awsorch.core.lifecycle import is_final
from awsorch.core.model import Task
from awsorch.core.model_services import Deployment, Service, ServiceDeployment, ServiceRevision, Target

#: Phases of a service's task that is not STOPPED.
PENDING, UNKNOWN, HEALTHY, UNHEALTHY, STOPPING = "pending", "unknown", "healthy", "unhealthy", "stopping"


def phase_of(task: Task) -> str | None:
    """Where a task counts: pending (starting), running as unknown, healthy or unhealthy, or stopping.

    None for tasks of no service and for those that have ended."""
    if task.service is None or is_final(task.last_status):
        return None
    if task.desired_status == "STOPPED":
        return STOPPING
    if task.last_status != "RUNNING":
        return PENDING
    return task.service.health.lower()


@dataclass(slots=True)
class Phases:
    """Ids of live tasks, of one deployment, by phase. Dictionaries, so that their order does not depend on hashes."""

    pending: dict[str, None] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    healthy: dict[str, None] = field(default_factory=dict)
    unhealthy: dict[str, None] = field(default_factory=dict)
    stopping: dict[str, None] = field(default_factory=dict)

    @property
    def running(self) -> int:
        """Tasks that run and are to go on."""
        return len(self.unknown) + len(self.healthy) + len(self.unhealthy)

    @property
    def wished(self) -> int:
        """Tasks that are there to stay: starting or running."""
        return len(self.pending) + self.running

    @property
    def live(self) -> int:
        """All that are not STOPPED."""
        return self.wished + len(self.stopping)

    def of(self, phase: str) -> dict[str, None]:
        """The ids of one phase."""
        ids: dict[str, None] = getattr(self, phase)
        return ids


_NONE = Phases()


class ServiceIndex:
    """Follows the tables of a cluster partition that have to do with services."""

    def __init__(self) -> None:
        self._crews: dict[str, dict[str, Phases]] = {}
        self._deployments: dict[str, dict[str, None]] = {}
        self._revisions: dict[str, dict[str, None]] = {}
        self._histories: dict[str, dict[str, None]] = {}
        self._by_definition: dict[str, dict[str, None]] = {}
        self._targets: dict[str, dict[str, None]] = {}
        self._targets_of_task: dict[str, dict[str, None]] = {}
        self._tasks_of_group: dict[str, dict[str, None]] = {}
        self.waiting: dict[str, None] = {}
        self.daemons: dict[str, None] = {}

    # --- questions ---------------------------------------------------------------------------------------------------

    def phases(self, service: str, deployment: str) -> Phases:
        """Live tasks of one deployment."""
        return self._crews.get(service, {}).get(deployment, _NONE)

    def crews(self, service: str) -> dict[str, Phases]:
        """Live tasks of a service by deployment number."""
        return self._crews.get(service, {})

    def deployments(self, service: str) -> list[str]:
        """Keys of a service's Deployment records, in no order."""
        return list(self._deployments.get(service, ()))

    def revisions(self, service: str) -> list[str]:
        """Keys of a service's ServiceRevision records, in no order."""
        return list(self._revisions.get(service, ()))

    def histories(self, service: str) -> list[str]:
        """Keys of a service's ServiceDeployment records, in no order."""
        return list(self._histories.get(service, ()))

    def uses(self, definition: str) -> bool:
        """Whether a service revision has this task definition."""
        return definition in self._by_definition

    def targets(self, group: str) -> list[str]:
        """Keys of the Target records of a group."""
        return list(self._targets.get(group, ()))

    def targets_of_task(self, task_id: str) -> list[str]:
        """Keys of the Target records made for a task."""
        return list(self._targets_of_task.get(task_id, ()))

    def tasks_of_group(self, group: str) -> list[str]:
        """Ids of live tasks that are to be in a target group while they run."""
        return list(self._tasks_of_group.get(group, ()))

    def groups(self) -> list[str]:
        """Target groups that have targets of ours, or tasks that want to be in them."""
        return sorted(self._targets.keys() | self._tasks_of_group.keys())

    # --- following ---------------------------------------------------------------------------------------------------

    def task_changed(self, old: Task | None, new: Task | None) -> None:
        """Follow one task."""
        before = phase_of(old) if old is not None else None
        after = phase_of(new) if new is not None else None
        if before == after and (old is None or new is None or _crew(old) == _crew(new)):
            return
        if old is not None and old.service is not None and before is not None:
            self._leave(old, before)
            if after is None:
                for balancer in old.service.load_balancers:
                    _discard(self._tasks_of_group, balancer.group, old.id)
        if new is not None and new.service is not None and after is not None:
            crew = self._crews.setdefault(new.service.name, {}).setdefault(new.service.deployment, Phases())
            crew.of(after)[new.id] = None
            if before is None:
                for balancer in new.service.load_balancers:
                    _add(self._tasks_of_group, balancer.group, new.id)

    def _leave(self, task: Task, phase: str) -> None:
        assert task.service is not None
        crews = self._crews[task.service.name]
        crew = crews[task.service.deployment]
        del crew.of(phase)[task.id]
        if not crew.live:
            del crews[task.service.deployment]
            if not crews:
                del self._crews[task.service.name]

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        """Follow one service."""
        record = new or old
        assert record is not None
        _set(self.waiting, record.name, new is not None and new.waiting and new.status == "ACTIVE")
        _set(self.daemons, record.name, new is not None and new.is_daemon and new.status == "ACTIVE")

    def deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        """Follow one deployment."""
        _follow(self._deployments, old, new)

    def revision_changed(self, old: ServiceRevision | None, new: ServiceRevision | None) -> None:
        """Follow one service revision."""
        _follow(self._revisions, old, new)
        if old is not None:
            _discard(self._by_definition, old.definition, old.key)
        if new is not None:
            _add(self._by_definition, new.definition, new.key)

    def history_changed(self, old: ServiceDeployment | None, new: ServiceDeployment | None) -> None:
        """Follow one service deployment."""
        _follow(self._histories, old, new)

    def target_changed(self, old: Target | None, new: Target | None) -> None:
        """Follow one target."""
        if old is not None:
            _discard(self._targets, old.group, old.key)
            _discard(self._targets_of_task, old.task_id, old.key)
        if new is not None:
            _add(self._targets, new.group, new.key)
            _add(self._targets_of_task, new.task_id, new.key)


def _crew(task: Task) -> tuple[str, str] | None:
    return (task.service.name, task.service.deployment) if task.service is not None else None


_OfService = Deployment | ServiceRevision | ServiceDeployment


def _follow(table: dict[str, dict[str, None]], old: _OfService | None, new: _OfService | None) -> None:
    if old is not None and new is None:
        _discard(table, old.service, old.key)
    elif new is not None and old is None:
        _add(table, new.service, new.key)


def _add(table: dict[str, dict[str, None]], name: str, key: str) -> None:
    table.setdefault(name, {})[key] = None


def _discard(table: dict[str, dict[str, None]], name: str, key: str) -> None:
    group = table.get(name, {})
    group.pop(key, None)
    if not group:
        table.pop(name, None)


def _set(group: dict[str, None], key: str, member: bool) -> None:
    if member:
        group[key] = None
    else:
        group.pop(key, None)
