"""Which instances each daemon service is meant for, which of them lack it, and which of its tasks are elsewhere.

Derived from the records, and only for services that were asked for: a look at a daemon costs what changed, not what
instances there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from awsorch.core.model import ContainerInstance, Task
from awsorch.core.model_services import Service
from awsorch.core.placement.filters import Filter
from awsorch.core.service_index import STOPPING, phase_of


@dataclass(slots=True)
class Circle:
    """One daemon's instances. ``meant``: those that are ACTIVE and meet its conditions, whatever room they have;
    ``free``: those of them without a task of it, not even one that is stopping; ``strays``: its tasks on other
    instances that are not stopping yet. ``live`` has its tasks' phases by instance. Dictionaries, so that their order
    does not depend on hashes."""

    asked: Filter
    meant: dict[str, None] = field(default_factory=dict)
    free: dict[str, None] = field(default_factory=dict)
    strays: dict[str, None] = field(default_factory=dict)
    live: dict[str, dict[str, str]] = field(default_factory=dict)

    def instance_changed(self, instance_id: str, new: ContainerInstance | None) -> None:
        """Follow one instance."""
        meant = new is not None and new.status == "ACTIVE" and self.asked.accepts(new)
        if meant == (instance_id in self.meant):
            return
        tasks = self.live.get(instance_id, {})
        if meant:
            self.meant[instance_id] = None
            if not tasks:
                self.free[instance_id] = None
            for task_id in tasks:
                self.strays.pop(task_id, None)
        else:
            del self.meant[instance_id]
            self.free.pop(instance_id, None)
            self.strays.update(dict.fromkeys(task_id for task_id, phase in tasks.items() if phase != STOPPING))

    def task_changed(self, task_id: str, instance_id: str, phase: str | None) -> None:
        """Follow one task of the service; ``phase`` None: it has STOPPED."""
        if phase is None:
            tasks = self.live.get(instance_id, {})
            tasks.pop(task_id, None)
            if not tasks:
                self.live.pop(instance_id, None)
                if instance_id in self.meant:
                    self.free[instance_id] = None
        else:
            self.live.setdefault(instance_id, {})[task_id] = phase
            self.free.pop(instance_id, None)
        if phase not in (None, STOPPING) and instance_id not in self.meant:
            self.strays[task_id] = None
        else:
            self.strays.pop(task_id, None)


class DaemonIndex:
    """Follows instances, tasks and services of a cluster partition."""

    def __init__(self, instances: Mapping[str, ContainerInstance], tasks: Mapping[str, Task]) -> None:
        self._instances = instances
        self._tasks = tasks
        self._circles: dict[str, Circle] = {}

    def circle(self, service: str, asked: Filter, live: Iterable[str]) -> Circle:
        """The daemon's instances as they are now and will be. ``live``: ids of its tasks that have not STOPPED, looked
        at only where the service was not asked for before, or under other conditions."""
        known = self._circles.get(service)
        if known is None or known.asked is not asked:
            known = self._circles[service] = self.drawn(asked, live)
        return known

    def drawn(self, asked: Filter, live: Iterable[str]) -> Circle:
        """A circle from the records."""
        circle = Circle(asked)
        for instance in self._instances.values():
            circle.instance_changed(instance.id, instance)
        for task_id in live:
            task = self._tasks[task_id]
            circle.task_changed(task_id, task.instance_id or "", phase_of(task))
        return circle

    def instance_changed(self, old: ContainerInstance | None, new: ContainerInstance | None) -> None:
        """Follow one instance."""
        record = new or old
        assert record is not None
        for circle in self._circles.values():
            circle.instance_changed(record.id, new)

    def task_changed(self, old: Task | None, new: Task | None) -> None:
        """Follow one task."""
        record = new or old
        assert record is not None
        circle = self._circles.get(record.service.name) if record.service is not None else None
        if circle is not None:
            circle.task_changed(record.id, record.instance_id or "", phase_of(new) if new is not None else None)

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        """Follow one service."""
        if old is not None and (new is None or new.status != "ACTIVE"):
            self._circles.pop(old.name, None)
